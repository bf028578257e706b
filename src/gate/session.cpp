#include "gate/session.h"

#include <utility>

#include "gate/timing.h"

namespace gpu_gate {

Result<Snapshot> Session::read() {
  const SignalsThrough through(ending_);
  Result<Snapshot> snapshot = source_.read();
  idle_from_ = Clock::now() + timing::kIdleSession;
  if (snapshot) {
    if (std::exchange(failing_, false)) observer_.driver_returned();
    if (!options_.one_try()) last_ = *snapshot;
    return snapshot;
  }
  if (!last_) return snapshot;
  if (!std::exchange(failing_, true)) observer_.driver_failed(snapshot.error());
  return unreadable(*last_, snapshot.error().text);
}

Links Session::links() {
  const SignalsThrough through(ending_);
  return source_.links();
}

void Session::close() {
  const SignalsThrough through(ending_);
  source_.close();
  idle_from_.reset();
}

void Session::close_if_idle() {
  if (!idle_from_ || Clock::now() < *idle_from_) return;
  const SignalsThrough through(ending_);
  if (!source_.needs_open()) source_.close();
  idle_from_.reset();
}

void Session::add_to(WaitSet& set) const {
  if (idle_from_) set.until(*idle_from_);
}

}  // namespace gpu_gate
