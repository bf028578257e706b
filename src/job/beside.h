#pragma once

#include <functional>
#include <vector>

#include "base/result.h"

namespace gpu_gate {

// Processes beside a job, or beside the caller of gpu-gate, that have nothing of theirs.

/// Goes on as a process of its own session, without the caller's terminal, working directory,
/// standard descriptors, and other descriptors but those in `kept`.
void detach(std::vector<int> kept);

/// Starts a process that does `work` and ends. It is detached, no child of this process nor of the
/// program that this becomes, and no signal ends it but SIGKILL. Blocks until it has let go of all
/// descriptors. (In a pid namespace of which this process is the first, it is its child all the
/// same.) Errors: system, where there are too many processes or no memory.
Status start_beside(const std::function<void()>& work);

}  // namespace gpu_gate
