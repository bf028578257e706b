#include "cli/board_text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "cli/columns.h"
#include "cli/text.h"
#include "policy/fit.h"

namespace gpu_gate {
namespace {

constexpr int kBarCells = 10;
/// So much of a command is shown at least, or else another layout is taken.
constexpr std::size_t kLeastCommand = 6;
constexpr std::size_t kLeastCommandBesideBar = 24;
constexpr std::size_t kLeastNote = 8;    // likewise
constexpr std::size_t kNoteInLine = 12;  // of a waiter's, where there is no room for all
constexpr std::size_t kLeastWish = 4;
constexpr std::size_t kLeastName = 12;  // of a device's, with what uses it behind
constexpr std::size_t kLeastNameAlone = 4;

std::string memory(std::int64_t mib, const Device& device) {
  return device.memory_total_mib > 0 ? fmt::format("{} MiB", mib) : "-";
}

const char* ellipsis(const BoardStyle& style) { return style.utf8 ? "…" : "..."; }

/// " strays from GPU 2", the first device of the claim that a process belongs to.
std::string strays_text(const Claim& claim, const Board& board) {
  const auto has_it = std::find_if(board.rows.begin(), board.rows.end(), [&](const BoardRow& row) {
    return std::any_of(row.claims.begin(), row.claims.end(),
                       [&](const BoardClaim& each) { return each.ticket == claim.ticket; });
  });
  return " strays from " + (has_it == board.rows.end() ? "its claim on " + claim.uuid
                                                       : "GPU " + label(has_it->device));
}

}  // namespace

std::string place_text(const Board& board, Ticket ticket) {
  const auto at = std::find_if(board.waiters.begin(), board.waiters.end(), [&](const auto& waiter) {
    return waiter.place.ticket == ticket && waiter.place.within == 0;
  });
  return fmt::format("place {}", at - board.waiters.begin() + 1);
}

std::string process_mark(const BoardProcess& process, const Board& board) {
  if (process.strays) return strays_text(*process.strays, board);
  const GpuProcess& listed = process.described.process;
  return listed.mps_server ? " (MPS server)" : listed.graphics ? " (graphics)" : " (no claim)";
}

std::string unowned_text(const BoardRow& row) {
  const Device& device = row.device;
  if (row.freeing) return "its memory is being freed";
  const bool nobodys = row.claims.empty() && device.accessible && device.health == Health::ok &&
                       has_unowned_memory(device);
  return nobodys ? fmt::format("{} MiB in use by no visible process", unowned_mib(device)) : "";
}

std::string memory_bar(const Device& device, bool utf8) {
  if (device.memory_total_mib <= 0) return "";
  const std::int64_t used = std::clamp<std::int64_t>(
      device.memory_total_mib - device.memory_free_mib, 0, device.memory_total_mib);
  const std::int64_t full =
      (used * kBarCells + device.memory_total_mib / 2) / device.memory_total_mib;
  std::string text;
  for (int i = 0; i < kBarCells; ++i) text += i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : ".");
  return text;
}

