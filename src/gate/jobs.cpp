#include "gate/jobs.h"

#include <algorithm>

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

constexpr int kMaxGenerations = 256;

/// The oldest of a process and its ancestors below those that take orphans: init, and the systemd
/// that runs a user's services. Only that can have lost its parent.
pid_t root_of(pid_t process, const std::string& proc) {
  for (int i = 0; i < kMaxGenerations; ++i) {
    const pid_t parent = parent_of(process, proc);
    if (parent <= 1 || process_name(parent, proc) == "systemd") break;
    process = parent;
  }
  return process;
}

/// Those of which a process that has none of them for an ancestor cannot be an orphan either.
std::vector<Ticket> later_claims(pid_t process, const std::vector<JobProcess>& of,
                                 const std::string& proc) {
  const auto root = process_identity(root_of(process, proc), proc);
  std::vector<Ticket> later;
  for (const JobProcess& each : of) {
    if (root && each.start_ticks > root->start_ticks) later.push_back(each.claim);
  }
  return later;
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
    pid_t ancestor = process;
    for (int i = 0; i < kMaxGenerations && ancestor > 0; ++i) {
      for (const JobProcess& each : of) {
        if (each.pid == ancestor) job.claims.push_back(each.claim);
      }
      ancestor = ancestor == 1 ? 0 : parent_of(ancestor, proc);
    }
    if (job.claims.empty()) job.not_of = later_claims(process, of, proc);
  }
  return jobs;
}

Jobs jobs_on_shared(const Snapshot& snapshot, const Claims& claims,
                    const std::vector<Claim>& live) {
  std::vector<pid_t> pids;
  for (const Device& device : snapshot.devices) {
    const bool shared = std::any_of(live.begin(), live.end(), [&](const Claim& claim) {
      return claim.share_mib && occupies(claim, device);
    });
    if (!shared) continue;
    for (const GpuProcess& process : device.processes) pids.push_back(process.pid);
  }
  if (pids.empty()) return {};
  return jobs_of(pids, job_processes(claims, live));
}

}  // namespace gpu_gate
