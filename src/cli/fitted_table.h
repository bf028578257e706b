#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace gpu_gate {

// Tables of the live board and of a cluster: columns that are left out where there is no room, and
// as the last one the command, which takes what is left. Pure. All text in it is printable, and
// ASCII where the terminal takes nothing else.

/// What a terminal takes.
struct FittedStyle {
  bool colour = false;
  bool utf8 = true;
  std::size_t width = 80;
};

struct FittedColumn {
  std::string head;
  bool right = false;  // flush right
  int spared = 0;      // the highest is left out first; 0: never
  std::size_t most = std::numeric_limits<std::size_t>::max();  // columns of the terminal
};

/// One line of a table.
struct FittedRow {
  std::vector<std::string> cells;  // one for each column but the command
  std::string command;             // may be cut
  std::string after;               // stands behind it, whole
  std::string remark;              // instead of the command and the cells from `remark_at` on
  const char* colour = "";         // of the cell `coloured`
};

/// Lines that are shown together or not at all.
using FittedBlock = std::vector<FittedRow>;

struct FittedTable {
  std::vector<FittedColumn> columns;  // without the command
  int command_spared = 0;
  std::size_t coloured = 0;   // which cell has the row's colour
  std::size_t remark_at = 0;  // where a remark begins
  std::vector<FittedBlock> blocks;
};

/// How wide the columns are; 0: left out. The command's width is the last.
std::vector<std::size_t> column_widths(const FittedTable& table, std::size_t width);

/// How wide it would be with all columns and so much of each command at the most.
std::size_t natural_width(const FittedTable& table, std::size_t command);

/// The line of heads.
std::string head_line(const FittedTable& table, const std::vector<std::size_t>& widths,
                      const FittedStyle& style);

/// The lines of a block, none wider than the terminal. `whole`: a command that is cut stands in
/// lines of its own below.
std::vector<std::string> block_lines(const FittedTable& table, const FittedBlock& block,
                                     const std::vector<std::size_t>& widths, bool whole,
                                     const FittedStyle& style);

}  // namespace gpu_gate
