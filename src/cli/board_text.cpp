#include "cli/board_text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>

#include "cli/text.h"

namespace gpu_gate {
namespace {

constexpr int kBarCells = 10;

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

/// What uses a device: one entry for each line of the last column.
std::vector<std::string> users(const BoardRow& row, std::int64_t now) {
  std::vector<std::string> lines;
  const bool known = row.device.index >= 0;  // else the driver is told of apart
  const Device& device = row.device;
  // A driver that does not open a closed device cannot read its state either.
  const bool told = known && (device.accessible || device.health != Health::unreadable);
  if (!device.accessible) lines.emplace_back("closed to you");
  if (told && device.health != Health::ok) lines.push_back(health_text(device));
  for (const BoardClaim& claim : row.claims) {
    const bool outermost = &claim == &row.claims.front();
    lines.push_back((outermost ? "" : "  inside it, ") + claimant_text(claim.claimant, now) +
                    (claim.claimant.job ? "" : ": a claim without a record"));
  }
  for (const BoardProcess& process : row.processes) {
    if (process.claimed) continue;
    const GpuProcess& listed = process.described.process;
    lines.push_back(process_text(process.described) + (listed.mps_server ? " (MPS server)"
                                                       : listed.graphics ? " (graphics)"
                                                                         : " (no claim)"));
  }
  if (lines.empty()) lines.push_back("-");
  return lines;
}

std::string wish(const Criteria& criteria) {
  std::string text = gpus(criteria.count);
  if (criteria.min_free_mib) text += fmt::format(", {} MiB free", *criteria.min_free_mib);
  if (criteria.max_util_pct) text += fmt::format(", at most {}% busy", *criteria.max_util_pct);
  return text;
}

class Table {
 public:
  explicit Table(std::vector<bool> right) : right_(std::move(right)), widths_(right_.size(), 0) {}

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
  if (row.device.health != Health::ok || !row.device.accessible) return "\x1b[31m";  // red
  if (!row.claims.empty()) return "\x1b[33m";                                        // yellow
  return occupants(row.device).empty() ? "\x1b[32m" : "\x1b[35m";  // green, magenta
}

/// What is known of the device itself: the cells of its first line but the last.
std::vector<std::string> device_cells(const Device& device, const BoardStyle& style) {
  const std::string& name = device.name.empty() ? device.uuid : device.name;
  std::vector<std::string> cells{
      device.index < 0 ? "?" : std::to_string(device.index), name.empty() ? "?" : printable(name),
      memory(device.memory_free_mib, device), memory(device.memory_total_mib, device)};
  if (style.colour) cells.push_back(bar(device));
  cells.push_back(device.utilization_pct ? fmt::format("{}%", *device.utilization_pct) : "-");
  return cells;
}

std::string gpu_lines(const Board& board, const BoardStyle& style) {
  Table table = style.colour ? Table({true, false, true, true, false, true, false})
                             : Table({true, false, true, true, true, false});
  std::vector<std::string> head{"idx", "name", "free", "total", "util", "used by"};
  if (style.colour) head.insert(head.begin() + 4, "memory");
  table.add(head);
  std::vector<const char*> colours{nullptr};
  for (const BoardRow& row : board.rows) {
    std::vector<std::string> cells = device_cells(row.device, style);
    for (std::string& user : users(row, style.now)) {
      cells.push_back(std::move(user));
      table.add(std::move(cells));
      colours.push_back(colour_of(row));
      cells.assign(head.size() - 1, "");  // only the first line has them
    }
  }
  std::string text;
  const std::vector<std::string> lines = table.lines();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool coloured = style.colour && colours[i] != nullptr;
    text +=
        coloured ? colours[i] + lines[i].substr(0, lines[i].size() - 1) + "\x1b[0m\n" : lines[i];
  }
  return text;
}

std::string waiting_lines(const Board& board, const BoardStyle& style) {
  Table table({true, false, false, true, false});
  std::size_t position = 0;
  for (const BoardWaiter& waiter : board.waiters) {
    const Owner& owner = waiter.record.owner;
    const bool inside = waiter.place.within != 0;
    table.add({inside ? "-" : std::to_string(++position), printable(waiter.user),
               wish(waiter.record.request.criteria) + (inside ? ", inside its own claim" : ""),
               human_duration(std::chrono::seconds(style.now - owner.since)),
               fmt::format("{} (pid {})", printable(owner.command), owner.pid)});
  }
  std::string text;
  for (const std::string& line : table.lines()) text += "  " + line;
  if (board.driver_kept_open) {
    text += "  persistence mode is off: waiters keep the driver open (nvidia-smi -pm 1 helps)\n";
  }
  return text;
}

}  // namespace

std::string board_text(const Board& board, const BoardStyle& style) {
  if (board.rows.empty() && board.devices_read) return "no GPU on this machine\n";
  std::string text = board.rows.empty() ? "" : gpu_lines(board, style);
  if (board.waiters.empty()) return text;
  return text + fmt::format("  waiting: {}\n", board.waiters.size()) + waiting_lines(board, style);
}

}  // namespace gpu_gate
