#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "gpu/visible_devices.h"
#include "policy/request.h"

namespace gpu_gate {

/// The value of a variable in an environment block, or nothing.
std::optional<std::string> variable(const char* const* environment, const std::string& name);

/// How CUDA_VISIBLE_DEVICES must name the cards: as asked for, but by UUID where the user has
/// pinned a CUDA_DEVICE_ORDER in which indices would mean other cards.
Ids naming(Ids asked, const std::optional<std::string>& device_order);

/// The command's environment: the given one with CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER (unless
/// the user pinned another), GPU_GATE_INDICES, GPU_GATE_UUIDS and GPU_GATE_CLAIM set for these
/// devices.
std::vector<std::string> job_environment(const char* const* environment,
                                         const std::vector<Device>& devices, Ids ids, Ticket claim);

}  // namespace gpu_gate
