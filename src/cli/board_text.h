#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "report/board.h"

namespace gpu_gate {

struct BoardStyle {
  bool colour = false;                              // and the memory bar
  bool utf8 = true;                                 // false: nothing but ASCII
  std::optional<std::size_t> width = std::nullopt;  // of the terminal: no line is longer
  std::int64_t now = 0;                             // seconds since 1970
};

/// The board as a table. Where it is too wide the bar goes first; then commands are cut; and where
/// not even the users, pids and times fit beside their GPU, each has a line below it.
std::string board_text(const Board& board, const BoardStyle& style);

/// The line alone, likewise.
std::string queue_text(const Board& board, const BoardStyle& style);

/// Why a request still waits, in one line: "GPU 0: claimed by alice; GPU 1: kept for somebody ahead
/// in line"; "" where that is not known. `now`: seconds since 1970.
std::string waiting_reason(const BoardWaiter& waiter, const Board& board, std::int64_t now);

/// "place 2", of the waiter with this ticket.
std::string place_text(const Board& board, Ticket ticket);

/// What a process on a GPU is, where it is no job's there: " (no claim)", " strays from GPU 2".
std::string process_mark(const BoardProcess& process, const Board& board);

/// Of memory of a GPU that could be had but for it, and that nobody has who could be named: "9000
/// MiB in use by no visible process"; "" where there is none.
std::string unowned_text(const BoardRow& row);

/// How full the memory is, in ten cells; "" where that is not known.
std::string memory_bar(const Device& device, bool utf8);

}  // namespace gpu_gate
