#pragma once

#include "cli/watch_gpus.h"
#include "cli/watch_table.h"

namespace gpu_gate {

/// The line as a table, with what its blocks stand for.
struct WatchLine {
  WatchTable table;
  std::vector<std::size_t> requests;  // of each block
};

/// Who waits, in the order of turns; equal requests of one user are one block.
WatchLine line_table(const WatchScene& scene);

}  // namespace gpu_gate
