#include "gpu/sources.h"

namespace gpu_gate {

std::unique_ptr<GpuSource> gpu_source(SourcePaths paths) {
  return nvml_source(std::move(paths.nvml));
}

}  // namespace gpu_gate
