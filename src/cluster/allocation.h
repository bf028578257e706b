#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "gpu/vendor.h"

namespace gpu_gate {

// What Slurm allows on this machine to who is inside one of its jobs. Told by the environment
// (environ(7)) alone, as srun(1) and salloc(1) set it.

/// What a remedy names.
struct SlurmRemedy {
  std::string line;  // what to run by srun, ready to paste: "gpu-gate run -n 2 -- ./job"
  int gpus = 1;      // that it wants
};

/// May GPUs of this machine be chosen? Outside a Slurm job: yes. Inside one: those which the list
/// of visible devices names, since no other variable tells it (SLURM_STEP_GPUS may count otherwise,
/// gres.conf(5)). Errors: impossible, with a diagnosis, where it names none, and on the machine
/// from which salloc(1) asked. `vendor`: nothing where it is not known yet.
Status check_allocation(const char* const* environment, std::optional<Vendor> vendor,
                        const SlurmRemedy& remedy);

/// How to get other GPUs than those of the job, a line; "" outside of Slurm jobs.
std::string allocation_advice(const char* const* environment, const SlurmRemedy& remedy);

/// Is this process in a step that has the GPUs of its job itself? A step inside would wait for its
/// end, and that is when this process ends. (A batch script, and the shell of salloc, have none.)
bool is_in_step_with_gpus(const char* const* environment);

}  // namespace gpu_gate
