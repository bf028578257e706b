#include "report/live_board.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <set>
#include <utility>

namespace gpu_gate {
namespace {

/// So often it looks whether somebody has come or left: three calls of stat(2).
constexpr std::chrono::milliseconds kDirCheck{250};
/// So long may pass until it learns of what nothing tells of: the end of one far back in line.
constexpr std::chrono::seconds kRenew{5};
/// One part of the time, of so many, may a look take where something happens, the reading of the
/// devices alone where nothing does, and that of claims and line where nothing does.
constexpr int kPartWhereBusy = 20;
constexpr int kPartOfDevices = 150;
constexpr int kPartWhereQuiet = 400;
/// Of those who wait, so many of the first are watched.
constexpr std::size_t kMostWaitersWatched = 64;

std::chrono::nanoseconds cpu_time() {
  struct timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

struct timespec changed_at(int folder) {
  struct stat info{};
  return folder >= 0 && ::fstat(folder, &info) == 0 ? info.st_mtim : timespec{};
}

bool equal(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/// Is it the same device in the same state, with the same processes?
bool only_numbers_differ(const Device& a, const Device& b) {
  const auto same_process = [](const GpuProcess& one, const GpuProcess& other) {
    return one.pid == other.pid && one.graphics == other.graphics;
  };
  return a.uuid == b.uuid && a.index == b.index && a.instance == b.instance &&
         a.health == b.health && a.repair == b.repair && a.accessible == b.accessible &&
         std::equal(a.processes.begin(), a.processes.end(), b.processes.begin(), b.processes.end(),
                    same_process);
}

}  // namespace

bool update_devices(Board& board, const Snapshot& snapshot) {
  const bool same = std::equal(
      board.rows.begin(), board.rows.end(), snapshot.devices.begin(), snapshot.devices.end(),
      [](const BoardRow& row, const Device& now) { return only_numbers_differ(row.device, now); });
  if (!same) return false;
  for (std::size_t i = 0; i < board.rows.size(); ++i) {
    BoardRow& row = board.rows[i];
    row.device = snapshot.devices[i];
    for (BoardProcess& process : row.processes) {
      const auto now = std::find_if(
          row.device.processes.begin(), row.device.processes.end(),
          [&](const GpuProcess& each) { return each.pid == process.described.process.pid; });
      if (now != row.device.processes.end()) process.described.process = *now;
    }
  }
  return true;
}

LiveBoard::LiveBoard(LockDirPaths paths, GpuSource& source)
    : paths_(std::move(paths)), source_(source) {}

Status LiveBoard::start() {
  look();
  if (dir_trouble_) return fail(*dir_trouble_);
  if (driver_trouble_) return fail(*driver_trouble_);
  return {};
}

Result<Snapshot> LiveBoard::read_devices() {
  Result<Snapshot> snapshot = source_.read();
  if (snapshot) {
    driver_trouble_.reset();
    last_ = *snapshot;
    const bool stays_open = source_.needs_open();
    if (!stays_open) source_.close();
    board_.driver_kept_open = stays_open;
    return snapshot;
  }
  driver_trouble_ = snapshot.error();
  if (!last_) return snapshot;
  return unreadable(*last_, snapshot.error().text);
}

/// Is another directory to be used by now, or has one been made where there was none?
bool LiveBoard::dir_is_another() const {
  if (!dir_) return true;
  const auto parts = [](const LockDir& dir) {
    return (dir.root() >= 0 ? 1 : 0) + (dir.queue() >= 0 ? 1 : 0) + (dir.claims() >= 0 ? 1 : 0);
  };
  if (parts(*dir_) == 3) return !dir_->is_current();
  const Result<LockDir> now = LockDir::open_existing(paths_);
  return now && (now->path() != dir_->path() || parts(*now) != parts(*dir_));
}

Status LiveBoard::read_all(const Result<Snapshot>& snapshot) {
  if (dir_is_another()) {
    Result<LockDir> dir = LockDir::open_existing(paths_);
    if (!dir) return fail(dir.error());
    dir_ = std::move(*dir);
  }
  marks_ = marks();
  Result<Board> board = make_board(snapshot, *dir_);
  if (!board) return fail(board.error());
  board->driver_kept_open = board_.driver_kept_open && !board->waiters.empty();
  board_ = std::move(*board);
  return {};
}

void LiveBoard::look() {
  const Clock::time_point now = Clock::now();
  if (dir_trouble_ || now >= renew_at_) stale_ = true;
  if (now < (stale_ ? not_before_ : devices_not_before_)) return;
  const std::chrono::nanoseconds begun = cpu_time();
  const Result<Snapshot> snapshot = read_devices();
  const std::chrono::nanoseconds devices_read = cpu_time();
  devices_not_before_ = now + kPartOfDevices * (devices_read - begun);
  if (!snapshot || !update_devices(board_, *snapshot)) stale_ = true;
  if (stale_) {
    const Status read = read_all(snapshot);
    dir_trouble_ = read ? std::nullopt : std::optional(read.error());
    stale_ = false;
    if (read) watch(snapshot);
    renew_at_ = now + std::max<std::chrono::nanoseconds>(
                          kRenew, kPartWhereQuiet * (cpu_time() - devices_read));
  }
  not_before_ = now + kPartWhereBusy * (cpu_time() - begun);
}

/// Chooses what wakes it. Where something cannot be watched, it is seen at the next look.
void LiveBoard::watch(const Result<Snapshot>& snapshot) {
  std::set<std::string> devices;
  std::vector<Occupancy> taken;
  for (const BoardRow& row : board_.rows) {
    devices.insert(row.device.uuid);
    taken.push_back({.whole = std::any_of(row.claims.begin(), row.claims.end(),
                                          [](const auto& c) { return !c.claimant.share_mib; })});
  }
  const Claims claims(*dir_);
  if (const Result<ClaimScan> scan = claims.scan(); scan) {
    const Result<bool> all_live = cards_.watch_claims(claims, scan->live, devices, 0);
    if (all_live && !*all_live) stale_ = true;
  }
  if (snapshot && snapshot->devices.size() == taken.size()) {
    cards_.watch_processes(*snapshot, taken);
  }
  waiting_.clear();
  const Line line(*dir_);
  for (const BoardWaiter& waiter : board_.waiters) {
    if (waiting_.size() == kMostWaitersWatched) break;
    Result<UniqueFd> end = line.watch(waiter.place);
    if (end && *end) waiting_.push_back({.end = std::move(*end)});
  }
}

bool LiveBoard::same(const Marks& a, const Marks& b) {
  return equal(a.root, b.root) && equal(a.queue, b.queue) && equal(a.claims, b.claims);
}

LiveBoard::Marks LiveBoard::marks() const {
  if (!dir_) return {};
  return {.root = changed_at(dir_->root()),
          .queue = changed_at(dir_->queue()),
          .claims = changed_at(dir_->claims())};
}

void LiveBoard::add_to(WaitSet& set) {
  cards_.add_to(set);
  for (Waiting& each : waiting_) each.id = set.add(each.end.get(), 0);
  set.until(Clock::now() + kDirCheck);
}

bool LiveBoard::woke(const WaitSet& set) {
  const CardWatch::Ended ended = cards_.ended(set);
  const bool left =
      std::erase_if(waiting_, [&](const Waiting& each) { return set.fired(each.id); }) > 0;
  const bool moved = dir_ && dir_is_another();
  if (ended.claim || ended.process || left || moved || !same(marks(), marks_)) stale_ = true;
  return stale_ && Clock::now() >= not_before_;
}

}  // namespace gpu_gate
