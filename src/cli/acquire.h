#pragma once

#include "cli/options.h"
#include "gate/waiter.h"

namespace gpu_gate {

/// What run and wait have in common: waits for the GPUs that the options ask for, telling the user
/// on stderr. Dies of a signal that ends the wait. `command`: what to record; `claim`: keep the
/// cards. Errors: exit codes 3, 4, 5 and 124, with the text to print.
Result<WaitEnd> acquire(const Options& options, const std::vector<std::string>& command,
                        bool claim);

/// The surroundings as the user set them.
LockDirPlaces lock_dir_places();
std::unique_ptr<GpuSource> gpu_source();

}  // namespace gpu_gate
