#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace gpu_gate {

/// What became of one of Slurm's client commands (squeue, scontrol, ...).
struct ClientEnd {
  int code = 0;  // as a shell tells it: 128 + the signal that ended it
  std::string out;
  std::string err;

  /// Why it failed, as it says itself, printable: the last line of its errors, to which those
  /// before led; the first of its output, where it has none.
  std::string complaint() const;
};

/// Runs a client command, found in PATH, without input, to its end and reads what it writes. Blocks
/// for `limit` at the most: then the command is killed. Errors: gpu_state, where it is not there,
/// has not ended in time or writes more than 512 MiB; system.
Result<ClientEnd> run_client(const std::vector<std::string>& words, std::chrono::seconds limit);

/// Can Slurm be asked from here? Blocks for 4 s at the most, where each command of Slurm's own
/// would take 9 s to say no, and 59 s where its configuration is missing. `environment`:
/// environ(7). Errors: gpu_state, one line with what helps; system.
Status reach_slurm(const char* const* environment);

}  // namespace gpu_gate
