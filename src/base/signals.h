#pragma once

#include <csignal>
#include <initializer_list>

namespace gpu_gate {

/// These signals.
sigset_t set_of(std::initializer_list<int> signals);

/// Blocks signals for its own lifetime and then puts the caller's mask back. A signal that came in
/// between is delivered at the end, with the disposition the process was started with.
class SignalBlock {
 public:
  explicit SignalBlock(const sigset_t& set) { ::sigprocmask(SIG_BLOCK, &set, &before_); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;
  ~SignalBlock() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

/// Lets signals through for its own lifetime where the caller has them blocked.
class SignalsThrough {
 public:
  explicit SignalsThrough(const sigset_t& set) { ::sigprocmask(SIG_UNBLOCK, &set, &before_); }
  SignalsThrough(const SignalsThrough&) = delete;
  SignalsThrough& operator=(const SignalsThrough&) = delete;
  ~SignalsThrough() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

/// For a write(2) that may fail: blocks the signals by which the kernel would then end the process,
/// SIGPIPE where nobody reads and SIGXFSZ at the limit on the size of files.
class WriteSignals {
 public:
  WriteSignals();

  /// After a write that failed with this errno: takes its signal away.
  void failed(int errnum) const;

 private:
  SignalBlock block_;
  sigset_t pending_{};  // before
};

/// Every signal that can be caught: nothing may end or stop the process while it holds the mutex.
sigset_t catchable_signals();

/// Those of the signals that the process was started with neither as ignored (nohup) nor blocked.
sigset_t heeded(std::initializer_list<int> signals);

/// SIGHUP, SIGINT and SIGTERM, less those that the process was started with as ignored (nohup) or
/// blocked: the signals that end a wait.
sigset_t ending_signals();

/// Ends the process by `signal`, so that a shell sees 128 + signal and knows why. Unblocks it
/// first.
[[noreturn]] void die_of(int signal);

}  // namespace gpu_gate
