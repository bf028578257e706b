#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/process.h"
#include "base/signals.h"
#include "base/wait_set.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/text.h"
#include "gate/cancel.h"
#include "report/recorded.h"

namespace gpu_gate {
namespace {

constexpr std::chrono::seconds kForTheMutex{5};
constexpr std::chrono::seconds kForTheEnd{3};

/// A request that is to be ended.
struct Target {
  LiveRequest request;
  std::string name;  // "python train.py (pid 4242)"
  StandIn process;
  UniqueFd left;  // hangs up when it has left the line
};

/// What was done, and what could not be.
struct Report {
  std::string done;
  std::string undone;
};

bool is_ours(const LiveRequest& request) { return request.uid == ::geteuid() || ::geteuid() == 0; }

/// "python train.py (pid 4242)".
std::string named(const LiveRequest& request) {
  return fmt::format("{} (pid {})", printable(command_of(request.owner)), request.owner.pid);
}

/// The requests with this pid: that of the process that waits, or of the one that it waits for.
std::vector<std::size_t> with_pid(pid_t pid, const std::vector<Target>& targets) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Owner& owner = targets[i].request.owner;
    const bool recorded = owner.pid == pid && owner.pid_namespace == pid_namespace();
    if (recorded || targets[i].process.pid == pid) found.push_back(i);
  }
  return found;
}

/// Why there is no request with this pid.
std::string no_request(pid_t pid, const LockDir& dir) {
  const Claims claims(dir);
  const Result<ClaimScan> scan = claims.scan();
  for (const Claim& claim : scan ? scan->live : std::vector<Claim>{}) {
    const std::optional<ClaimRecord> record = claims.record(claim);
    if (!record || record->owner.pid != pid || record->owner.pid_namespace != pid_namespace()) {
      continue;
    }
    return fmt::format("pid {} is a job of {}, and does not wait: cancel ends no job{}\n", pid,
                       printable(user_name(claim.uid)),
                       claim.uid == ::geteuid() || ::geteuid() == 0
                           ? fmt::format("; to end it: kill {}", pid)
                           : "");
  }
  return fmt::format("pid {} does not wait here; gpu-gate queue shows who does\n", pid);
}

std::string out_of_reach(const Target& target) {
  switch (target.process.why) {
    case StandIn::Why::elsewhere:
      return target.name +
             " is out of reach: it runs in another pid namespace (a container); cancel it there\n";
    case StandIn::Why::no_pidfd:
      return target.name +
             " is out of reach: this kernel has no pidfds (Linux 5.3 has); to end "
             "it: kill " +
             std::to_string(target.process.pid) + "\n";
    case StandIn::Why::hidden:
    case StandIn::Why::found:
      break;
  }
  return target.name + " is out of reach: its process cannot be seen\n";
}

/// Those that are to be ended; says of the others why not.
std::vector<Target> targets_of(std::vector<Target> all, const std::vector<pid_t>& pids,
                               const LockDir& dir, Report& report) {
  std::vector<bool> wanted(all.size(), false);
  for (std::size_t i = 0; i < all.size() && pids.empty(); ++i) {
    wanted[i] = all[i].request.uid == ::geteuid();
  }
  for (const pid_t pid : pids) {
    const std::vector<std::size_t> found = with_pid(pid, all);
    if (found.empty()) report.undone += no_request(pid, dir);
    for (const std::size_t i : found) {
      wanted[i] = is_ours(all[i].request);
      if (wanted[i]) continue;
      report.undone += fmt::format("pid {} waits for {}: only that user and root can cancel it\n",
                                   pid, printable(user_name(all[i].request.uid)));
    }
  }
  std::vector<Target> targets;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!wanted[i]) continue;
    if (all[i].process.why == StandIn::Why::found) {
      targets.push_back(std::move(all[i]));
    } else {
      report.undone += out_of_reach(all[i]);
    }
  }
  return targets;
}

/// Sends the signals under the mutex. Those that have left the line meanwhile are taken out.
Status send_signals(const LockDir& dir, std::vector<Target>& targets, Report& report) {
  Mutex mutex(dir);
  const auto deadline = Clock::now() + kForTheMutex;
  std::optional<pid_t> holder;
  const Result<std::optional<MutexGuard>> guard =
      mutex.lock(deadline, ending_signals(), [&](std::optional<pid_t> pid) { holder = pid; });
  if (!guard) return fail(explain_lock_error(guard.error(), dir.path()));
  if (!*guard) {
    return fail(ErrorKind::lock_dir,
                fmt::format("nothing is cancelled: {} holds the lock directory's mutex and makes "
                            "no progress",
                            holder ? fmt::format("pid {}", *holder) : "a process"));
  }
  const Line line(dir);
  std::vector<Target> told;
  std::vector<std::string> gone;
  for (Target& target : targets) {
    target.left = line.watch(target.request.place).value_or(UniqueFd());
    if (end_wait(**guard, line, target.request.place, target.process)) {
      told.push_back(std::move(target));
    } else {
      gone.push_back(fmt::format("pid {} does not wait any more\n", target.request.owner.pid));
    }
  }
  for (const std::string& text : gone) report.undone += text;
  targets = std::move(told);
  return {};
}

/// Waits until they have left the line, and tells of each.
Status await_ends(const std::vector<Target>& targets, std::int64_t now, Report& report) {
  const auto deadline = Clock::now() + kForTheEnd;
  for (const Target& target : targets) {
    bool ended = false;
    while (!ended && Clock::now() < deadline) {
      WaitSet set;
      const WaitSet::Id left = set.add(target.left.get(), 0);
      set.until(deadline);
      if (Status slept = set.sleep(); !slept) return slept;
      ended = set.fired(left);
    }
    if (ended) {
      report.done +=
          fmt::format("cancelled: {}, after {}\n", target.name,
                      human_duration(std::chrono::seconds(now - target.request.owner.since)));
    } else {
      report.undone += target.name + " was told to end and has not yet done so\n";
    }
  }
  return {};
}

}  // namespace

Status cancel_command(const Options& options) {
  const Result<LockDir> dir = LockDir::open_existing(lock_dir_paths());
  if (!dir) return fail(dir.error());
  Result<std::vector<LiveRequest>> requests = live_requests(Line(*dir));
  if (!requests) return fail(explain_lock_error(requests.error(), dir->path()));
  std::vector<StandIn> processes = stand_ins(*dir, *requests);
  std::vector<Target> all;
  for (std::size_t i = 0; i < requests->size(); ++i) {
    LiveRequest& request = (*requests)[i];
    all.push_back({.request = request,
                   .name = named(request),
                   .process = std::move(processes[i]),
                   .left = {}});
  }
  Report report;
  std::vector<Target> targets = targets_of(std::move(all), options.pids, *dir, report);
  if (targets.empty() && report.undone.empty()) {
    return fail(ErrorKind::not_done, "no request of yours waits (gpu-gate queue shows who does)");
  }
  if (!targets.empty()) {
    if (Status sent = send_signals(*dir, targets, report); !sent) return sent;
    if (Status ended = await_ends(targets, std::time(nullptr), report); !ended) return ended;
  }
  if (Status printed = print(report.done); !printed) return printed;
  if (!report.undone.empty()) return fail(ErrorKind::not_done, report.undone);
  return {};
}

}  // namespace gpu_gate
