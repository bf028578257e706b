// The tree of amd_tree.h laid over /sys and /dev, for this process and what it starts.
#pragma once

namespace sim {

struct LayerError {
  const char* what;  // null: none
  int error;         // errno
};

// Makes in the tree what real files and folders can be mounted on: for its owner, before anybody
// lays it over.
void make_mount_points(int tree);

// In a mount namespace of this process's own, and, where it is not root, a user namespace too, in
// which it is the same user. What else is in /sys and /dev stays there, but for consoles, loop
// devices, and what stands where something simulated does.
LayerError lay_over(const char* machine_path);

}  // namespace sim
