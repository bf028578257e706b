#include "cli/board.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/process.h"
#include "cli/text.h"

namespace gpu_gate {
namespace {

constexpr int kBarCells = 10;

/// The parent of a process (field 4 of /proc/<pid>/stat, proc(5)), or 0.
pid_t parent_of(pid_t pid) {
  const auto text = read_small_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!text) return 0;
  const std::size_t name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 4 >= text->size()) return 0;
  pid_t parent = 0;
  std::from_chars(text->data() + name_end + 4, text->data() + text->size(), parent);
  return parent;
}

bool descends_from(pid_t pid, pid_t ancestor) {
  constexpr int kMostGenerations = 256;
  for (int i = 0; i < kMostGenerations && pid > 1; ++i) {
    if (pid == ancestor) return true;
    pid = parent_of(pid);
  }
  return false;
}

/// Does this process belong to a claim on its card? It is the claim's process or comes of it, or,
/// as orphans cannot be traced, it is simply the same user's.
bool is_claimed(const BoardProcess& process, const std::vector<BoardClaim>& claims) {
  return std::any_of(claims.begin(), claims.end(), [&](const BoardClaim& claim) {
    return process.uid == claim.owner.uid ||
           (claim.recorded && claim.owner.pid_namespace == pid_namespace() &&
            descends_from(process.process.pid, claim.owner.pid));
  });
}

std::string memory(std::int64_t mib, const Device& device) {
  return device.memory_total_mib > 0 ? fmt::format("{} MiB", mib) : "-";
}

std::string bar(const Device& device) {
  if (device.memory_total_mib <= 0) return std::string(kBarCells, ' ');
  const auto used = device.memory_total_mib - device.memory_free_mib;
  const auto cells =
      static_cast<int>((used * kBarCells + device.memory_total_mib / 2) / device.memory_total_mib);
  std::string text;
  for (int i = 0; i < kBarCells; ++i) text += i < cells ? "█" : "░";
  return text;
}

/// Who is on a card, one entry a line of the last column.
std::vector<std::string> users(const BoardRow& row, std::int64_t now) {
  std::vector<std::string> lines;
  if (row.device.health != Health::ok) lines.push_back(health_text(row.device));
  for (std::size_t i = 0; i < row.claims.size(); ++i) {
    const BoardClaim& claim = row.claims[i];
    const std::string inner = i == 0 ? "" : "  of it ";
    lines.push_back(inner + (claim.recorded ? holder(claim.owner, now)
                                            : printable(user_name(claim.owner.uid)) +
                                                  ": a claim without a record"));
  }
  for (const BoardProcess& process : row.processes) {
    if (process.claimed) continue;
    const std::string what = process.process.graphics ? " (graphics)" : " (no claim)";
    lines.push_back(process_holder(process.process) + what);
  }
  if (lines.empty()) lines.push_back("-");
  return lines;
}

std::string wish(const Request& request) {
  std::string text = gpus(request.count);
  if (request.min_free_mib) text += fmt::format(", {} MiB free", *request.min_free_mib);
  if (request.max_util_pct) text += fmt::format(", at most {}% busy", *request.max_util_pct);
  return text;
}

class Table {
 public:
  explicit Table(std::vector<bool> right) : right_(std::move(right)), widths_(right_.size(), 0) {}

  /// `width`: of the cells as they show, where that is not their number of bytes.
  void add(std::vector<std::string> cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      widths_[i] = std::max(widths_[i], columns(cells[i]));
    }
    rows_.push_back(std::move(cells));
  }

  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const std::vector<std::string>& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string space(widths_[i] - columns(row[i]), ' ');
        const bool last = i + 1 == row.size();
        line += "  " + (right_[i] ? space + row[i] : last ? row[i] : row[i] + space);
      }
      lines.push_back(line + "\n");
    }
    return lines;
  }

 private:
  /// Characters, not bytes: names may be UTF-8.
  static std::size_t columns(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
  }

  std::vector<bool> right_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

const char* colour_of(const BoardRow& row) {
  if (row.device.health != Health::ok) return "\x1b[31m";  // red
  if (!row.claims.empty()) return "\x1b[33m";              // yellow
  const bool others = std::any_of(row.processes.begin(), row.processes.end(),
                                  [](const BoardProcess& p) { return !p.process.graphics; });
  return others ? "\x1b[35m" : "\x1b[32m";  // magenta, green
}

}  // namespace

