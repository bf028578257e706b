#pragma once

#include <memory>
#include <string>

#include "gpu/source.h"

namespace gpu_gate {

/// The kernel's files that the NVML source reads, as arguments so that a test can point elsewhere.
struct NvmlPaths {
  std::string driver_library = "libnvidia-ml.so.1";  // the toolkit's bare .so is only a stub
  std::string devices = "/dev";                      // nvidia<minor>, nvidiactl
  std::string meminfo = "/proc/meminfo";  // proc(5): for GPUs that share the system's memory
  std::string proc = "/proc";             // proc(5): the names of processes
};

/// A GpuSource on NVML, loaded with dlopen at the first read(). Nothing is opened here.
std::unique_ptr<GpuSource> nvml_source(NvmlPaths paths);

}  // namespace gpu_gate
