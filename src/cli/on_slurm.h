#pragma once

#include "cli/options.h"

namespace gpu_gate {

/// Refuses what a cluster cannot do, each with what would. Errors: usage.
Status check_for_slurm(const Options& options);

/// run and wait with --on slurm. Returns the exit code: of the command, where it ran; dies of the
/// signal that ended the wait, or the command. Errors: as run_step, timed_out, impossible.
Result<int> run_on_slurm(const Options& options);
Status wait_on_slurm(const Options& options);

}  // namespace gpu_gate
