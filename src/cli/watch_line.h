#pragma once

#include "cli/fitted_table.h"
#include "cli/watch_gpus.h"

namespace gpu_gate {

/// The line as a table, with what its blocks stand for.
struct WatchLine {
  FittedTable table;
  std::vector<std::size_t> requests;  // of each block
};

/// Who waits, in the order of turns; equal requests of one user are one block.
WatchLine line_table(const WatchScene& scene);

}  // namespace gpu_gate
