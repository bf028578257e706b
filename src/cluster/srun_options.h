#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace gpu_gate {

/// What is asked of Slurm.
struct StepRequest {
  int count = 1;                  // of GPUs, on one node
  std::string type;               // of these; "" for any
  std::string name;               // that squeue shows
  std::string note;               // likewise, as a comment
  bool nice = false;              // behind the user's other jobs and those of others
  bool at_once = false;           // or not at all
  bool of_allocation = false;     // a step of the job that this process is in
  std::vector<std::string> more;  // options that the user has written
};

// How srun(1) ends where it has not started the command: SLURM_EXIT_ERROR, SLURM_EXIT_IMMEDIATE.
constexpr int kSrunFailed = 251;
constexpr int kSrunWouldWait = 252;

/// The options of srun(1) for that, its name not among them. `errors`: a descriptor that srun has,
/// for the standard error of the command. Those of the user come last: of an option that is there
/// twice srun takes the last one.
std::vector<std::string> srun_options(const StepRequest& request, int errors);

/// Refuses options of the user that would take from gpu-gate what it goes by: the streams, and that
/// there is one task. Errors: usage.
Status check_srun_options(const std::vector<std::string>& words);

/// The environment of srun: the given one with how it is to end, and without what would change its
/// streams.
std::vector<std::string> srun_environment(const char* const* environment);

}  // namespace gpu_gate
