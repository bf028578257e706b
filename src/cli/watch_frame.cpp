#include "cli/watch_frame.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "cli/columns.h"
#include "cli/text.h"
#include "cli/watch_line.h"
#include "cli/wrap.h"
#include "report/state.h"

namespace gpu_gate {
namespace {

using Lines = std::vector<std::string>;

// The first line.

/// "4 x NVIDIA L40S 45 GiB, 2 x ...".
std::string models(const Board& board, const FittedStyle& style) {
  std::vector<std::pair<std::string, int>> kinds;
  for (const BoardRow& row : board.rows) {
    std::string kind = row.device.name.empty() ? "unknown" : shown_text(row.device.name, style);
    if (row.device.memory_total_mib > 0) kind += " " + gib(row.device.memory_total_mib) + " GiB";
    const auto known = std::find_if(kinds.begin(), kinds.end(),
                                    [&](const auto& each) { return each.first == kind; });
    if (known == kinds.end()) {
      kinds.emplace_back(kind, 1);
    } else {
      ++known->second;
    }
  }
  std::string text;
  for (const auto& [kind, count] : kinds) {
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", count, kind);
  }
  return text;
}

std::string spaced(const Lines& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? " " : "   ") + part;
  }
  return text;
}

std::string title(const WatchView& view) {
  const Board& board = view.scene.board;
  const FittedStyle& style = view.scene.style;
  const auto free = std::count_if(board.rows.begin(), board.rows.end(),
                                  [](const BoardRow& row) { return state_of(row) == State::free; });
  const std::string counts = fmt::format("{} free   {} waiting", free, board.waiters.size()) +
                             (view.choice.mine ? "   mine only" : "");
  const std::string clock = (view.choice.frozen ? "frozen " : "") + view.clock;
  const std::size_t room = style.width - std::min(style.width, columns(clock) + 2);
  const std::string host = shown_text(view.host, style);
  const std::string brief = gpus(static_cast<int>(board.rows.size()));
  std::string text;
  for (const Lines& parts : {Lines{host, models(board, style), counts}, Lines{host, brief, counts},
                             Lines{brief, counts}, Lines{counts}}) {
    text = spaced(parts);
    if (columns(text) <= room) break;
  }
  const std::size_t used = columns(text) + columns(clock);
  if (used + 2 > style.width) return cut(text, style.width, "");
  return text + std::string(style.width - used - 1, ' ') + clock;
}

/// What cannot be read, in one line of a small terminal, and else in three at the most.
Lines trouble_lines(const std::string& trouble, const WatchView& view) {
  constexpr std::size_t kSmall = 16;
  constexpr std::size_t kMost = 3;
  const FittedStyle& style = view.scene.style;
  const std::string text = shown_text(trouble, style);
  Lines lines{text};
  if (view.height >= kSmall && style.width > kSmall) lines = wrapped(text, style.width - 2);
  if (lines.size() > kMost) lines.resize(kMost);
  for (std::string& line : lines) {
    line.insert(0, 1, ' ');
    line = cut(line, style.width, style.utf8 ? "…" : "...");
  }
  return lines;
}

// The last line.

std::string keys_line(const WatchView& view) {
  const FittedStyle& style = view.scene.style;
  const std::vector<std::pair<int, std::string>> hints{
      // the least worthy go first
      {6, "q quit"},
      {5, view.choice.mine ? "m all" : "m mine"},
      {1, style.utf8 ? "↑↓ scroll" : "arrows scroll"},
      {2, view.choice.frozen ? "space go on" : "space freeze"},
      {3, view.choice.whole ? "w cut commands" : "w whole commands"},
      {4, "? legend"}};
  std::string text;
  for (int least = 1; least <= 6; ++least) {
    text.clear();
    for (const auto& [worth, hint] : hints) {
      if (worth >= least) text += (text.empty() ? " " : "   ") + hint;
    }
    if (columns(text) <= style.width) return text;
  }
  return cut(text, style.width, "");
}

// The tables.

/// A table in the room that it has: its blocks as lines, and which of them are shown.
struct Part {
  std::string head;
  std::vector<Lines> blocks;
  std::vector<std::size_t> counts;  // what each block stands for
  std::string more;                 // "more GPUs"
  std::size_t room = 0;             // lines, with the head

  std::size_t lines() const {
    std::size_t sum = blocks.empty() ? 0 : 1;
    for (const Lines& block : blocks) sum += block.size();
    return sum;
  }
};

/// How many blocks from this one on fit into so many lines, at least one.
std::size_t blocks_in(const Part& part, std::size_t from, std::size_t lines) {
  std::size_t shown = 0;
  std::size_t used = 0;
  for (std::size_t i = from; i < part.blocks.size(); ++i, ++shown) {
    used += part.blocks[i].size();
    if (used > lines) break;
  }
  return std::max<std::size_t>(shown, std::min<std::size_t>(1, part.blocks.size() - from));
}

/// How many blocks can be scrolled away until the last one is to be seen.
std::size_t most_hidden(const Part& part) {
  if (part.lines() <= part.room) return 0;
  std::size_t from = 0;
  while (from + 1 < part.blocks.size() &&
         from + blocks_in(part, from, part.room - std::min<std::size_t>(part.room, 2)) <
             part.blocks.size()) {
    ++from;
  }
  return from;
}

