#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gate/ledger.h"
#include "gpu/device.h"

namespace gpu_gate {

/// Everything that status shows, as plain values: every GPU, who holds it, who waits.
struct BoardClaim {
  Ticket ticket = 0;
  Owner owner;
  bool recorded = false;  // false: only the claim's owner (uid) is known
  std::vector<std::string> devices;
};

struct BoardProcess {
  GpuProcess process;
  std::optional<uid_t> uid;  // nothing where the process cannot be seen
  std::string command;
  bool claimed = false;  // belongs to a claim on that GPU
};

struct BoardRow {
  Device device;
  std::vector<BoardClaim> claims;  // the outermost first, then those made inside it
  std::vector<BoardProcess> processes;
};

struct BoardWaiter {
  Place place;
  WaiterRecord record;
};

struct Board {
  std::vector<BoardRow> rows;
  std::vector<BoardWaiter> waiters;
};

/// Puts it together. `ledger` may be null (there is no lock directory yet). Reads /proc.
Result<Board> make_board(const Snapshot& snapshot, const Ledger* ledger);

struct BoardStyle {
  bool colour = false;   // and the memory bar
  std::int64_t now = 0;  // seconds since 1970
};

/// The board as a table. Pure.
std::string board_text(const Board& board, const BoardStyle& style);

}  // namespace gpu_gate