Result<Board> make_board(const Snapshot& snapshot, const Ledger* ledger) {
  Board board;
  std::vector<Claim> claims;
  if (ledger != nullptr) {
    Result<std::vector<Claim>> live = ledger->claims(nullptr);
    if (!live) return fail(live.error());
    claims = std::move(*live);
  }
  for (const Device& device : snapshot.devices) {
    BoardRow row;
    row.device = device;
    for (const Claim& claim : claims) {
      if (claim.uuid != device.uuid) continue;
      BoardClaim entry;
      entry.ticket = claim.ticket;
      entry.owner.uid = claim.owner;
      for (const Claim& other : claims) {
        if (other.ticket == claim.ticket) entry.devices.push_back(other.uuid);
      }
      const std::optional<ClaimRecord> record = ledger->claim_record(claim.ticket);
      // Whoever owns the FIFO holds the card; another user's record is not his.
      if (record && record->owner.uid == claim.owner) {
        entry.owner = record->owner;
        entry.recorded = true;
      }
      row.claims.push_back(std::move(entry));
    }
    for (const GpuProcess& process : device.processes) {
      BoardProcess entry;
      entry.process = process;
      if (const auto identity = process_identity(process.pid)) entry.uid = identity->uid;
      entry.command = process_command(process.pid, kMostCommandBytes);
      entry.claimed = is_claimed(entry, row.claims);
      row.processes.push_back(std::move(entry));
    }
    board.rows.push_back(std::move(row));
  }
  if (ledger == nullptr) return board;
  Result<std::vector<Place>> places = ledger->all_lines();
  if (!places) return fail(places.error());
  for (const Place& place : *places) {
    const Result<bool> live = ledger->is_live(place);
    if (!live) return fail(live.error());
    if (!*live) continue;
    if (std::optional<WaiterRecord> record = ledger->waiter_record(place)) {
      board.waiters.push_back(BoardWaiter{place, std::move(*record)});
    }
  }
  return board;
}

std::string board_text(const Board& board, const BoardStyle& style) {
  if (board.rows.empty()) return "no GPU on this machine\n";
  std::vector<bool> right{true, false, true, true, true, false};
  std::vector<std::string> head{"idx", "name", "free", "total", "util", "used by"};
  if (style.colour) {
    right.insert(right.begin() + 4, false);
    head.insert(head.begin() + 4, "memory");
  }
  Table table(right);
  table.add(head);
  std::vector<const char*> colours{nullptr};
  for (const BoardRow& row : board.rows) {
    const Device& device = row.device;
    const std::vector<std::string> lines = users(row, style.now);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      std::vector<std::string> cells(head.size());
      cells.back() = lines[i];
      if (i == 0) {
        cells[0] = std::to_string(device.index);
        cells[1] = device.name.empty() ? "?" : printable(device.name);
        cells[2] = memory(device.memory_free_mib, device);
        cells[3] = memory(device.memory_total_mib, device);
        if (style.colour) cells[4] = bar(device);
        cells[cells.size() - 2] =
            device.utilization_pct ? fmt::format("{}%", *device.utilization_pct) : "-";
      }
      table.add(std::move(cells));
      colours.push_back(colour_of(row));
    }
  }
  std::string text;
  const std::vector<std::string> lines = table.lines();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (style.colour && colours[i] != nullptr) {
      text += colours[i] + lines[i].substr(0, lines[i].size() - 1) + "\x1b[0m\n";
    } else {
      text += lines[i];
    }
  }
  if (board.waiters.empty()) return text;

  text += fmt::format("  waiting: {}\n", board.waiters.size());
  Table waiting({true, false, false, true, false});
  std::size_t place = 0;
  for (const BoardWaiter& waiter : board.waiters) {
    const Owner& owner = waiter.record.owner;
    const bool inside = waiter.place.within != 0;
    waiting.add({inside ? "-" : std::to_string(++place), printable(user_name(owner.uid)),
                 wish(waiter.record.request) + (inside ? ", inside its own claim" : ""),
                 human_duration(std::chrono::seconds(style.now - owner.since)),
                 fmt::format("{} (pid {})", printable(owner.command), owner.pid)});
  }
  for (const std::string& line : waiting.lines()) text += "  " + line;
  return text;
}

}  // namespace gpu_gate
