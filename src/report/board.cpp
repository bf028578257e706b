#include "report/board.h"

#include <algorithm>
#include <charconv>

#include "base/process.h"
#include "policy/occupancy.h"
#include "report/recorded.h"

namespace gpu_gate {
namespace {

bool descends_from(pid_t pid, pid_t ancestor, const std::string& proc) {
  constexpr int kMaxGenerations = 256;
  for (int i = 0; i < kMaxGenerations && pid > 1; ++i) {
    if (pid == ancestor) return true;
    pid = parent_of(pid, proc);
  }
  return false;
}

std::vector<BoardClaim> claims_on(const Device& device, const Claims& claims,
                                  const std::vector<Claim>& live) {
  std::vector<BoardClaim> entries;
  for (const Claim& claim : live) {
    if (!occupies(claim, device)) continue;
    BoardClaim entry{.ticket = claim.ticket, .claimant = claimant_of(claims, claim), .devices = {}};
    for (const Claim& other : live) {
      if (other.ticket == claim.ticket && other.place == claim.place)
        entry.devices.push_back(other.uuid);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

BoardRow make_row(const Device& device, std::vector<BoardClaim> claims) {
  BoardRow row{.device = device, .claims = std::move(claims), .processes = {}};
  for (const GpuProcess& process : device.processes) {
    BoardProcess entry{.described = describe(process)};
    entry.claimed = is_claimed(entry.described, row.claims);
    row.processes.push_back(std::move(entry));
  }
  return row;
}

Result<std::vector<BoardWaiter>> make_waiters(const Line& line) {
  const Result<std::vector<Place>> places = line.all_places();
  if (!places) return fail(places.error());
  std::vector<BoardWaiter> waiters;
  for (const Place& place : *places) {
    const Result<std::optional<uid_t>> holder = line.holder(place);
    if (!holder) return fail(holder.error());
    if (!*holder) continue;
    if (std::optional<WaiterRecord> record = line.record(place, **holder)) {
      record->owner.command = command_of(record->owner);
      waiters.push_back(
          {.place = place, .user = user_name(**holder), .record = std::move(*record)});
    }
  }
  return waiters;
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
    device.health = Health::unreadable;
    device.error = why_unread.text;
    snapshot.devices.push_back(std::move(device));
  }
  return snapshot;
}

Result<Board> make_board_of(const Result<Snapshot>& snapshot, const LockDir& dir) {
  Board board;
  board.devices_read = snapshot.has_value();
  const Claims claims(dir);
  const Result<ClaimScan> scan = claims.scan();
  if (!scan) return fail(scan.error());
  const Snapshot shown = snapshot ? *snapshot : claimed_devices(scan->live, snapshot.error());
  for (const Device& device : shown.devices) {
    board.rows.push_back(make_row(device, claims_on(device, claims, scan->live)));
  }
  Result<std::vector<BoardWaiter>> waiters = make_waiters(Line(dir));
  if (!waiters) return fail(waiters.error());
  board.waiters = std::move(*waiters);
  return board;
}

}  // namespace

bool is_claimed(const DeviceProcess& process, const std::vector<BoardClaim>& claims,
                const std::string& proc) {
  return std::any_of(claims.begin(), claims.end(), [&](const BoardClaim& claim) {
    const std::optional<Owner>& job = claim.claimant.job;
    return process.uid == claim.claimant.uid ||
           (job && job->pid_namespace == pid_namespace() &&
            descends_from(process.process.pid, job->pid, proc));
  });
}

Result<Board> make_board(const Result<Snapshot>& snapshot, const LockDir& dir) {
  Result<Board> board = make_board_of(snapshot, dir);
  if (!board) return fail(explain_lock_error(board.error(), dir.path()));
  return board;
}

}  // namespace gpu_gate
