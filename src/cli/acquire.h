#pragma once

#include <memory>

#include "cli/options.h"
#include "gate/waiter.h"

namespace gpu_gate {

/// What a subcommand does with the cards it waits for.
struct Purpose {
  Owner owner;            // whom the line and the claim name
  bool claim = true;      // keep the cards; false: only wait
  bool announce = false;  // say on stderr which cards they are
  int lifeline = -1;      // see WaitOptions
  short lifeline_events = 0;
};

/// What run, wait and hold have in common: waits for the GPUs that the options ask for, telling the
/// user on stderr. Dies of a signal that ends the wait. Errors: as wait_for_gpus, and timed_out
/// where the lifeline ended, with the text to print.
Result<WaitEnd> acquire(const Options& options, const Purpose& purpose);

/// The surroundings as the user set them.
LockDirPlaces lock_dir_places();
std::unique_ptr<GpuSource> gpu_source();

}  // namespace gpu_gate
