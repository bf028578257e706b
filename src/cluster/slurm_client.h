#pragma once

#include <string>

#include "base/result.h"

namespace gpu_gate {

/// The commands of Slurm's on this machine, as files.
struct SlurmClient {
  std::string srun;
  std::string scancel;
  std::string scontrol;
  std::string squeue;
};

/// Errors: gpu_state where a command is missing, or $SLURM_CONF names no file (srun would look for
/// it for a minute).
Result<SlurmClient> find_slurm_client(const char* const* environment);

}  // namespace gpu_gate