namespace {

Said plain_said(std::string text) {
  return {.before = "", .command = std::move(text), .after = ""};
}

/// What is the matter with the device itself.
void add_faults(const Device& device, std::vector<Said>& lines) {
  const bool known = device.index >= 0;  // else the driver is told of apart
  // A driver that does not open a closed device cannot read its state either.
  const bool told = known && (device.accessible || device.health != Health::unreadable);
  if (!device.accessible) lines.push_back(plain_said("closed to you"));
  if (told && device.health != Health::ok) lines.push_back(plain_said(health_text(device)));
  if (device.repair != Repair::none) lines.push_back(plain_said(repair_text(device)));
}

void add_processes(const BoardRow& row, const Board& board, std::vector<Said>& lines) {
  for (const BoardProcess& process : row.processes) {
    if (process.claimed || process.described.ended) continue;
    lines.push_back(process_said(process.described));
    lines.back().after += process_mark(process, board);
  }
}

/// What uses a device: one entry for each line of the last column.
std::vector<Said> users(const BoardRow& row, const Board& board, std::int64_t now) {
  std::vector<Said> lines;
  add_faults(row.device, lines);
  for (const BoardClaim& claim : row.claims) {
    Said said = claimant_said(claim.claimant, now, claim.used_mib, claim.idle);
    if (claim.inside) said.before.insert(0, "  inside it, ");
    if (!claim.claimant.job) said.after += ": a claim without a record";
    lines.push_back(std::move(said));
  }
  if (row.kept_for != 0) {
    lines.push_back(
        {.before = "kept for " + place_text(board, row.kept_for), .command = "", .after = ""});
  }
  if (std::string unowned = unowned_text(row); !unowned.empty()) {
    lines.push_back(plain_said(std::move(unowned)));
  }
  add_processes(row, board, lines);
  return lines;
}

std::string wish(const Criteria& criteria) {
  std::string text = wish_text(criteria);
  if (criteria.min_free_mib) text += fmt::format(", {} MiB free", *criteria.min_free_mib);
  if (criteria.max_util_pct) text += fmt::format(", at most {}% busy", *criteria.max_util_pct);
  if (criteria.nice) text += ", nice";
  return text;
}

using Cells = std::vector<std::string>;

/// Rows of cells as lines of the same width, with two spaces before each cell. `right`: which
/// columns are flush right.
std::vector<std::string> aligned(const std::vector<Cells>& rows, const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size(), 0);
  for (const Cells& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::vector<std::string> lines;
  for (const Cells& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - columns(row[i]), ' ');
      line += "  " + (right[i] ? space + row[i] : row[i] + space);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

/// A column whose cells may be cut, to so many columns.
struct Cuttable {
  std::size_t column = 0;
  std::size_t least = 0;
};

/// The same in lines of at most `width`, if that can be had by cutting the cells of one column.
std::vector<std::string> aligned_within(std::vector<Cells> rows, const std::vector<bool>& right,
                                        Cuttable cells, std::size_t width,
                                        const BoardStyle& style) {
  std::vector<std::string> lines = aligned(rows, right);
  const std::size_t all = lines.empty() ? 0 : columns(lines.front());
  if (all <= width) return lines;
  std::size_t widest = 0;
  for (const Cells& row : rows) widest = std::max(widest, columns(row[cells.column]));
  const std::size_t left = widest > all - width ? widest - (all - width) : 0;
  for (Cells& row : rows) {
    std::string& cell = row[cells.column];
    cell = cut(cell, std::max(left, cells.least), ellipsis(style));
  }
  return aligned(rows, right);
}

/// It with so many columns of the note and of the command.
std::string shortened(const Said& said, std::size_t note, std::size_t command,
                      const BoardStyle& style) {
  return said.shown(cut(said.note.value_or(""), note, ellipsis(style)),
                    cut(said.command, command, ellipsis(style)));
}

/// The least width in which it can be said with so much of the command.
std::size_t least_columns(const Said& said, std::size_t command, const BoardStyle& style) {
  return columns(shortened(said, kLeastNote, command, style));
}

/// It in so many columns, if that can be had by cutting the command, to a few letters, and then the
/// note.
std::string said_within(std::size_t room, const Said& said, const BoardStyle& style) {
  std::size_t missing = columns(said.whole()) - std::min(columns(said.whole()), room);
  const auto give = [&](std::size_t width, std::size_t least) {
    const std::size_t given = std::min(missing, width - std::min(width, least));
    missing -= given;
    return width - given;
  };
  const std::size_t command = give(columns(said.command), kLeastCommand);
  const std::size_t note = give(columns(said.note.value_or("")), kLeastNote);
  return shortened(said, note, give(command, 0), style);
}

/// `head`, which is a whole number of cells, and behind it what fits.
std::string line_of(const std::string& head, const Said& said, const BoardStyle& style) {
  if (!style.width) return head + said.whole();
  const std::size_t room = *style.width - std::min(*style.width, columns(head));
  return cut(head + said_within(room, said, style), *style.width, ellipsis(style));
}

const char* colour_of(const BoardRow& row) {
  if (row.device.health == Health::mig && row.device.accessible) return "\x1b[2m";   // dim
  if (row.device.health != Health::ok || !row.device.accessible) return "\x1b[31m";  // red
  if (!row.claims.empty()) return "\x1b[33m";                                        // yellow
  return occupants(row.device).empty() ? "\x1b[32m" : "\x1b[35m";  // green, magenta
}

/// What is known of the device itself: the cells of its first line but the last.
Cells device_cells(const Device& device, bool with_bar, const BoardStyle& style) {
  const std::string& name = device.name.empty() ? device.uuid : device.name;
  Cells cells{label(device), name.empty() ? "?" : printable(name),
              memory(device.memory_free_mib, device), memory(device.memory_total_mib, device)};
  if (with_bar) cells.push_back(memory_bar(device, style.utf8));
  cells.push_back(device.utilization_pct ? fmt::format("{}%", *device.utilization_pct) : "-");
  return cells;
}

/// The lines of the devices without what uses them, the head first.
std::vector<std::string> device_lines(const Board& board, bool with_bar, const BoardStyle& style,
                                      std::size_t width, std::size_t least_name) {
  std::vector<bool> right{true, false, true, true, true};
  std::vector<Cells> rows{{"idx", "name", "free", "total", "util"}};
  if (with_bar) {
    rows[0].insert(rows[0].begin() + 4, "memory");
    right.insert(right.begin() + 4, false);
  }
  for (const BoardRow& row : board.rows) rows.push_back(device_cells(row.device, with_bar, style));
  return aligned_within(std::move(rows), right, {.column = 1, .least = least_name}, width, style);
}

struct DeviceTable {
  std::vector<std::string> lines;
  bool beside = true;  // what uses a device stands behind it, else below
};

/// The layout that shows most: the bar goes first, then the ends of long names; then what uses the
/// devices goes below them.
DeviceTable device_table(const Board& board, const std::vector<std::vector<Said>>& used,
                         const BoardStyle& style) {
  constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();
  if (!style.width) return {.lines = device_lines(board, style.colour, style, kAny, kAny)};
  const std::size_t all = *style.width;
  /// What is left beside the uses, with so much of each command.
  const auto left = [&](std::size_t command) {
    std::size_t need = 0;
    for (const std::vector<Said>& row : used) {
      for (const Said& said : row) need = std::max(need, least_columns(said, command, style));
    }
    return all - std::min(all, need + 2);
  };
  const std::size_t with_bar = left(kLeastCommandBesideBar);
  DeviceTable table{.lines = device_lines(board, style.colour, style, with_bar, kAny)};
  if (style.colour && columns(table.lines.front()) <= with_bar) return table;
  const std::size_t without = left(kLeastCommand);
  table.lines = device_lines(board, false, style, without, kLeastName);
  if (columns(table.lines.front()) <= without) return table;
  table = {.lines = device_lines(board, false, style, all, kLeastNameAlone), .beside = false};
  for (std::string& line : table.lines) line = cut(line, all, ellipsis(style));
  return table;
}

std::string gpu_lines(const Board& board, const BoardStyle& style) {
  std::vector<std::vector<Said>> used;
  used.reserve(board.rows.size());
  for (const BoardRow& row : board.rows) used.push_back(users(row, board, style.now));
  const auto [lines, beside] = device_table(board, used, style);
  const Said nobody{.before = "-", .command = "", .after = ""};
  const Said heading{.before = "used by", .command = "", .after = ""};
  const std::string indent(beside ? columns(lines.front()) + 2 : std::string("  idx  ").size(),
                           ' ');

  std::string text = (beside ? line_of(lines[0] + "  ", heading, style) : lines[0]) + "\n";
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i].empty() && beside) used[i].push_back(nobody);
    std::vector<std::string> block;
    for (const Said& said : used[i]) block.push_back(line_of(indent, said, style));
    if (!beside) block.insert(block.begin(), lines[i + 1]);
    if (beside) block[0] = line_of(lines[i + 1] + "  ", used[i][0], style);
    for (const std::string& line : block) {
      text += style.colour ? colour_of(board.rows[i]) + line + "\x1b[0m\n" : line + "\n";
    }
  }
  return text;
}

