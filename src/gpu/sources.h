#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gpu/amd.h"
#include "gpu/nvml.h"
#include "gpu/source.h"

namespace gpu_gate {

/// Whose devices are asked for.
struct WantedVendor {
  Vendor vendor = Vendor::nvidia;
  std::string asked;  // how, for a refusal: "--vendor amd"
};

/// What the sources of all vendors read.
struct SourcePaths {
  NvmlPaths nvml;
  AmdPaths amd = {};
};

/// The source of this machine's GPUs, which are those of one vendor: of the wanted one, else
/// NVIDIA's where there are any, else AMD's. Whose they are is settled by the first reading that
/// finds any. Nothing is opened here.
///
/// Errors: of the vendor that was read; impossible where the wanted one has none here; where nobody
/// has any, what NVIDIA's driver says.
std::unique_ptr<GpuSource> gpu_source(SourcePaths paths, std::optional<WantedVendor> wanted = {});

}  // namespace gpu_gate
