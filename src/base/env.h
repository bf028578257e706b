#pragma once

#include <optional>
#include <string>

namespace gpu_gate {

/// Every environment variable that gpu-gate reads or sets, by name.
namespace env {
// The user's settings.
constexpr const char* kLockDir = "GPU_GATE_LOCK_DIR";
constexpr const char* kNvml = "GPU_GATE_NVML";
constexpr const char* kVendor = "GPU_GATE_VENDOR";
constexpr const char* kHistory = "GPU_GATE_HISTORY";
constexpr const char* kSlurmTable = "GPU_GATE_SLURM";
constexpr const char* kNoColor = "NO_COLOR";  // no-color.org: counts if it is not empty
constexpr const char* kTerm = "TERM";
constexpr const char* kPath = "PATH";
constexpr const char* kSlurmConf = "SLURM_CONF";  // Slurm's configuration
// What the command is told; a gpu-gate inside it reads kClaim.
constexpr const char* kClaim = "GPU_GATE_CLAIM";
constexpr const char* kIndices = "GPU_GATE_INDICES";
constexpr const char* kUuids = "GPU_GATE_UUIDS";
constexpr const char* kShareMb = "GPU_GATE_SHARE_MB";
constexpr const char* kShareFraction = "GPU_GATE_SHARE_FRACTION";
// CUDA C++ Programming Guide, "CUDA Environment Variables".
constexpr const char* kCudaVisibleDevices = "CUDA_VISIBLE_DEVICES";
constexpr const char* kCudaDeviceOrder = "CUDA_DEVICE_ORDER";
// The same for AMD: ROCm, and HIP on top of it.
constexpr const char* kRocrVisibleDevices = "ROCR_VISIBLE_DEVICES";
constexpr const char* kHipVisibleDevices = "HIP_VISIBLE_DEVICES";
// Set by Slurm in each of its jobs (srun(1)), the second on their nodes alone, the others in steps;
// by podman and systemd-nspawn in each container.
constexpr const char* kSlurmJob = "SLURM_JOB_ID";
constexpr const char* kSlurmNode = "SLURMD_NODENAME";
constexpr const char* kSlurmStep = "SLURM_STEP_ID";
constexpr const char* kSlurmStepGpus = "SLURM_STEP_GPUS";
constexpr const char* kContainer = "container";
// nvml.h: with it NVML lists an MPS server's parts of the GPUs, under other UUIDs.
constexpr const char* kMpsEnumeration = "NVML_MPS_DEVICE_ENUMERATION";
}  // namespace env

/// The value of a variable in an environment block (environ(7)), or nothing.
std::optional<std::string> env_variable(const char* const* environment, const char* name);

/// The same, and nothing where it is empty: for the settings of gpu-gate itself.
std::optional<std::string> env_setting(const char* const* environment, const char* name);

}  // namespace gpu_gate
