#pragma once

#include <cstdint>
#include <string>

#include "report/board.h"

namespace gpu_gate {

struct BoardStyle {
  bool colour = false;   // and the memory bar
  std::int64_t now = 0;  // seconds since 1970
};

/// The board as a table. Pure.
std::string board_text(const Board& board, const BoardStyle& style);

}  // namespace gpu_gate
