#include "report/board.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "base/process.h"
#include "gate/jobs.h"
#include "gate/policy_file.h"
#include "gate/turns.h"
#include "gpu/amd.h"
#include "policy/fit.h"
#include "policy/line_rule.h"
#include "policy/occupancy.h"
#include "report/recorded.h"

namespace gpu_gate {
namespace {

/// Claims on one device, in the same order but for those that were made inside another one: they
/// follow it.
std::vector<Claim> nested(const std::vector<Claim>& on) {
  std::vector<Claim> list;
  std::vector<int> depths;
  for (const Claim& claim : on) {
    const auto outer = std::find_if(list.begin(), list.end(),
                                    [&](const Claim& each) { return is_outer_of(each, claim); });
    auto at = outer - list.begin();
    const int depth = outer == list.end() ? 0 : depths[static_cast<std::size_t>(at)] + 1;
    if (depth > 0) {
      const auto next = std::find_if(depths.begin() + at + 1, depths.end(),
                                     [&](int each) { return each < depth; });
      at = next - depths.begin();
    }
    list.insert(list.begin() + at, claim);
    depths.insert(depths.begin() + at, depth);
  }
  return list;
}

/// Memory of no visible process may be the job's, in another pid namespace.
bool is_idle(const Device& device, const Claim& claim, const BoardClaim& entry, const Jobs& jobs,
             const std::vector<Claim>& on) {
  constexpr std::int64_t kIdleAfterSeconds = 600;
  const std::optional<Owner>& job = entry.claimant.job;
  const bool readable = device.health == Health::ok && device.index >= 0;
  if (!readable || !job || std::time(nullptr) - job->since < kIdleAfterSeconds) return false;
  return !has_unowned_memory(device) &&
         std::none_of(device.processes.begin(), device.processes.end(), [&](const GpuProcess& p) {
           const auto of = jobs.find(p.pid);
           return of == jobs.end() || claim_of_process(p.pid, jobs, on) == claim.ticket ||
                  std::find(of->second.claims.begin(), of->second.claims.end(), claim.ticket) !=
                      of->second.claims.end();
         });
}

std::vector<BoardClaim> board_claims(const Device& device, const Claims& claims,
                                     const std::vector<Claim>& live, const Jobs& jobs) {
  const std::vector<Claim> on = claims_on(device, live);
  std::vector<BoardClaim> entries;
  for (const Claim& claim : nested(on)) {
    BoardClaim entry{.ticket = claim.ticket, .claimant = claimant_of(claims, claim), .devices = {}};
    entry.inside = std::any_of(on.begin(), on.end(), [&](const Claim& outer) {
      return is_outer_of(outer, claim) || (!outer.share_mib && outer.ticket < claim.ticket);
    });
    for (const GpuProcess& process : device.processes) {
      if (claim_of_process(process.pid, jobs, on) == claim.ticket) {
        entry.used_mib += process.memory_mib.value_or(0);
      }
    }
    entry.idle = is_idle(device, claim, entry, jobs, on);
    for (const Claim& other : live) {
      if (other.ticket == claim.ticket && other.place == claim.place)
        entry.devices.push_back(other.uuid);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

/// The claim that a process comes of, the innermost first, on whatever device.
std::optional<Claim> origin_of(pid_t pid, const std::vector<Claim>& live, const Jobs& jobs) {
  const auto job = jobs.find(pid);
  if (job == jobs.end() || job->second.claims.empty()) return std::nullopt;
  const auto origin = std::find_if(live.begin(), live.end(), [&](const Claim& claim) {
    return claim.ticket == job->second.claims.front();
  });
  return origin == live.end() ? std::nullopt : std::optional<Claim>(*origin);
}

BoardRow make_row(const Device& device, std::vector<BoardClaim> claims,
                  const std::vector<Claim>& live, const Jobs& jobs) {
  BoardRow row{.device = device, .claims = std::move(claims), .processes = {}};
  const std::vector<Claim> on = claims_on(device, live);
  for (const GpuProcess& process : device.processes) {
    BoardProcess entry{.described = describe(process)};
    entry.claimed = claim_of_process(process.pid, jobs, on) != 0;
    if (!entry.claimed) entry.strays = origin_of(process.pid, live, jobs);
    row.processes.push_back(std::move(entry));
  }
  return row;
}

/// Is the process of a waiter stopped, as far as that can be seen?
bool is_stopped(const Owner& owner) {
  return recorded_process(owner) == Seen::lives && process_state(owner.pid) == 'T';
}

/// The waiters of one line in the order of turns, and which of them keep devices from the others.
Status add_waiters(const Line& line, const LineId& id, const TurnRule& turn_rule, LineRule* rule,
                   std::vector<BoardWaiter>& waiters) {
  Roster roster;
  if (Status read = roster.read(line, id, 0); !read) return read;
  WaiterRecords records;
  Turns turns(line, roster, id, turn_rule, nullptr, records);
  for (;;) {
    const Result<std::optional<Turn>> turn = turns.next();
    if (!turn) return fail(turn.error());
    if (!*turn) return {};
    BoardWaiter waiter{
        .place = (*turn)->place, .user = user_name((*turn)->uid), .record = *(*turn)->record};
    const bool passed_over = line.is_passed_over(waiter.place).value_or(false);
    waiter.stopped = passed_over || is_stopped(waiter.record.owner);
    if (rule != nullptr) {
      Decision decision = rule->next({.ticket = waiter.place.ticket,
                                      .uid = (*turn)->uid,
                                      .request = &waiter.record.request,
                                      .passed_over = passed_over});
      waiter.its_turn = !decision.granted.empty();
      waiter.fits = std::move(decision.fits);
    }
    waiter.record.owner.command = command_of(waiter.record.owner);
    waiters.push_back(std::move(waiter));
  }
}

/// All waiters: the line for the devices that are shown, then the others.
Status add_all_waiters(const Line& line, Vendor shown, const TurnRule& turn_rule, LineRule& rule,
                       std::vector<BoardWaiter>& waiters) {
  const Result<std::vector<Place>> places = line.all_places();
  if (!places) return fail(places.error());
  const LineId first = line_for(0, shown);
  std::set<LineId> others;
  for (const Place& place : *places) others.insert(place.line());
  others.erase(first);
  Status added = add_waiters(line, first, turn_rule, &rule, waiters);
  for (const LineId& id : others) {
    if (!added) break;
    const TurnRule inside{.order = turn_rule.order, .held = {}, .sizes = turn_rule.sizes};
    added = add_waiters(line, id, id.within == 0 ? turn_rule : inside, nullptr, waiters);
  }
  return added;
}

/// The devices that are claimed, as far as the claims tell of them.
Snapshot claimed_devices(const std::vector<Claim>& claims, const Error& why_unread) {
  Snapshot snapshot;
  for (const Claim& claim : claims) {
    const bool listed = std::any_of(snapshot.devices.begin(), snapshot.devices.end(),
                                    [&](const Device& d) { return d.uuid == claim.uuid; });
    if (listed) continue;
    Device device;
    device.index = -1;
    device.uuid = claim.uuid;
    if (is_amd_uuid(claim.uuid)) device.vendor = Vendor::amd;
    device.health = Health::unreadable;
    device.error = why_unread.text;
    snapshot.devices.push_back(std::move(device));
  }
  return snapshot;
}

/// Has a claim ended a moment ago? On this device if its FIFO is still there, else on any.
bool ended_just_now(const Device& device, const ClaimScan& scan, const LockDir& dir) {
  constexpr std::int64_t kFreedWithinSeconds = 5;  // seldom so long: docs/hardware.md
  struct stat claims{};
  return std::any_of(scan.dead_fifos.begin(), scan.dead_fifos.end(),
                     [&](const ClaimName& name) { return name.uuid == device.uuid; }) ||
         (::fstat(dir.claims(), &claims) == 0 &&
          std::time(nullptr) - claims.st_mtim.tv_sec < kFreedWithinSeconds);
}

bool is_being_freed(const BoardRow& row, const ClaimScan& scan, const LockDir& dir) {
  if (!row.claims.empty()) return false;
  const bool ended = std::any_of(row.processes.begin(), row.processes.end(),
                                 [](const BoardProcess& each) { return each.described.ended; });
  return ended || (has_unowned_memory(row.device) && ended_just_now(row.device, scan, dir));
}

Result<Board> make_board_of(const Result<Snapshot>& snapshot, const LockDir& dir) {
  Board board;
  board.devices_read = snapshot.has_value();
  if (snapshot) board.vendor = snapshot->vendor;
  const Claims claims(dir);
  const Result<ClaimScan> scan = claims.scan();
  if (!scan) return fail(scan.error());
  const Snapshot shown = snapshot ? *snapshot : claimed_devices(scan->live, snapshot.error());
  const Jobs jobs = jobs_on_all(shown, claims, scan->live);
  for (const Device& device : shown.devices) {
    board.rows.push_back(
        make_row(device, board_claims(device, claims, scan->live, jobs), scan->live, jobs));
    board.rows.back().freeing = is_being_freed(board.rows.back(), *scan, dir);
  }
  board.policy = read_line_policy(dir);
  const CardSizes sizes = card_sizes(shown, scan->live);
  const TurnRule turn_rule{
      .order = board.policy.order, .held = holdings(scan->live, sizes), .sizes = sizes};
  board.sizes = sizes;
  for (const auto& [uid, held] : turn_rule.held) {
    board.holders.push_back({.uid = uid, .user = user_name(uid), .held = held});
  }
  const std::vector<Occupancy> taken = occupancy(shown, scan->live, 0, jobs);
  LineRule rule(shown, taken, {},
                {.most = board.policy.max_per_user, .held = turn_rule.held, .sizes = sizes});
  Status added = add_all_waiters(Line(dir), board.vendor, turn_rule, rule, board.waiters);
  if (!added) return fail(added.error());
  for (std::size_t i = 0; i < board.rows.size(); ++i) {
    board.rows[i].kept_for = rule.kept_for()[i];
    board.rows[i].room_mib = room_mib(shown.devices[i], taken[i]);
  }
  if (!board.devices_read) {
    for (BoardWaiter& waiter : board.waiters) waiter.fits.reset();
  }
  return board;
}

}  // namespace

Result<Board> make_board(const Result<Snapshot>& snapshot, const LockDir& dir) {
  Result<Board> board = make_board_of(snapshot, dir);
  if (!board) return fail(explain_lock_error(board.error(), dir.path()));
  return board;
}

}  // namespace gpu_gate
