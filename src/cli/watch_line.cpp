#include "cli/watch_line.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "cli/text.h"

namespace gpu_gate {
namespace {

/// Equal requests of one user.
struct EqualRequests {
  std::vector<std::size_t> places;  // ascending, from 1; 0: in a line of its own
  const BoardWaiter* first = nullptr;
  std::size_t kept = 0;  // GPUs
};

/// Those in the line that is shown. (Those inside a claim and those for another vendor's GPUs have
/// no place in it.)
bool is_in_line(const BoardWaiter& waiter, const Board& board) {
  return waiter.place.line() == line_for(0, board.vendor);
}

std::size_t kept_for(const BoardWaiter& waiter, const Board& board) {
  if (!is_in_line(waiter, board)) return 0;
  return static_cast<std::size_t>(
      std::count_if(board.rows.begin(), board.rows.end(),
                    [&](const BoardRow& row) { return row.kept_for == waiter.place.ticket; }));
}

std::vector<EqualRequests> groups_of(const WatchScene& scene) {
  using Key =
      std::tuple<uid_t, LineId, int, std::int64_t, std::int64_t, int, bool, bool, std::string>;
  std::vector<EqualRequests> groups;
  std::map<Key, std::size_t> known;
  std::size_t place = 0;
  for (const BoardWaiter& waiter : scene.board.waiters) {
    const bool in_line = is_in_line(waiter, scene.board);
    if (in_line) ++place;
    const uid_t uid = waiter.record.owner.uid;
    if (scene.mine && uid != scene.me) continue;
    const Criteria& asked = waiter.record.request.criteria;
    const Key key{uid,
                  waiter.place.line(),
                  asked.count,
                  asked.min_free_mib.value_or(-1),
                  asked.share_mib.value_or(-1),
                  asked.max_util_pct.value_or(-1),
                  asked.nice,
                  waiter.stopped,
                  waiter.record.owner.note};
    const auto [at, is_new] = known.try_emplace(key, groups.size());
    if (is_new) groups.push_back({.places = {}, .first = &waiter});
    EqualRequests& group = groups[at->second];
    group.places.push_back(in_line ? place : 0);
    group.kept += kept_for(waiter, scene.board);
  }
  return groups;
}

/// "3", "3-7", or where others stand between them "3…97".
std::string places_text(const std::vector<std::size_t>& places, const FittedStyle& style) {
  if (places.front() == 0) return "-";
  std::string first = std::to_string(places.front());
  if (places.size() == 1) return first;
  const bool in_a_row = places.back() - places.front() + 1 == places.size();
  return first + (in_a_row ? "-" : style.utf8 ? "…" : "..") + std::to_string(places.back());
}

/// "2 GPUs, 24 GiB free, 1 kept".
std::string wants(const EqualRequests& group, const Board& board) {
  const Criteria& asked = group.first->record.request.criteria;
  std::string text = asked.share_mib ? gib(*asked.share_mib) + " GiB of " +
                                           (asked.count == 1 ? "a GPU" : gpus(asked.count))
                                     : gpus(asked.count);
  if (group.places.size() > 1) text += " each";
  if (group.kept > 0) text += fmt::format(", {} kept", group.kept);
  if (asked.min_free_mib) text += fmt::format(", {} GiB free", gib(*asked.min_free_mib));
  if (asked.max_util_pct) text += fmt::format(", at most {}% busy", *asked.max_util_pct);
  if (asked.nice) text += ", nice";
  const Place& place = group.first->place;
  if (place.within != 0) return text + ", inside its own claim";
  return is_in_line(*group.first, board) ? text : text + ", of " + name_of(place.vendor);
}

}  // namespace

WatchLine line_table(const WatchScene& scene) {
  constexpr std::size_t kMostOfWho = 16;
  constexpr std::size_t kWhoWhereNarrow = 8;
  const std::size_t who = scene.style.width < 100 ? kWhoWhereNarrow : kMostOfWho;
  const std::size_t wish = std::max<std::size_t>(scene.style.width / 3, 14);
  WatchLine line{.table = {.columns = {{.head = "line", .right = true},
                                       {.head = "who", .most = who},
                                       {.head = "wants", .most = wish},
                                       {.head = "waited", .right = true},
                                       {.head = "pid", .right = true, .spared = 2}},
                           .command_spared = 1,
                           .coloured = 0,
                           .remark_at = 0,
                           .blocks = {}},
                 .requests = {}};
  for (const EqualRequests& group : groups_of(scene)) {
    const Owner& owner = group.first->record.owner;
    FittedRow row;
    row.cells = {places_text(group.places, scene.style), shown_text(group.first->user, scene.style),
                 wants(group, scene.board),
                 human_duration(std::chrono::seconds(scene.now - owner.since)),
                 std::to_string(owner.pid)};
    row.command = shown_text(owner.command, scene.style);
    if (group.first->stopped) row.after = " (stopped)";
    if (group.places.size() > 1) row.after += fmt::format(" (+{})", group.places.size() - 1);
    line.table.blocks.push_back({std::move(row)});
    line.requests.push_back(group.places.size());
  }
  return line;
}

}  // namespace gpu_gate
