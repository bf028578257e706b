#pragma once

#include "base/result.h"
#include "gpu/device.h"

namespace gpu_gate {

/// Where snapshots come from: a vendor's driver, or the one that gpu/sources.h chooses. The waiter
/// knows only this.
class GpuSource {
 public:
  GpuSource() = default;
  GpuSource(const GpuSource&) = delete;
  GpuSource& operator=(const GpuSource&) = delete;
  virtual ~GpuSource() = default;

  /// The state of all devices. Opens the driver's library if it is closed. Blocks as long as the
  /// driver does (1-3 s for each device that was asleep). A single one that fails is a Device with
  /// an error; an Error (gpu_state, no_driver) means that nothing can be told about any device.
  virtual Result<Snapshot> read() = 0;

  /// How the devices of the last reading are linked. Asks the driver, and blocks as read() does,
  /// but only once as long as the library is open. Nothing is known while it is closed.
  virtual Links links() = 0;

  /// Must the library stay open between reads? Where a device would go to sleep if nobody had it
  /// open: to wake it takes 1-3 s. Asks the driver; false while the library is closed.
  virtual bool needs_open() = 0;

  /// Gives back what an open library costs (memory, device files). read() opens it again.
  virtual void close() = 0;

  /// The same where this process is about to become another program, which frees its memory anyway:
  /// that takes less time than to unload a library first.
  virtual void close_for_exec() { close(); }
};

}  // namespace gpu_gate