/// Of each waiter the cells before its command: place, user, wish, time. `note`: so much of a note.
std::vector<Cells> waiter_cells(const Board& board, std::size_t note, const BoardStyle& style) {
  std::vector<Cells> rows;
  std::size_t position = 0;
  for (const BoardWaiter& waiter : board.waiters) {
    const Owner& owner = waiter.record.owner;
    const bool inside = waiter.place.within != 0;
    const bool shown = waiter.place.line() == line_for(0, board.vendor);
    const std::string where = inside  ? ", inside its own claim"
                              : shown ? ""
                                      : fmt::format(", of {}", name_of(waiter.place.vendor));
    rows.push_back(
        {shown ? std::to_string(++position) : "-",
         printable(waiter.user) + note_text(cut(printable(owner.note), note, ellipsis(style))),
         wish(waiter.record.request.criteria) + where,
         human_duration(std::chrono::seconds(style.now - owner.since))});
  }
  return rows;
}

/// A line for each waiter, below these headings if there are any.
std::string waiting_lines(const Board& board, const BoardStyle& style, const Cells& headings = {}) {
  constexpr Cuttable kWish{.column = 2, .least = kLeastWish};
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  std::vector<Said> commands;
  std::size_t need = 0;
  if (!headings.empty()) commands.push_back({.before = "", .command = "command", .after = ""});
  for (const BoardWaiter& waiter : board.waiters) {
    const Owner& owner = waiter.record.owner;
    commands.push_back(
        {.before = "",
         .command = printable(owner.command),
         .after = fmt::format(" (pid {}{})", owner.pid, waiter.stopped ? ", stopped" : "")});
    need = std::max(need, least_columns(commands.back(), kLeastCommand, style));
  }
  const std::size_t around = need + 4;  // with the indent, and the space before the command
  const std::vector<bool> right{true, false, false, true};
  const std::size_t width = style.width.value_or(kAll);
  const std::size_t room = width - std::min(width, around);
  const auto rows_with = [&](std::size_t note) {
    std::vector<Cells> rows = waiter_cells(board, note, style);
    if (!headings.empty()) rows.insert(rows.begin(), headings);
    return rows;
  };
  std::vector<Cells> rows = rows_with(kAll);
  const std::vector<std::string> whole = aligned(rows, right);
  if (!whole.empty() && columns(whole.front()) > room) rows = rows_with(kNoteInLine);
  const std::vector<std::string> heads = aligned_within(std::move(rows), right, kWish, room, style);
  std::string text;
  for (std::size_t i = 0; i < heads.size(); ++i) {
    text += line_of("  " + heads[i] + "  ", commands[i], style) + "\n";
  }
  if (board.driver_kept_open) {
    text += "  persistence mode is off: waiters keep the driver open (nvidia-smi -pm 1 helps)\n";
  }
  return text;
}

}  // namespace

