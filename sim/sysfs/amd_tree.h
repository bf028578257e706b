// What the kernel shows of AMD cards in /sys and /dev, in a folder: `<machine file>.sysfs/`.
//
//   sys/  dev/   what is laid over /sys and /dev
//   machine      the machine file that they were made from
//   new/         where a change is made ready
//
// Sources: Linux drivers/gpu/drm/amd (amdkfd/kfd_topology.c, amdkfd/kfd_process.c,
// amdgpu/amdgpu_pm.c, amdgpu/amdgpu_xcp.c, amdxcp/amdgpu_xcp_drv.c) and drivers/pci.
#pragma once

#include <stddef.h>

#include "machine.h"

namespace sim {

// A descriptor of the tree, or -1 with errno.
int open_tree_of(const char* machine_path);

// Brings the tree up to date with the machine, of which `text` is the file; makes it where it is
// missing. `state_folder` is that of usage.h, and locked. False with errno; EACCES: it is another
// user's.
bool make_tree(const Machine& machine, const char* machine_path, const char* text, size_t size,
               int state_folder);

// What ROCm calls the GPU, without `GPU-`; 0: it has no such name.
uint64_t unique_id_of(const Machine& machine, const AmdNode& node);

}  // namespace sim
