#include "cli/wait_line.h"

#include <chrono>
#include <csignal>
#include <utility>

#include "base/signals.h"
#include "cli/console.h"
#include "cli/text.h"

namespace gpu_gate {
namespace {

bool ends_by_interrupt() {
  const sigset_t ending = ending_signals();
  return ::sigismember(&ending, SIGINT) == 1;
}

}  // namespace

WaitLine::WaitLine(bool quiet)
    : terminal_(!quiet && stderr_is_terminal()), interruptible_(ends_by_interrupt()) {}

std::string WaitLine::waited_text() const {
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(waited()));
}

bool WaitLine::rewrites() const { return terminal_ && stderr_in_foreground(); }

void WaitLine::show(const std::string& more) {
  if (!rewrites()) {
    line_.clear();
    return;
  }
  const char* way_out = interruptible_ && stderr_has_ctrl_c() ? " (Ctrl-C gives up)" : "";
  std::string line = "waited " + waited_text() + more + way_out;
  if (line == line_) return;
  show_line(line);
  line_ = std::move(line);
}

void WaitLine::clear() {
  if (!line_.empty() && rewrites()) show_line("");
  line_.clear();
}

void WaitLine::tell(const std::string& lines) {
  clear();
  unfinished_ = notify(unfinished_, lines);
}

}  // namespace gpu_gate