/// The lines of a part from one block on, and of those that are not shown how many they are.
Lines part_lines(const Part& part, std::size_t from, const FittedStyle& style) {
  Lines lines;
  if (part.blocks.empty() || part.room == 0) return lines;
  lines.push_back(part.head);
  const bool all = part.lines() <= part.room;
  const std::size_t body = part.room - 1 - (all ? 0 : std::min<std::size_t>(part.room - 1, 1));
  const std::size_t shown = all ? part.blocks.size() : blocks_in(part, from, body);
  for (std::size_t i = from; i < from + shown; ++i) {
    lines.insert(lines.end(), part.blocks[i].begin(), part.blocks[i].end());
  }
  if (all) return lines;
  if (lines.size() > part.room - 1) lines.resize(std::max<std::size_t>(part.room - 1, 1));
  const auto count = [&](std::size_t begin, std::size_t end) {
    return std::accumulate(part.counts.begin() + static_cast<std::ptrdiff_t>(begin),
                           part.counts.begin() + static_cast<std::ptrdiff_t>(end), std::size_t{0});
  };
  const std::size_t above = count(0, from);
  const std::size_t below = count(from + shown, part.blocks.size());
  std::string mark = fmt::format("   ... {} {}", above + below, part.more);
  if (above > 0 && below > 0) mark += fmt::format(", {} of them above", above);
  if (above > 0 && below == 0) mark += " above";
  lines.push_back(cut(mark, style.width, ""));
  return lines;
}

Part part_of(const FittedTable& table, bool whole, const FittedStyle& style) {
  Part part;
  const std::vector<std::size_t> widths = column_widths(table, style.width);
  part.head = head_line(table, widths, style);
  for (const FittedBlock& block : table.blocks) {
    part.blocks.push_back(block_lines(table, block, widths, whole, style));
  }
  return part;
}

/// Shares the lines that there are: the line of waiters has a third at least, if it needs that.
void share_room(Part& gpus, Part& line, std::size_t room) {
  const std::size_t third = std::max<std::size_t>(room / 3, 3);
  const std::size_t for_line = std::min(line.lines(), std::min(third, room));
  gpus.room = std::min(gpus.lines(), room - for_line);
  line.room = room - gpus.room;
}

Part gpu_part(const WatchScene& scene, bool brief, bool whole) {
  Part part = part_of(gpu_table_with_graphs(scene, brief), whole, scene.style);
  part.counts.assign(part.blocks.size(), 1);
  part.more = "more GPUs";
  return part;
}

struct Body {
  Lines lines;
  std::size_t last = 0;
};

/// `roomy`: with an empty line between the two, if all fits so.
Body body_of(const WatchView& view, std::size_t room, bool roomy) {
  WatchScene scene = view.scene;
  scene.mine = view.choice.mine;
  const WatchLine waiting = line_table(scene);
  Part line = part_of(waiting.table, view.choice.whole, scene.style);
  line.counts = waiting.requests;
  line.more = "more requests in line";
  Part gpus = gpu_part(scene, false, view.choice.whole);
  share_room(gpus, line, room);
  if (gpus.room < gpus.lines() && !view.choice.whole) {
    gpus = gpu_part(scene, true, false);
    share_room(gpus, line, room);
  }
  const std::size_t hidden_gpus = most_hidden(gpus);
  const std::size_t from_gpu = std::min(view.choice.from, hidden_gpus);
  const std::size_t hidden_line = most_hidden(line);
  const std::size_t from_line = std::min(view.choice.from - from_gpu, hidden_line);
  Body body{.lines = part_lines(gpus, from_gpu, scene.style), .last = hidden_gpus + hidden_line};
  if (roomy && !line.blocks.empty()) body.lines.emplace_back();
  for (std::string& each : part_lines(line, from_line, scene.style)) {
    body.lines.push_back(std::move(each));
  }
  return body;
}

// The legend.

Lines legend(const FittedStyle& style) {
  const std::string range = style.utf8 ? "3…9" : "3..9";
  return {"free    a plain request would get it",
          "kept    for one who waits",
          "held    a job has claimed it, or parts",
          "idle    held, but not used for 10 min",
          "other   in use without a claim, closed",
          "        to you, or divided (MIG)",
          "broken  works for nobody at the moment",
          "= GPU 0 the same job as on GPU 0",
          "(+4)    and four more of the same",
          "3-7     places in line; " + range + " with others",
          "        between them"};
}

/// Between title and keys.
Body middle_of(const WatchView& view, std::size_t room, bool roomy) {
  const FittedStyle& style = view.scene.style;
  Body body;
  if (view.choice.legend) {
    for (const std::string& text : legend(style)) {
      body.lines.push_back(cut(" " + text, style.width, ""));
    }
    body.last = view.choice.from;
  } else if (view.scene.board.rows.empty()) {
    body.lines.emplace_back(" no GPU on this machine");
  } else if (room > 0) {
    body = body_of(view, room, roomy);
  }
  return body;
}

}  // namespace

WatchFrame watch_frame(const WatchView& view) {
  constexpr std::size_t kGaps = 2;  // below the title and above the keys
  Lines lines{title(view)};
  for (const std::string& trouble : view.troubles) {
    for (std::string& line : trouble_lines(trouble, view)) lines.push_back(std::move(line));
  }
  const std::size_t room = view.height - std::min(view.height, lines.size() + 1);
  Body body = middle_of(view, room, true);
  if (body.lines.size() + kGaps <= room && body.last <= view.choice.from) {
    lines.emplace_back();
  } else {
    body = middle_of(view, room, false);
  }
  if (body.lines.size() > room) body.lines.resize(room);
  lines.insert(lines.end(), body.lines.begin(), body.lines.end());
  lines.resize(view.height - std::min<std::size_t>(view.height, 1));
  if (view.height > 0) lines.push_back(keys_line(view));
  return {.lines = std::move(lines), .last = body.last};
}

}  // namespace gpu_gate
