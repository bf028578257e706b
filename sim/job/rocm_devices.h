// Which AMD GPUs a ROCm program finds.
#pragma once

#include "job/visible_devices.h"
#include "machine.h"

namespace sim {

struct RocmVariables {
  const char* rocr;  // ROCR_VISIBLE_DEVICES, null: not set
  const char* hip;   // HIP_VISIBLE_DEVICES
  const char* cuda;  // CUDA_VISIBLE_DEVICES
};

// Places in `all`, as ROCr and HIP count: of the GPUs whose files this process can open, those that
// ROCR_VISIBLE_DEVICES shows, in its order, and of these those that HIP_VISIBLE_DEVICES shows or,
// where that is empty, CUDA_VISIBLE_DEVICES. Sources: ROCR-Runtime
// src/core/runtime/amd_filter_device.cpp, clr rocclr/device/rocm/rocdevice.cpp.
Devices rocm_devices(const Machine& machine, const AmdNodes& all, const RocmVariables& variables);

}  // namespace sim
