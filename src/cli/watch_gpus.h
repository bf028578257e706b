#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "cli/fitted_table.h"
#include "report/board.h"
#include "report/trend.h"

namespace gpu_gate {

/// What the tables of the live board are made from.
struct WatchScene {
  const Board& board;
  const Trends* trends = nullptr;  // none: no graphs
  std::int64_t now = 0;            // seconds since 1970
  uid_t me = 0;
  bool mine = false;  // nothing of others
  FittedStyle style;
};

/// Text of others as the terminal takes it.
std::string shown_text(const std::string& text, const FittedStyle& style);

/// "24", "7.5".
std::string gib(std::int64_t mib);

/// The GPUs, a block each. `brief`: one line each, with the number of all others on it, "(+2)".
FittedTable gpu_table(const WatchScene& scene, bool brief);

/// The same, with graphs of the last minutes where there is room for them.
FittedTable gpu_table_with_graphs(const WatchScene& scene, bool brief);

}  // namespace gpu_gate
