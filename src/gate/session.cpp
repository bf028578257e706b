#include "gate/session.h"

#include <utility>

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
  if (snapshot) {
    if (std::exchange(failing_, false)) observer_.driver_returned();
    if (!options_.one_try()) last_ = *snapshot;
    return snapshot;
  }
  if (!last_) return snapshot;
  if (!std::exchange(failing_, true)) observer_.driver_failed(snapshot.error());
  return unreadable(*last_, snapshot.error());
}

void Session::close() {
  const SignalsThrough through(ending_);
  source_.close();
}

}  // namespace gpu_gate
