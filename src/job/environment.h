#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gpu/device.h"
#include "gpu/visible_devices.h"
#include "policy/claim.h"

namespace gpu_gate {

/// What a job has.
struct JobDevices {
  const std::vector<Device>& devices;
  Ids ids = Ids::index;  // how to name them
  Ticket claim = 0;
  std::optional<std::int64_t> share_mib = std::nullopt;  // of each; nothing: all of it
};

/// How the command must be told of the devices: as asked for, but by UUID where the user has pinned
/// a device order (environ(7)) in which indices would mean other devices, and where the vendor's
/// runtime counts them otherwise than we do.
Ids naming(const JobDevices& job, const char* const* environment);

/// What the job is told of its devices, by name and value: CUDA_VISIBLE_DEVICES and
/// CUDA_DEVICE_ORDER (unless the user pinned another), of AMD's ROCR_VISIBLE_DEVICES;
/// GPU_GATE_INDICES, GPU_GATE_UUIDS and GPU_GATE_CLAIM; of a
/// share GPU_GATE_SHARE_MB and, where the sizes of the devices are known, GPU_GATE_SHARE_FRACTION,
/// its part of the smallest, rounded down to three digits.
std::vector<std::pair<std::string, std::string>> job_variables(const char* const* environment,
                                                               const JobDevices& job);

/// The variables that are set in the environment and would not be true of this job: those of a
/// share, and lists of visible devices that count within the one that it gets.
std::vector<std::string> untrue_variables(const char* const* environment, const JobDevices& job);

/// The command's environment: the given one with the job's variables set, and without untrue ones.
std::vector<std::string> job_environment(const char* const* environment, const JobDevices& job);

}  // namespace gpu_gate
