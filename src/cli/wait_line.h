#pragma once

#include <string>

#include "base/clock.h"

namespace gpu_gate {

/// What somebody who waits says on stderr: lines, and in the foreground of a terminal below them
/// one that shows the time waited and is rewritten. What stderr does not take at once is dropped.
class WaitLine {
 public:
  /// The wait begins. `quiet`: nothing is rewritten.
  explicit WaitLine(bool quiet);
  WaitLine(const WaitLine&) = delete;
  WaitLine& operator=(const WaitLine&) = delete;
  ~WaitLine() { clear(); }

  Clock::duration waited() const { return Clock::now() - since_; }
  /// "2h13m".
  std::string waited_text() const;

  /// Is stderr a terminal where it may be rewritten?
  bool on_terminal() const { return terminal_; }
  /// And is that so now? Ctrl-Z, `bg` and `fg` change it.
  bool rewrites() const;
  bool is_shown() const { return !line_.empty(); }

  /// Shows it with `more` behind the time, where it may be rewritten.
  void show(const std::string& more);
  /// Takes it off the terminal, if it is still there: other text follows.
  void clear();
  /// Writes lines in its place.
  void tell(const std::string& lines);

 private:
  bool terminal_;
  bool interruptible_;      // SIGINT ends the wait
  std::string line_;        // that is shown, "" for none
  std::string unfinished_;  // of a line of which only a part could be written
  Clock::time_point since_ = Clock::now();
};

}  // namespace gpu_gate
