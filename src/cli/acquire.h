#pragma once

#include <memory>

#include "cli/options.h"
#include "gate/waiter.h"
#include "job/environment.h"

namespace gpu_gate {

/// What run, wait and hold have in common: waits for the GPUs that the options ask for, telling the
/// user on stderr, where run also says which GPUs they are. `wait` says what owner to record,
/// whether to keep the devices, and what else ends the wait; the rest of it comes from the options.
/// Dies of a signal that ends the wait. Errors: as wait_for_gpus, and timed_out, also where the
/// owner of the lifeline is gone.
Result<Granted> acquire(const Options& options, WaitOptions wait);

/// How to name them: as asked for, but by UUID where an index may mean another device to CUDA.
inline Ids ids_of(const Options& options, const Granted& granted) {
  return granted.indices_hold ? options.ids : Ids::uuid;
}

/// What the job is told of.
inline JobDevices job_devices(const Options& options, const Granted& granted) {
  return {.devices = granted.devices,
          .ids = ids_of(options, granted),
          .claim = granted.claim,
          .share_mib = granted.share_mib};
}

/// The surroundings as the user set them.
LockDirPaths lock_dir_paths();
/// Errors: usage.
Result<std::unique_ptr<GpuSource>> gpu_source_for(const Options& options);

}  // namespace gpu_gate
