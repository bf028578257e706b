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
      list.push_back({.pid = owner.pid, .claim = claim.ticket});
    }
  }
  return list;
}

Jobs jobs_of(const std::vector<pid_t>& pids, const std::vector<JobProcess>& of,
             const std::string& proc) {
  constexpr int kMaxGenerations = 256;
  Jobs jobs;
  for (const pid_t process : pids) {
    const auto identity = process_identity(process, proc);
    if (!identity) continue;
    Job& job = jobs[process];
    job.uid = identity->uid;
    pid_t ancestor = process;
    for (int i = 0; i < kMaxGenerations && ancestor > 1; ++i) {
      for (const JobProcess& each : of) {
        if (each.pid == ancestor) job.claims.push_back(each.claim);
      }
      ancestor = parent_of(ancestor, proc);
    }
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