std::string board_text(const Board& board, const BoardStyle& style) {
  if (board.rows.empty() && board.devices_read) return "no GPU on this machine\n";
  std::string text = board.rows.empty() ? "" : gpu_lines(board, style);
  if (!board.waiters.empty()) {
    text += fmt::format("  waiting: {}\n", board.waiters.size()) + waiting_lines(board, style);
  }
  for (const std::string& line : board.policy.unread) {
    text += "  ignored in the policy file: " + printable(line) + "\n";
  }
  return style.utf8 ? text : in_ascii(text);
}

std::string queue_text(const Board& board, const BoardStyle& style) {
  if (board.waiters.empty()) return "nobody waits\n";
  const std::string text = waiting_lines(board, style, {"place", "user", "wants", "waited"});
  return style.utf8 ? text : in_ascii(text);
}

namespace {

/// Lines, which begin with spaces, as one.
std::string join_lines(const std::string& lines) {
  std::string text;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t begin = lines.find_first_not_of(' ', at);
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    text += (text.empty() ? "" : "; ") + lines.substr(begin, end - begin);
    at = end + 1;
  }
  return text;
}

/// Why the device of this row is not what the waiter waits for.
std::string unfit_text(const BoardRow& row, Fit fit, const Request& request, std::int64_t now) {
  if (fit == Fit::not_allowed) return "not among those that it may have";
  if (fit == Fit::over_limit)
    return "free, but its user would hold more than one may (max-per-user)";
  Unfit unfit{.device = row.device, .fit = fit, .use = {}, .room_mib = row.room_mib};
  for (const BoardClaim& claim : row.claims) {
    if (!claim.inside) unfit.use.claimants.push_back(claim.claimant);
  }
  for (const GpuProcess& occupant : occupants(row.device)) {
    for (const BoardProcess& process : row.processes) {
      if (process.described.process.pid != occupant.pid) continue;
      unfit.use.processes.push_back(process.described);
    }
  }
  return reason(unfit, request, now);
}

}  // namespace

std::string waiting_reason(const BoardWaiter& waiter, const Board& board, std::int64_t now) {
  if (waiter.stopped) return "it is stopped, and passed over until it goes on";
  if (waiter.its_turn) return "it is its turn";
  std::vector<Remark> remarks;
  if (!waiter.fits) return "";
  remarks.reserve(waiter.fits->size());
  for (std::size_t i = 0; i < waiter.fits->size(); ++i) {
    remarks.push_back(
        {.device = board.rows[i].device,
         .text = unfit_text(board.rows[i], (*waiter.fits)[i], waiter.record.request, now)});
  }
  return join_lines(remark_lines(remarks));
}

}  // namespace gpu_gate
