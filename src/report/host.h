#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "gpu/visible_devices.h"
#include "history/journal.h"

namespace gpu_gate {

// What there is around gpu-gate on this machine, and in its environment, that may get in its way.

/// A device file that every GPU program needs and that this user may not open.
struct ClosedNode {
  std::string path;
  std::string
      group;  // the file's, where it is open to that one and this user is not in it; else ""
};

/// Plain values.
struct Host {
  std::vector<ClosedNode> closed_nodes;
  bool hides_processes = false;    // /proc is mounted with hidepid=
  bool own_pid_namespace = false;  // not that of the whole machine: a container, mostly
  bool is_container = false;
  bool is_wsl = false;                      // where the driver lists no processes
  bool has_slurmd = false;                  // the daemon of a Slurm node runs here
  bool in_job = false;                      // of gpu-gate's or Slurm's, which set variables
  std::vector<VisibleList> visible;         // that limit the choice
  std::optional<std::string> device_order;  // CUDA_DEVICE_ORDER
  std::string closed_history;  // the directory for the history, where it cannot be written
};

/// Where to look, so that a test can point elsewhere.
struct HostPaths {
  std::string devices = "/dev";
  std::string proc = "/proc";
  std::string mountinfo = "/proc/self/mountinfo";
  std::string root;                         // before /.dockerenv and /run/.containerenv
  std::string history = kHistoryDirectory;  // unless the environment names another
};

/// Looks, with an eye to the GPUs of this vendor. Opens device files of NVIDIA's, makes nothing.
/// `environment`: environ(7).
Host look_at_host(const char* const* environment, const HostPaths& paths = {},
                  Vendor vendor = Vendor::nvidia);

}  // namespace gpu_gate
