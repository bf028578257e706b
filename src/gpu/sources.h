#pragma once

#include <memory>

#include "gpu/nvml.h"
#include "gpu/source.h"

namespace gpu_gate {

/// What the sources of all vendors read.
struct SourcePaths {
  NvmlPaths nvml;
};

/// The source of this machine's GPUs. Nothing is opened here.
std::unique_ptr<GpuSource> gpu_source(SourcePaths paths);

}  // namespace gpu_gate
