#include "cli/fitted_table.h"

#include <algorithm>
#include <string_view>

#include "cli/columns.h"

namespace gpu_gate {
namespace {

constexpr std::size_t kTableMargin = 1;  // before the first column
constexpr std::size_t kGap = 2;          // between two
constexpr std::size_t kLeastOfCommand = 8;
constexpr std::size_t kCommandIndent = 6;  // of a whole command

std::string_view dots(const FittedStyle& style) { return style.utf8 ? "…" : "..."; }

std::string cell_of(const std::string& text, std::size_t width, bool right,
                    const FittedStyle& style) {
  std::string shown = cut(text, width, dots(style));
  const std::string space(width - std::min(width, columns(shown)), ' ');
  return right ? space + shown : shown + space;
}

/// As wide as all its cells need.
std::vector<std::size_t> needed_widths(const FittedTable& table) {
  std::vector<std::size_t> widths(table.columns.size() + 1, 0);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    widths[i] = columns(table.columns[i].head);
    for (const FittedBlock& block : table.blocks) {
      for (const FittedRow& row : block) {
        const bool has_cell = row.remark.empty() || i < table.remark_at;
        if (has_cell) widths[i] = std::max(widths[i], columns(row.cells[i]));
      }
    }
    widths[i] = std::min(widths[i], table.columns[i].most);
  }
  for (const FittedBlock& block : table.blocks) {
    for (const FittedRow& row : block) {
      if (!row.remark.empty()) continue;
      widths.back() = std::max(widths.back(), columns(row.command) + columns(row.after));
    }
  }
  return widths;
}

/// Of the columns, without the command.
std::size_t sum_of(const std::vector<std::size_t>& widths) {
  std::size_t sum = kTableMargin;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    if (widths[i] > 0) sum += widths[i] + kGap;
  }
  return sum;
}

/// "torchrun --standalo… (+4)" in so many columns.
std::string text_with_end(const std::string& text, const std::string& end, std::size_t width,
                          const FittedStyle& style) {
  const std::size_t after = columns(end);
  if (after >= width) return cut(text + end, width, dots(style));
  return cut(text, width - after, dots(style)) + end;
}

std::string without_end_spaces(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

/// A line of cells with the colour of one of them, from the first to the `end`-th.
std::string cells_text(const FittedTable& table, const FittedRow& row,
                       const std::vector<std::size_t>& widths, std::size_t end,
                       const FittedStyle& style) {
  std::string text(kTableMargin, ' ');
  for (std::size_t i = 0; i < end; ++i) {
    if (widths[i] == 0) continue;
    const std::string cell = cell_of(row.cells[i], widths[i], table.columns[i].right, style);
    const bool coloured = style.colour && i == table.coloured && *row.colour != '\0';
    text += coloured ? row.colour + cell + "\x1b[0m" : cell;
    text += std::string(kGap, ' ');
  }
  return text;
}

std::size_t width_up_to(const std::vector<std::size_t>& widths, std::size_t end) {
  std::size_t sum = kTableMargin;
  for (std::size_t i = 0; i < end; ++i) {
    if (widths[i] > 0) sum += widths[i] + kGap;
  }
  return sum;
}

std::vector<std::string> wrapped_text(const std::string& text, const FittedStyle& style) {
  const std::size_t room = style.width > kCommandIndent + 1 ? style.width - kCommandIndent : 1;
  std::vector<std::string> lines;
  std::string rest = text;
  while (!rest.empty()) {
    const std::string piece = cut(rest, room, "");
    if (piece.empty()) break;
    lines.push_back(std::string(kCommandIndent, ' ') + piece);
    rest.erase(0, piece.size());
  }
  return lines;
}

}  // namespace

std::vector<std::size_t> column_widths(const FittedTable& table, std::size_t width) {
  std::vector<std::size_t> widths = needed_widths(table);
  const std::size_t wanted = std::min(widths.back(), kLeastOfCommand);
  bool with_command = widths.back() > 0;
  while (sum_of(widths) + (with_command ? wanted : 0) > width + (with_command ? 0 : kGap)) {
    std::size_t first = widths.size();
    int most = with_command ? table.command_spared : 0;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (widths[i] == 0 || table.columns[i].spared <= most) continue;
      most = table.columns[i].spared;
      first = i;
    }
    if (most == 0) break;
    if (first == widths.size()) {
      with_command = false;
    } else {
      widths[first] = 0;
    }
  }
  const std::size_t sum = sum_of(widths);
  widths.back() = with_command && width > sum ? width - sum : 0;
  return widths;
}

std::size_t natural_width(const FittedTable& table, std::size_t command) {
  const std::vector<std::size_t> widths = needed_widths(table);
  return sum_of(widths) + std::min(widths.back(), command);
}

std::string head_line(const FittedTable& table, const std::vector<std::size_t>& widths,
                      const FittedStyle& style) {
  FittedRow heads;
  for (const FittedColumn& column : table.columns) heads.cells.push_back(column.head);
  std::string text = cells_text(table, heads, widths, table.columns.size(), style);
  if (widths.back() > 0) text += cut("command", widths.back(), dots(style));
  return cut(without_end_spaces(std::move(text)), style.width, dots(style));
}

std::vector<std::string> block_lines(const FittedTable& table, const FittedBlock& block,
                                     const std::vector<std::size_t>& widths, bool whole,
                                     const FittedStyle& style) {
  std::vector<std::string> lines;
  for (const FittedRow& row : block) {
    const bool remarked = !row.remark.empty();
    const std::size_t end = remarked ? table.remark_at : table.columns.size();
    const std::size_t used = width_up_to(widths, end);
    const std::size_t left = style.width - std::min(style.width, used);
    const std::string& text = remarked ? row.remark : row.command;
    const std::size_t room = remarked ? left : widths.back();
    const bool below = whole && columns(text) + columns(row.after) > room;
    std::string tail;
    if (below) {
      tail = cut(row.after.substr(
                     std::min<std::size_t>(row.after.find_first_not_of(' '), row.after.size())),
                 room, dots(style));
    } else if (room > 0) {
      tail = text_with_end(text, row.after, room, style);
    }
    // Where not even what is never left out fits, nothing is coloured: a cut would cut the colour.
    const bool fits = used <= style.width + kGap;
    FittedStyle taken = style;
    taken.colour = style.colour && fits;
    std::string line = without_end_spaces(cells_text(table, row, widths, end, taken) + tail);
    lines.push_back(fits ? std::move(line) : cut(line, style.width, dots(style)));
    if (!below) continue;
    for (std::string& piece : wrapped_text(text, style)) lines.push_back(std::move(piece));
  }
  return lines;
}

}  // namespace gpu_gate
