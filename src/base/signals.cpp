#include "base/signals.h"

#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace gpu_gate {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  return set;
}

WriteSignals::WriteSignals() : block_(set_of({SIGPIPE, SIGXFSZ})) { ::sigpending(&pending_); }

void WriteSignals::failed(int errnum) const {
  const int signal = errnum == EPIPE ? SIGPIPE : errnum == EFBIG ? SIGXFSZ : 0;
  if (signal == 0 || ::sigismember(&pending_, signal) == 1) return;
  const sigset_t set = set_of({signal});
  const struct timespec none{};
  ::sigtimedwait(&set, nullptr, &none);
}

sigset_t catchable_signals() {
  sigset_t set;
  ::sigfillset(&set);
  // A fault in our own code must end the process at once; blocking these is undefined
  // (sigaction(2)).
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) ::sigdelset(&set, fault);
  return set;
}

sigset_t heeded(std::initializer_list<int> signals) {
  sigset_t blocked;
  ::sigprocmask(SIG_BLOCK, nullptr, &blocked);
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN && ::sigismember(&blocked, signal) == 0) {
      ::sigaddset(&set, signal);
    }
  }
  return set;
}

sigset_t ending_signals() { return heeded({SIGHUP, SIGINT, SIGTERM}); }

void die_of(int signal) {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
  const sigset_t set = set_of({signal});
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // the signal did not end us (a debugger, a container's init)
}

}  // namespace gpu_gate
