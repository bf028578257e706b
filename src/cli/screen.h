#pragma once

#include <csignal>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "base/wait_set.h"

namespace gpu_gate {

struct ScreenSize {
  std::size_t width = 80;
  std::size_t height = 24;
};

/// The terminal on standard output as a picture that is painted over: the alternate screen, and
/// keys without Enter or echo. However the process ends, but by SIGKILL, the terminal is then as it
/// was before, with the last picture on it: by the destructor, or by a handler of every signal that
/// would end the process, which goes on to die of it. (So they end it in the driver as well.) There
/// is one at a time.
class Screen {
 public:
  /// Stops the process (SIGTTOU) where it is in the background. Errors: system.
  static Result<std::unique_ptr<Screen>> open();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Where keys are read from; -1: nowhere.
  int keys() const { return keys_; }
  /// Nothing comes from there any more.
  void no_keys() { keys_ = -1; }

  static ScreenSize size();

  /// Paints what differs from the picture before. Never waits: what the terminal does not take is
  /// sent when it does.
  void show(std::vector<std::string> lines);

  /// What it sleeps on: room for the rest of a picture, and signals.
  void add_to(WaitSet& set);

  /// After that sleep: sends the rest; takes a new size; stops the process where Ctrl-Z asked for
  /// it, and goes on after fg. True: another picture is to be shown.
  bool woke(const WaitSet& set);

  /// Does the terminal take nothing any more, and never will?
  bool is_gone() const { return gone_; }

 private:
  Screen();
  Status take_over();
  void enter();
  void paint();
  void send_rest();

  int keys_ = -1;
  UniqueFd tty_;  // where standard input is none
  sigset_t told_;
  SignalBlock block_;
  UniqueFd signals_;
  WaitSet::Id signals_id_ = 0;
  std::vector<struct sigaction> before_;  // of the signals that end the process, by number
  std::vector<std::string> wanted_;
  std::vector<std::string> shown_;
  bool blank_ = true;  // nothing of what is shown counts
  std::string unsent_;
  bool gone_ = false;
};

}  // namespace gpu_gate
