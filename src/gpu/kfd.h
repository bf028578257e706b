#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "gpu/device.h"

// What KFD, the part of the amdgpu driver that computes, shows in sysfs. Its files are open to all
// (kfd_topology.c, kfd_process.c in the kernel), but for those of a GPU that a device cgroup
// closes.
namespace gpu_gate {

/// A GPU, or a partition of one, as KFD knows it: the runtime (ROCm) has one agent for each.
struct KfdGpu {
  int node = 0;                 // its number in the topology: the order in which the runtime counts
  bool closed = false;          // by a device cgroup: nothing else is known of it
  std::string gpu_id;           // a number, as the names of files have it
  unsigned render_minor = 0;    // of /dev/dri/renderD<minor>
  std::string pci_address;      // "0000:c1:00.0"
  unsigned partition = 0;       // of the card at that address
  std::uint64_t unique_id = 0;  // by which the runtime names it; 0: it has none
  std::uint64_t gfx_version = 0;  // 90402 for gfx942
};

/// All GPUs, in the runtime's order. `kfd`: the folder /sys/class/kfd/kfd. None where there is no
/// such folder; an error (gpu_state) where a node that is there cannot be read for any reason but
/// a device cgroup's, since that could change the names of others.
Result<std::vector<KfdGpu>> kfd_gpus(const std::string& kfd);

/// The processes that have memory or a queue on a GPU, by its gpu_id, in ascending pid. Each that
/// computes is shown, whose ever it is; those that only draw are not. An error (gpu_state) where
/// one that is there cannot be read.
using KfdProcesses = std::map<std::string, std::vector<GpuProcess>>;
Result<KfdProcesses> kfd_processes(const std::string& kfd, const std::vector<KfdGpu>& gpus);

/// The nodes that a node has a direct link to (XGMI).
std::vector<int> kfd_linked_nodes(const std::string& kfd, int node);

/// A file of sysfs: its first line.
struct SysfsText {
  std::string text;
  int errnum = 0;  // why it cannot be read; 0: it can

  /// Is it not there, or not any more (of a process that has ended, a device that is lost)?
  bool is_absent() const;
  /// As a number; 0 where it is none.
  std::uint64_t number(int base = 10) const;
};
SysfsText read_sysfs(const std::string& path);

}  // namespace gpu_gate
