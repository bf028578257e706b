#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "gpu/visible_devices.h"
#include "policy/claim.h"

namespace gpu_gate {

/// How the command must be told of the devices: as asked for, but by UUID where the user has pinned
/// a device order (environ(7)) in which indices would mean other devices.
Ids naming(Ids asked, const char* const* environment);

/// The command's environment: the given one with CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER (unless
/// the user pinned another), GPU_GATE_INDICES, GPU_GATE_UUIDS and GPU_GATE_CLAIM set for these
/// devices.
std::vector<std::string> job_environment(const char* const* environment,
                                         const std::vector<Device>& devices, Ids ids, Ticket claim);

}  // namespace gpu_gate
