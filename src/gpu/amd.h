#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "gpu/source.h"

namespace gpu_gate {

/// The kernel's folders that the AMD source reads, as arguments so that a test can point elsewhere.
struct AmdPaths {
  std::string sys = "/sys";  // class/kfd, class/drm
  std::string dev = "/dev";  // kfd, dri/renderD<minor>
};

/// Is it a name that this source gives to a device? "GPU-" and 16 hexadecimal digits (NVIDIA's have
/// 32 and hyphens), or "PCI-...".
bool is_amd_uuid(std::string_view uuid);

/// A GpuSource on what the amdgpu driver shows in sysfs; it needs no library, keeps nothing open
/// and wakes no GPU that sleeps. A machine without such GPUs has no devices, which is no error.
/// Nothing is read here.
std::unique_ptr<GpuSource> amd_source(AmdPaths paths);

}  // namespace gpu_gate
