#include "gate/outer_claim.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/descriptors.h"
#include "base/process.h"

namespace gpu_gate {
namespace {

bool is_mine(const Claim& claim) { return ::geteuid() == 0 || claim.uid == ::geteuid(); }

/// The FIFOs that this process has open.
std::vector<FileId> open_fifos() {
  std::vector<FileId> fifos;
  for (const int fd : open_descriptors()) {
    struct stat info{};
    if (::fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode)) {
      fifos.emplace_back(info.st_dev, info.st_ino);
    }
  }
  return fifos;
}

/// The processes that this one comes from, nearest first, but for the first of all.
std::vector<pid_t> ancestors() {
  constexpr std::size_t kMost = 100;
  std::vector<pid_t> pids;
  for (pid_t pid = ::getppid(); pid > 1 && pids.size() < kMost; pid = parent_of(pid)) {
    pids.push_back(pid);
  }
  return pids;
}

/// Is the process of that job among these ancestors?
bool comes_from(const std::vector<pid_t>& ancestors, const ClaimRecord& job) {
  const Owner& owner = job.owner;
  return job.with_process && owner.pid_namespace == pid_namespace() &&
         std::count(ancestors.begin(), ancestors.end(), owner.pid) > 0 &&
         process_lives(owner.pid, owner.start_ticks);
}

}  // namespace

Ticket find_outer_claim(const Claims& claims, const std::vector<Claim>& live) {
  if (std::none_of(live.begin(), live.end(), is_mine)) return 0;
  const std::vector<FileId> open = open_fifos();
  const std::vector<pid_t> came_from = ancestors();
  Ticket newest = 0;
  for (const Claim& claim : live) {
    if (!is_mine(claim)) continue;
    const std::optional<ClaimRecord> record = claims.record(claim);
    const bool by_ancestor = record && comes_from(came_from, *record);
    const bool by_descriptor = std::any_of(open.begin(), open.end(), [&](const FileId& fifo) {
      return claims.is_fifo_of(claim, fifo);
    });
    if (by_ancestor || by_descriptor) newest = std::max(newest, claim.ticket);
  }
  return newest;
}

}  // namespace gpu_gate
