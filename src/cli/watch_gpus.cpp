#include "cli/watch_gpus.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "cli/board_text.h"
#include "cli/columns.h"
#include "cli/text.h"
#include "report/state.h"

namespace gpu_gate {
namespace {

constexpr std::size_t kLeastGraph = 10;
constexpr std::size_t kMostGraph = 60;
/// So much of a command goes before a graph.
constexpr std::size_t kCommandBeforeGraph = 30;
constexpr std::size_t kNarrow = 60;
constexpr std::size_t kWhoNarrow = 8;
constexpr std::size_t kWhoWide = 16;

enum Cell : std::size_t {
  kGpu,
  kName,
  kMemory,
  kUsed,
  kUtil,
  kLoad,
  kFill,
  kState,
  kSince,
  kWho,
  kPid
};

/// One who uses a GPU, or what there is to say of it instead.
struct Use {
  std::string since, who, pid, command, after, remark;
};

const char* watch_colour(State state) {
  switch (state) {
    case State::free:
      return "\x1b[32m";  // green
    case State::kept:
      return "\x1b[36m";  // cyan
    case State::held:
      return "\x1b[33m";  // yellow
    case State::idle:
    case State::other:
      return "\x1b[35m";  // magenta
    case State::broken:
      return "\x1b[31m";  // red
  }
  return "";
}

/// Are its numbers those of now?
bool is_told(const Device& device) { return device.health != Health::unreadable; }

std::string graph(const std::vector<TrendStep>& steps, std::optional<int> TrendStep::* percent,
                  const FittedStyle& style) {
  constexpr std::array<const char*, 8> kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::array<const char*, 8> kAscii{"_", ".", "-", ":", "=", "+", "*", "#"};
  std::string text;
  for (const TrendStep& step : steps) {
    const std::optional<int> value = step.*percent;
    const auto level =
        static_cast<std::size_t>(std::clamp(value.value_or(0), 0, 100) * 7 + 50) / 100;
    text += value ? (style.utf8 ? kBlocks : kAscii)[level] : " ";
  }
  return text;
}

std::string share_said(const BoardClaim& claim) {
  if (!claim.claimant.share_mib) return "";
  const std::int64_t share = *claim.claimant.share_mib;
  return fmt::format(" ({} GiB{}uses {})", gib(share), claim.used_mib > share ? ", but " : ", ",
                     gib(claim.used_mib));
}

/// `shown_on`: where each claim was shown first.
Use use_of_claim(const BoardClaim& claim, const Device& device, const WatchScene& scene,
                 std::map<std::pair<uid_t, Ticket>, std::string>& shown_on) {
  const Claimant& claimant = claim.claimant;
  Use use;
  use.who = shown_text(claimant.user, scene.style);
  if (claimant.job) use.who += shown_text(note_text(claimant.job->note), scene.style);
  if (!claimant.job) {
    use.command = "(a claim without a record)";
    return use;
  }
  const Owner& job = *claimant.job;
  use.since = human_duration(std::chrono::seconds(scene.now - job.since));
  if (job.pid != 0) use.pid = std::to_string(job.pid);
  const auto [first, is_new] = shown_on.try_emplace({claimant.uid, claim.ticket}, label(device));
  use.command = is_new ? (claim.inside ? "inside it: " : "") + shown_text(job.command, scene.style)
                       : "= GPU " + first->second;
  use.after = share_said(claim);
  if (job.pid == 0) use.after += " (has ended, but something of it still holds the GPU)";
  return use;
}

Use use_of_process(const BoardProcess& entry, const Board& board, const FittedStyle& style) {
  const DeviceProcess& process = entry.described;
  Use use;
  use.who = process.uid ? shown_text(process.user, style) : "?";
  use.pid = std::to_string(process.process.pid);
  use.command = shown_text(process.command, style);
  use.after = shown_text(process_mark(entry, board), style);
  return use;
}

/// What is to be said of it besides who uses it.
std::vector<std::string> remarks_on(const BoardRow& row, const Board& board,
                                    const FittedStyle& style) {
  const Device& device = row.device;
  std::vector<std::string> remarks;
  if (!device.accessible) remarks.emplace_back("closed to you");
  const bool told = device.accessible || device.health != Health::unreadable;
  if (told && device.health != Health::ok) {
    // What the driver itself cannot tell is told above the table, once.
    if (device.health != Health::unreadable) {
      remarks.push_back(shown_text(health_text(device), style));
    } else if (row.claims.empty()) {
      remarks.emplace_back("its state cannot be read");
    }
  }
  if (row.kept_for != 0) {
    const std::string place = "for " + place_text(board, row.kept_for);
    remarks.push_back(row.claims.empty() ? place : "what is left of it: kept " + place);
  }
  if (device.repair != Repair::none) remarks.push_back(repair_text(device));
  if (std::string unowned = unowned_text(row); !unowned.empty()) {
    remarks.push_back(std::move(unowned));
  }
  return remarks;
}

bool is_mine(const BoardClaim& claim, const WatchScene& scene) {
  return claim.claimant.uid == scene.me;
}
bool is_mine(const BoardProcess& process, const WatchScene& scene) {
  return process.described.uid == scene.me;
}

/// Is all that is on it somebody else's?
bool is_of_others(const BoardRow& row, const WatchScene& scene) {
  const auto mine = [&](const auto& each) { return is_mine(each, scene); };
  return (!row.claims.empty() || !row.processes.empty()) &&
         std::none_of(row.claims.begin(), row.claims.end(), mine) &&
         std::none_of(row.processes.begin(), row.processes.end(), mine);
}

std::vector<Use> uses_of(const BoardRow& row, const WatchScene& scene,
                         std::map<std::pair<uid_t, Ticket>, std::string>& shown_on) {
  std::vector<Use> uses;
  for (const BoardClaim& claim : row.claims) {
    if (scene.mine && !is_mine(claim, scene)) continue;
    uses.push_back(use_of_claim(claim, row.device, scene, shown_on));
  }
  for (const BoardProcess& process : row.processes) {
    if (process.claimed || process.described.ended) continue;
    if (scene.mine && !is_mine(process, scene)) continue;
    uses.push_back(use_of_process(process, scene.board, scene.style));
  }
  for (std::string& remark : remarks_on(row, scene.board, scene.style)) {
    Use use;
    use.remark = std::move(remark);
    uses.push_back(std::move(use));
  }
  return uses;
}

/// Have all the same memory?
bool is_uniform(const Board& board) {
  std::set<std::int64_t> sizes;
  for (const BoardRow& row : board.rows) {
    if (row.device.memory_total_mib > 0) sizes.insert(row.device.memory_total_mib);
  }
  return sizes.size() <= 1;
}

std::string used_text(const Device& device, bool uniform) {
  if (device.memory_total_mib <= 0 || !is_told(device)) return "-";
  const std::string used = fmt::format("{}.{}", device.memory_used_mib / 1024,
                                       device.memory_used_mib % 1024 * 10 / 1024);
  return uniform ? used : used + "/" + gib(device.memory_total_mib);
}

FittedRow row_of(const BoardRow& row, const Use& use, bool first, bool uniform,
                 const FittedStyle& style) {
  FittedRow line;
  line.cells.resize(kPid + 1);
  line.cells[kSince] = use.since;
  line.cells[kWho] = use.who;
  line.cells[kPid] = use.pid;
  line.command = use.command;
  line.after = use.after;
  line.remark = use.remark;
  if (!first) return line;
  const Device& device = row.device;
  const State state = state_of(row);
  line.cells[kGpu] = label(device);
  line.cells[kName] = shown_text(device.name.empty() ? device.uuid : device.name, style);
  if (is_told(device)) line.cells[kMemory] = memory_bar(device, style.utf8);
  line.cells[kUsed] = used_text(device, uniform);
  const bool busy_told = device.utilization_pct && is_told(device);
  line.cells[kUtil] = busy_told ? fmt::format("{}%", *device.utilization_pct) : "-";
  line.cells[kState] = word_of(state);
  line.colour = watch_colour(state);
  return line;
}

FittedBlock block_of(const BoardRow& row, std::vector<Use> uses, bool brief, bool uniform,
                     const FittedStyle& style) {
  if (uses.empty()) uses.emplace_back();
  if (brief && uses.size() > 1) {
    uses.front().after = fmt::format(" (+{})", uses.size() - 1);
    uses.resize(1);
  }
  FittedBlock block;
  for (const Use& use : uses) {
    block.push_back(row_of(row, use, block.empty(), uniform, style));
  }
  return block;
}

std::vector<FittedColumn> gpu_columns(bool names, const FittedStyle& style) {
  constexpr std::size_t kMostOfName = 24;
  const std::size_t who = style.width < 100 ? kWhoNarrow : kWhoWide;
  return {{.head = "GPU", .right = true},
          {.head = names ? "name" : "", .spared = 8, .most = names ? kMostOfName : 0},
          {.head = "memory", .spared = 9},
          {.head = style.width < kNarrow ? "GiB" : "used/GiB", .right = true, .spared = 3},
          {.head = "util", .right = true, .spared = 2},
          {.head = "", .spared = 10, .most = 0},
          {.head = "", .spared = 11, .most = 0},
          {.head = "state"},
          {.head = "since", .right = true, .spared = 6},
          {.head = "who", .most = who},
          {.head = "pid", .right = true, .spared = 5}};
}

void set_graph(FittedTable& table, Cell column, const std::string& head, std::size_t cells) {
  table.columns[column].head = head;
  table.columns[column].most = cells;
}

}  // namespace

std::string shown_text(const std::string& text, const FittedStyle& style) {
  return style.utf8 ? printable(text) : in_ascii(printable(text));
}

std::string gib(std::int64_t mib) {
  const std::int64_t tenths = (mib * 10 + 512) / 1024;
  return tenths % 10 == 0 || tenths >= 200 ? std::to_string((tenths + 5) / 10)
                                           : fmt::format("{}.{}", tenths / 10, tenths % 10);
}

FittedTable gpu_table(const WatchScene& scene, bool brief) {
  std::set<std::string> names;
  for (const BoardRow& row : scene.board.rows) {
    if (!row.device.name.empty()) names.insert(row.device.name);
  }
  const bool uniform = is_uniform(scene.board);
  FittedTable table{.columns = gpu_columns(names.size() > 1, scene.style),
                    .command_spared = 4,
                    .coloured = kState,
                    .remark_at = kWho,
                    .blocks = {}};
  std::map<std::pair<uid_t, Ticket>, std::string> shown_on;
  for (const BoardRow& row : scene.board.rows) {
    if (scene.mine && is_of_others(row, scene)) continue;
    table.blocks.push_back(
        block_of(row, uses_of(row, scene, shown_on), brief, uniform, scene.style));
  }
  return table;
}

FittedTable gpu_table_with_graphs(const WatchScene& scene, bool brief) {
  FittedTable table = gpu_table(scene, brief);
  const std::size_t natural = natural_width(table, kCommandBeforeGraph);
  const bool in_minutes =
      scene.trends != nullptr && scene.trends->step() <= std::chrono::minutes(1);
  if (!in_minutes || scene.style.width < natural + kLeastGraph + 2) return table;
  const std::size_t spare = scene.style.width - natural;
  const bool both = spare >= 2 * (kLeastGraph + 2);
  const std::size_t cells = std::min(both ? spare / 3 : spare - 2, kMostGraph);
  const auto span = std::chrono::duration_cast<std::chrono::seconds>(
      scene.trends->step() * static_cast<std::int64_t>(cells));
  set_graph(table, kLoad, "util, " + human_duration(span), cells);
  if (both) set_graph(table, kFill, "memory, " + human_duration(span), cells);
  std::size_t at = 0;
  for (const BoardRow& row : scene.board.rows) {
    if (scene.mine && is_of_others(row, scene)) continue;
    FittedRow& line = table.blocks[at++].front();
    const std::vector<TrendStep> steps = scene.trends->last(row.device.uuid, cells);
    line.cells[kLoad] = graph(steps, &TrendStep::busy_pct, scene.style);
    if (both) line.cells[kFill] = graph(steps, &TrendStep::used_pct, scene.style);
  }
  return table;
}

}  // namespace gpu_gate
