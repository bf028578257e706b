#include "gate/session.h"

#include <utility>

#include "gate/timing.h"

namespace gpu_gate {
namespace {

/// The same machine while nothing can be told about it. What was wrong with a device stays wrong.
Snapshot unreadable(Snapshot snapshot, const Error& error) {
  for (Device& device : snapshot.devices) {
    device.processes.clear();
    if (device.health != Health::ok) continue;
    device.health = Health::unreadable;
    device.error = error.text;
  }
  return snapshot;
}

}  // namespace

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
  return unreadable(*last_, snapshot.error());
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
