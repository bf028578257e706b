#pragma once

#include <csignal>
#include <optional>

#include "base/clock.h"
#include "base/signals.h"
#include "base/wait_set.h"
#include "gate/waiter.h"

namespace gpu_gate {

/// The source of the devices in the course of one wait. All that may block in the driver for long
/// is done here; a signal that ends a wait simply ends the process there.
class Session {
 public:
  Session(GpuSource& source, const WaitOptions& options, WaitObserver& observer)
      : source_(source), options_(options), observer_(observer) {}

  /// As the source. Once it has been read, its failures end no wait that may last: then the devices
  /// are those of the last reading, and none of them can be used. The observer is told of the first
  /// such failure and of its end.
  Result<Snapshot> read();

  /// As the source's.
  Links links();

  /// Gives back what an open library costs.
  void close();

  /// The same where nobody has read for a second, if the devices stay awake without it. To be
  /// called after a sleep on a set to which the time for it was added.
  void close_if_idle();
  void add_to(WaitSet& set) const;

 private:
  GpuSource& source_;
  const WaitOptions& options_;
  WaitObserver& observer_;
  const sigset_t ending_ = ending_signals();
  std::optional<Snapshot> last_;                // that was read
  std::optional<Clock::time_point> idle_from_;  // nothing where it is closed, or must stay open
  bool failing_ = false;
};

}  // namespace gpu_gate
