#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gpu/device.h"
#include "gpu/visible_devices.h"
#include "policy/claim.h"

namespace gpu_gate {

/// How the command must be told of the devices: as asked for, but by UUID where the user has pinned
/// a device order (environ(7)) in which indices would mean other devices.
Ids naming(Ids asked, const char* const* environment);

/// What the job is told of its devices, by name and value: CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER
/// (unless the user pinned another), GPU_GATE_INDICES, GPU_GATE_UUIDS and GPU_GATE_CLAIM.
std::vector<std::pair<std::string, std::string>> job_variables(const char* const* environment,
                                                               const std::vector<Device>& devices,
                                                               Ids ids, Ticket claim);

/// The command's environment: the given one with these variables set.
std::vector<std::string> job_environment(const char* const* environment,
                                         const std::vector<Device>& devices, Ids ids, Ticket claim);

}  // namespace gpu_gate
