#pragma once

#include <chrono>
#include <csignal>
#include <ctime>

#include "base/result.h"
#include "base/signals.h"

namespace gpu_gate {

/// Makes a call that blocks this thread end with EINTR at certain times, by a signal that only does
/// that: SIGURG, which is ignored by default, so that one which comes late does no harm, and which
/// the caller has not set for itself, as it may have set SIGALRM (alarm(2) outlasts exec).
class Interrupter {
 public:
  Interrupter();
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;
  ~Interrupter();

  /// From now on: first after `first`, then every `interval`. (Again and again, since one just
  /// before the call begins is missed.) Errors: system.
  Status start(std::chrono::nanoseconds first, std::chrono::nanoseconds interval);

 private:
  struct sigaction before_{};
  SignalsThrough through_{set_of({SIGURG})};
  timer_t timer_{};
  int errnum_ = 0;  // why there is no timer
};

}  // namespace gpu_gate
