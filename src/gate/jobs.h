#pragma once

#include <string>
#include <vector>

#include "gate/claims.h"
#include "policy/occupancy.h"

namespace gpu_gate {

/// The process that a claim's record names.
struct JobProcess {
  pid_t pid = 0;
  Ticket claim = 0;
  std::uint64_t start_ticks = 0;  // when it began
};

/// Those of live claims, as far as they can be seen here and still live.
std::vector<JobProcess> job_processes(const Claims& claims, const std::vector<Claim>& live);

/// What /proc tells of each of these processes; those that it does not show are left out. `proc`:
/// where proc(5) is.
Jobs jobs_of(const std::vector<pid_t>& pids, const std::vector<JobProcess>& of,
             const std::string& proc = "/proc");

/// The same of the processes on those devices of which a part is claimed: without shares nothing is
/// read.
Jobs jobs_on_shared(const Snapshot& snapshot, const Claims& claims, const std::vector<Claim>& live);

/// The same of the processes on all devices: without claims nothing is read.
Jobs jobs_on_all(const Snapshot& snapshot, const Claims& claims, const std::vector<Claim>& live);

}  // namespace gpu_gate
