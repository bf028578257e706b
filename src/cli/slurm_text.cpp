#include "cli/slurm_text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>

#include "cli/columns.h"
#include "cli/fitted_table.h"
#include "cli/text.h"

namespace gpu_gate {
namespace {

constexpr const char* kSlurmHeld = "\x1b[33m";    // yellow, as in status
constexpr const char* kSlurmFree = "\x1b[32m";    // green
constexpr const char* kSlurmBroken = "\x1b[31m";  // red
constexpr std::size_t kMostOfSlurmName = 24;      // of a node, a type, a user

std::string known_text(const std::string& text) { return text.empty() ? "-" : printable(text); }

/// "alice", "alice (bert-large)".
std::string user_text(const SlurmJob& job) {
  return known_text(job.user) + note_text(printable(job.note));
}

std::string time_since(const std::optional<std::int64_t>& since, std::int64_t now) {
  if (!since) return "-";
  return human_duration(std::chrono::seconds(std::max<std::int64_t>(now - *since, 0)));
}

/// "drained: bad fan".
std::string unusable_text(const SlurmNode& node) {
  return known_text(node.state) + (node.reason.empty() ? "" : ": " + printable(node.reason));
}

/// "2 GPUs", "2 h100".
std::string slurm_wish_text(const SlurmWish& wish) {
  if (wish.type.empty()) return gpus(wish.gpus);
  return fmt::format("{} {}", wish.gpus, printable(wish.type));
}

/// Cards in a row of which the same is to be said.
struct LikeCards {
  std::size_t first = 0;
  std::size_t last = 0;
};

bool are_alike(const SlurmCard& a, const SlurmCard& b) {
  if (!a.index || !b.index || a.type != b.type) return false;
  if (!a.holder || !b.holder) return !a.holder && !b.holder;
  return a.holder->id == b.holder->id;
}

std::vector<LikeCards> like_cards(const std::vector<SlurmCard>& cards) {
  std::vector<LikeCards> groups;
  for (std::size_t i = 0; i < cards.size(); ++i) {
    if (i > 0 && are_alike(cards[i - 1], cards[i])) {
      groups.back().last = i;
    } else {
      groups.push_back({.first = i, .last = i});
    }
  }
  return groups;
}

/// "2", "0-3", "-" where it is not known.
std::string indices_text(const SlurmCard& first, const SlurmCard& last) {
  if (!first.index || !last.index) return "-";
  const std::string begin = std::to_string(*first.index);
  return first.index == last.index ? begin : begin + "-" + std::to_string(*last.index);
}

FittedRow card_row(const SlurmNode& node, const LikeCards& group, std::int64_t now) {
  const SlurmCard& card = node.cards[group.first];
  FittedRow row;
  row.cells = {printable(node.name),
               indices_text(card, node.cards[group.last]),
               known_text(card.type.value_or("")),
               "",
               "",
               ""};
  if (!card.holder) {
    row.remark = node.takes_jobs ? "-" : unusable_text(node);
    row.colour = node.takes_jobs ? kSlurmFree : kSlurmBroken;
    return row;
  }
  row.colour = kSlurmHeld;
  if (!card.holder->id) {
    row.remark = "in use; Slurm does not tell by whom";
    return row;
  }
  row.cells[3] = user_text(*card.holder);
  row.cells[4] = time_since(card.holder->since, now);
  row.cells[5] = printable(card.holder->shown_id);
  row.command = printable(card.holder->name);
  if (!node.takes_jobs) {
    const bool said = std::any_of(node.cards.begin(), node.cards.end(),
                                  [](const SlurmCard& each) { return !each.holder; });
    row.after = " (" + (said ? known_text(node.state) : unusable_text(node)) + ")";
  }
  return row;
}

FittedTable card_table(const SlurmBoard& board, std::int64_t now) {
  FittedTable table{.columns = {{.head = "node", .most = kMostOfSlurmName},
                                {.head = "idx", .right = true},
                                {.head = "type", .spared = 2, .most = kMostOfSlurmName},
                                {.head = "who", .most = kMostOfSlurmName},
                                {.head = "since", .right = true, .spared = 3},
                                {.head = "job", .right = true}},
                    .command_spared = 1,
                    .coloured = 1,
                    .remark_at = 3,
                    .blocks = {}};
  for (const SlurmNode& node : board.nodes) {
    FittedBlock block;
    for (const LikeCards& group : like_cards(node.cards)) {
      block.push_back(card_row(node, group, now));
    }
    table.blocks.push_back(std::move(block));
  }
  return table;
}

/// Requests of one user for the same.
bool ask_alike(const SlurmRequest& a, const SlurmRequest& b) {
  return a.job.user == b.job.user && a.job.note == b.job.note && a.wish.gpus == b.wish.gpus &&
         a.wish.type == b.wish.type;
}

/// Of so many in a row, of which this is the first.
FittedRow waiter_row(const SlurmRequest& waiter, std::size_t place, std::size_t count,
                     std::int64_t now) {
  const std::string last = count > 1 ? fmt::format("-{}", place + count - 1) : "";
  FittedRow row;
  row.cells = {fmt::format("  {}{}", place, last),
               user_text(waiter.job),
               slurm_wish_text(waiter.wish) + (count > 1 ? " each" : ""),
               time_since(waiter.job.since, now),
               printable(waiter.job.shown_id),
               known_text(waiter.reason)};
  row.command = printable(waiter.job.name);
  if (count > 1) row.after = fmt::format(" (+{})", count - 1);
  return row;
}

FittedTable waiter_table(const SlurmBoard& board, std::int64_t now) {
  // Place, user, wish, time, job, reason.
  FittedTable table{.columns = {{.head = "", .right = true},
                                {.head = "", .most = kMostOfSlurmName},
                                {.head = "", .most = kMostOfSlurmName},
                                {.head = "", .right = true, .spared = 2},
                                {.head = ""},
                                {.head = "", .spared = 3, .most = kMostOfSlurmName}},
                    .command_spared = 1,
                    .coloured = 0,
                    .remark_at = 0,
                    .blocks = {{}}};
  const std::vector<SlurmRequest>& waiters = board.waiters;
  for (std::size_t first = 0, end = 0; first < waiters.size(); first = end) {
    while (end < waiters.size() && ask_alike(waiters[first], waiters[end])) ++end;
    table.blocks.front().push_back(waiter_row(waiters[first], first + 1, end - first, now));
  }
  return table;
}

std::string table_text(const FittedTable& table, const BoardStyle& style, bool heads) {
  constexpr std::size_t kAnyWidth = 100'000;
  const FittedStyle taken{
      .colour = style.colour, .utf8 = style.utf8, .width = style.width.value_or(kAnyWidth)};
  const std::vector<std::size_t> widths = column_widths(table, taken.width);
  std::string text = heads ? head_line(table, widths, taken) + "\n" : "";
  for (const FittedBlock& block : table.blocks) {
    for (const std::string& line : block_lines(table, block, widths, false, taken)) {
      text += line + "\n";
    }
  }
  return text;
}

}  // namespace

std::string slurm_text(const SlurmBoard& board, const BoardStyle& style) {
  if (board.nodes.empty()) return "no GPU in this cluster\n";
  std::string text = table_text(card_table(board, style.now), style, true);
  if (!board.waiters.empty()) {
    const std::string heading = fmt::format(" waiting: {}", board.waiters.size());
    text += cut(heading, style.width.value_or(heading.size()), "") + "\n" +
            table_text(waiter_table(board, style.now), style, false);
  }
  return style.utf8 ? text : in_ascii(text);
}

}  // namespace gpu_gate
