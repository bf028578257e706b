#pragma once

#include <string>

namespace gpu_gate {

/// May this user open the node of a card, `devices`/nvidia<minor>? Opens and closes it: only that
/// tells, since a device cgroup (Slurm, a container) refuses with EPERM what the file mode allows.
/// Without nvidiactl there are no such nodes at all (WSL), and nothing is refused.
bool card_node_accessible(const std::string& devices, unsigned minor);

/// An instance of a card, as the kernel numbers it.
struct MigInstance {
  unsigned card_minor = 0;  // of the card's device node
  unsigned gpu_instance = 0;
  unsigned compute_instance = 0;
};

/// May this user open the two nodes that give access to an instance, that of its GPU instance and
/// its own? (They are `devices`/nvidia-caps/nvidia-cap<minor>, by the numbers that the driver lists
/// in `proc`/driver/nvidia-caps/mig-minors: nv-caps.c, and "Device Nodes" in NVIDIA's MIG guide.)
/// Opens and closes them; true where that cannot be told.
bool mig_nodes_accessible(const MigInstance& instance, const std::string& devices,
                          const std::string& proc);

}  // namespace gpu_gate
