#include "gate/jobs.h"

#include <algorithm>
#include <functional>

#include "base/process.h"

namespace gpu_gate {

std::vector<JobProcess> job_processes(const Claims& claims, const std::vector<Claim>& live) {
  std::vector<JobProcess> list;
  Ticket last = 0;
  for (const Claim& claim : live) {
    if (claim.ticket == last) continue;  // a claim on several devices has one process
    const std::optional<ClaimRecord> record = claims.record(claim);
    if (!record) continue;
    last = claim.ticket;
    const Owner& owner = record->owner;
    if (owner.pid_namespace == pid_namespace() && process_lives(owner.pid, owner.start_ticks)) {
      list.push_back({.pid = owner.pid, .claim = claim.ticket, .start_ticks = owner.start_ticks});
    }
  }
  return list;
}

namespace {

/// Which of these a process that has none of them for an ancestor cannot be an orphan of either.
/// `line`: the process and its ancestors. The oldest below those that take orphans, which are init
/// and the systemd that runs a user's services, is the one that can have lost its parent.
std::vector<Ticket> later_claims(const std::vector<pid_t>& line, const std::vector<JobProcess>& of,
                                 const std::string& proc) {
  const auto taker = std::find_if(line.begin() + 1, line.end(), [&](pid_t ancestor) {
    return ancestor == 1 || process_name(ancestor, proc) == "systemd";
  });
  const auto oldest = process_identity(*(taker - 1), proc);
  std::vector<Ticket> later;
  for (const JobProcess& each : of) {
    if (oldest && each.start_ticks > oldest->start_ticks) later.push_back(each.claim);
  }
  return later;
}

/// Of the processes on those devices that are chosen.
Jobs jobs_on(const Snapshot& snapshot, const Claims& claims, const std::vector<Claim>& live,
             const std::function<bool(const Device&)>& is_chosen) {
  std::vector<pid_t> pids;
  for (const Device& device : snapshot.devices) {
    if (!is_chosen(device)) continue;
    for (const GpuProcess& process : device.processes) pids.push_back(process.pid);
  }
  if (pids.empty()) return {};
  return jobs_of(pids, job_processes(claims, live));
}

}  // namespace

Jobs jobs_of(const std::vector<pid_t>& pids, const std::vector<JobProcess>& of,
             const std::string& proc) {
  Jobs jobs;
  for (const pid_t process : pids) {
    const auto identity = process_identity(process, proc);
    if (!identity) continue;
    Job& job = jobs[process];
    job.uid = identity->uid;
    const std::vector<pid_t> line = with_ancestors(process, proc);
    for (const pid_t ancestor : line) {
      for (const JobProcess& each : of) {
        if (each.pid == ancestor) job.claims.push_back(each.claim);
      }
    }
    if (job.claims.empty()) job.not_of = later_claims(line, of, proc);
  }
  return jobs;
}

Jobs jobs_on_shared(const Snapshot& snapshot, const Claims& claims,
                    const std::vector<Claim>& live) {
  return jobs_on(snapshot, claims, live, [&](const Device& device) {
    return std::any_of(live.begin(), live.end(), [&](const Claim& claim) {
      return claim.share_mib && occupies(claim, device);
    });
  });
}

Jobs jobs_on_all(const Snapshot& snapshot, const Claims& claims, const std::vector<Claim>& live) {
  return jobs_on(snapshot, claims, live, [&](const Device&) { return !live.empty(); });
}

}  // namespace gpu_gate
