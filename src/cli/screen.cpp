#include "cli/screen.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/prompt_write.h"

namespace gpu_gate {
namespace {

// xterm's control sequences (invisible-island.net/xterm/ctlseqs): the alternate screen, no cursor,
// no new line where a line is full.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
constexpr std::string_view kLeave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// What the handler needs. It is changed only while the signals are blocked.
struct Taken {
  bool taken = false;
  int keys = -1;
  struct termios before{};
  std::string farewell;  // the last picture, on the normal screen
} the_terminal;

/// The signals that end a process that does not expect them (signal(7)), faults among them.
bool ends_by_default(int signal) {
  constexpr int kOthers[] = {SIGKILL,  SIGSTOP, SIGCHLD, SIGCONT, SIGURG,
                             SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU};
  const bool of_libc = signal >= 32 && signal < SIGRTMIN;
  return !of_libc && std::find(std::begin(kOthers), std::end(kOthers), signal) == std::end(kOthers);
}

sigset_t all_that_end() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (ends_by_default(signal)) ::sigaddset(&set, signal);
  }
  return set;
}

/// For a second at most, so that a terminal that takes nothing keeps nobody from dying.
/// Async-signal-safe.
void write_within_a_second(std::string_view text) {
  struct sigaction wake{};
  wake.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &wake, nullptr);
  const sigset_t alarm_only = set_of({SIGALRM});
  ::sigprocmask(SIG_UNBLOCK, &alarm_only, nullptr);
  ::alarm(1);
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0) break;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  ::alarm(0);
}

void set_mode(const struct termios& mode) {
  const SignalBlock not_stopped(set_of({SIGTTOU}));
  ::tcflush(the_terminal.keys, TCIFLUSH);
  ::tcsetattr(the_terminal.keys, TCSANOW, &mode);
}

/// Its mode as it was before; false where it has been given back already. Async-signal-safe.
bool give_back() {
  if (!the_terminal.taken) return false;
  the_terminal.taken = false;
  if (the_terminal.keys >= 0) set_mode(the_terminal.before);
  return true;
}

void end_by(int signal) {
  if (give_back()) write_within_a_second(the_terminal.farewell);
  die_of(signal);
}

/// The same where nothing ends.
void leave_with(std::string_view text) {
  const SignalBlock block(all_that_end());
  if (!give_back()) return;
  const auto until = Clock::now() + std::chrono::seconds(1);
  while (!text.empty() && Clock::now() < until) {
    const PromptWrite done = write_promptly(STDOUT_FILENO, text);
    text.remove_prefix(done.bytes);
    if (!done.full) return;
    wait_for_room(STDOUT_FILENO, 100);
  }
}

std::string position(std::size_t line) { return "\x1b[" + std::to_string(line + 1) + ";1H"; }

}  // namespace

Result<std::unique_ptr<Screen>> Screen::open() {
  std::unique_ptr<Screen> screen(new Screen);
  if (!screen->signals_) return fail(system_error(ErrorKind::system, "signalfd", "", errno));
  if (Status taken = screen->take_over(); !taken) return fail(taken.error());
  return screen;
}

Screen::Screen()
    : told_(set_of({SIGWINCH, SIGTSTP, SIGCONT})),
      block_(told_),
      signals_(::signalfd(-1, &told_, SFD_NONBLOCK | SFD_CLOEXEC)) {
  if (::isatty(STDIN_FILENO) == 1) {
    keys_ = STDIN_FILENO;
  } else {
    tty_ = UniqueFd(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY));
    keys_ = tty_.get();
  }
}

Status Screen::take_over() {
  the_terminal.keys = keys_;
  if (keys_ >= 0 && ::tcgetattr(keys_, &the_terminal.before) != 0) {
    return fail(system_error(ErrorKind::system, "tcgetattr", "", errno));
  }
  the_terminal.farewell.assign(kLeave);
  struct sigaction action{};
  action.sa_handler = end_by;
  ::sigfillset(&action.sa_mask);
  before_.resize(static_cast<std::size_t>(SIGRTMAX) + 1);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (!ends_by_default(signal)) continue;
    struct sigaction& before = before_[static_cast<std::size_t>(signal)];
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
  }
  enter();
  return {};
}

Screen::~Screen() {
  leave_with(the_terminal.farewell);
  for (std::size_t signal = 1; signal < before_.size(); ++signal) {
    if (ends_by_default(static_cast<int>(signal))) {
      ::sigaction(static_cast<int>(signal), &before_[signal], nullptr);
    }
  }
}

void Screen::enter() {
  if (keys_ >= 0) {
    struct termios raw = the_terminal.before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN);
    raw.c_iflag &= ~static_cast<tcflag_t>(IXON);  // Ctrl-S stops nothing
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(keys_, TCSANOW, &raw);
  }
  const SignalBlock block(all_that_end());
  the_terminal.taken = true;
  unsent_ = kEnter;
  blank_ = true;
  send_rest();
}

ScreenSize Screen::size() {
  struct winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {};
  }
  return {.width = size.ws_col, .height = size.ws_row};
}

void Screen::show(std::vector<std::string> lines) {
  const SignalBlock block(all_that_end());
  wanted_ = std::move(lines);
  // On the normal screen without the line of keys and the empty ones before it.
  std::size_t end = wanted_.empty() ? 0 : wanted_.size() - 1;
  while (end > 0 && wanted_[end - 1].empty()) --end;
  the_terminal.farewell.assign(kLeave);
  for (std::size_t i = 0; i < end; ++i) the_terminal.farewell += wanted_[i] + "\r\n";
  if (unsent_.empty()) paint();
}

void Screen::paint() {
  if (blank_) unsent_ += "\x1b[2J";
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const bool same = !blank_ && i < shown_.size() && shown_[i] == wanted_[i];
    if (!same) unsent_ += position(i) + "\x1b[2K" + wanted_[i];
  }
  blank_ = false;
  shown_ = wanted_;
  send_rest();
}

void Screen::send_rest() {
  while (!unsent_.empty()) {
    const PromptWrite done = write_promptly(STDOUT_FILENO, unsent_);
    unsent_.erase(0, done.bytes);
    if (done.full) return;
    if (unsent_.empty()) return;
    gone_ = true;
    unsent_.clear();
  }
}

void Screen::add_to(WaitSet& set) {
  signals_id_ = set.add(signals_.get(), POLLIN);
  if (!unsent_.empty()) set.add(STDOUT_FILENO, POLLOUT);
}

bool Screen::woke(const WaitSet& set) {
  bool again = false;
  bool continued = false;
  struct signalfd_siginfo info{};
  while (set.fired(signals_id_) &&
         ::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    again = true;
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH) blank_ = true;
    if (signal == SIGTSTP) {
      leave_with(kLeave);
      const SignalsThrough through(set_of({SIGTSTP}));
      ::raise(SIGTSTP);  // goes on here after SIGCONT
    }
    if (signal == SIGTSTP || signal == SIGCONT) continued = true;
  }
  if (continued) enter();
  const SignalBlock block(all_that_end());
  send_rest();
  if (unsent_.empty() && !again && shown_ != wanted_) paint();
  return again;
}

}  // namespace gpu_gate
