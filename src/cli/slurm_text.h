#pragma once

#include <string>

#include "cli/board_text.h"
#include "cluster/slurm_board.h"

namespace gpu_gate {

/// A cluster as a table: a line for each card and for each job that waits for GPUs, or for several
/// in a row of which the same is to be said. Where it is too wide, columns go first that say least.
std::string slurm_text(const SlurmBoard& board, const BoardStyle& style);

}  // namespace gpu_gate
