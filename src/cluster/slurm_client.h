#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace gpu_gate {

/// The commands of Slurm's on this machine, as files.
struct SlurmClient {
  std::string srun;
  std::string scancel;
  std::string scontrol;
  std::string squeue;
  std::string sinfo;
};

/// Errors: gpu_state where a command is missing, or $SLURM_CONF names no file (srun would look for
/// it for a minute).
Result<SlurmClient> find_slurm_client(const char* const* environment);

/// The same, once Slurm has answered scontrol ping. Blocks for 4 s at the most, where any other
/// command takes 9 s to say that the controller is away. Errors: as find_slurm_client, and
/// gpu_state where it does not answer; system.
Result<SlurmClient> reach_slurm(const char* const* environment);

/// What became of a command of Slurm's.
struct ClientEnd {
  int code = 0;  // as a shell tells it: 128 + the signal that ended it
  std::string out;
  std::string err;

  /// Why it failed, as it says itself, printable: the last line of its errors, to which those
  /// before led; the first of its output, where it has none.
  std::string complaint() const;
};

/// Runs a command, the first of `words` its file, without input, to its end and reads what it
/// writes. Blocks for `limit` at the most: then the command is killed. Errors: gpu_state, where it
/// has not ended in time or writes more than 512 MiB; system.
Result<ClientEnd> run_client(const std::vector<std::string>& words, const char* const* environment,
                             std::chrono::seconds limit);

}  // namespace gpu_gate
