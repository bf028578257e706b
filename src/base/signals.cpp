#include "base/signals.h"

#include <unistd.h>

#include <initializer_list>

namespace gpu_gate {

sigset_t catchable_signals() {
  sigset_t set;
  ::sigfillset(&set);
  // A fault in our own code must end the process at once; blocking these is undefined
  // (sigaction(2)).
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) ::sigdelset(&set, fault);
  return set;
}

sigset_t ending_signals() {
  sigset_t blocked;
  ::sigprocmask(SIG_BLOCK, nullptr, &blocked);
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN && ::sigismember(&blocked, signal) == 0) {
      ::sigaddset(&set, signal);
    }
  }
  return set;
}

void die_of(int signal) {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // the signal did not end us (a debugger, a container's init)
}

}  // namespace gpu_gate
