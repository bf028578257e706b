#pragma once

#include <cstdint>

// The part of NVML's binary interface that gpu-gate calls: our own declarations of the layouts and
// numbers that nvml.h documents, so that no NVIDIA package is needed to build.
namespace gpu_gate::nvml {

using DeviceHandle = struct OpaqueDevice*;
using Return = int;  // nvmlReturn_t

constexpr Return kSuccess = 0;
constexpr Return kInvalidArgument = 2;
constexpr Return kNotSupported = 3;
constexpr Return kNoPermission = 4;
constexpr Return kNotFound = 6;
constexpr Return kInsufficientSize = 7;
constexpr Return kDriverNotLoaded = 9;
constexpr Return kFunctionNotFound = 13;
constexpr Return kGpuIsLost = 15;
constexpr Return kResetRequired = 16;
constexpr Return kOperatingSystem = 17;
constexpr Return kLibRmVersionMismatch = 18;
constexpr Return kUnknown = 999;

constexpr unsigned kComputeModeProhibited = 2;   // nvmlComputeMode_t
constexpr unsigned kComputeModeExclusive = 3;    // EXCLUSIVE_PROCESS
constexpr unsigned kPersistenceOff = 0;          // NVML_FEATURE_DISABLED
constexpr unsigned kUuidSize = 96;               // NVML_DEVICE_UUID_V2_BUFFER_SIZE
constexpr unsigned kNameSize = 96;               // NVML_DEVICE_NAME_V2_BUFFER_SIZE
constexpr unsigned kFieldRetirePending = 31;     // NVML_FI_DEV_RETIRED_PENDING
constexpr unsigned kFieldRemapPending = 144;     // NVML_FI_DEV_REMAPPED_PENDING (R450+)
constexpr unsigned kFieldRemapFailure = 145;     // NVML_FI_DEV_REMAPPED_FAILURE (R450+)
constexpr unsigned kFieldRecoveryAction = 230;   // NVML_FI_DEV_GET_GPU_RECOVERY_ACTION (R565+)
constexpr unsigned kFieldSwitchLinks = 147;      // NVML_FI_DEV_NVSWITCH_CONNECTED_LINK_COUNT
constexpr unsigned kMaxLinks = 36;               // NVML_NVLINK_MAX_LINKS of 13.5; 18 before
constexpr unsigned kLinkUp = 1;                  // NVML_FEATURE_ENABLED
constexpr std::uint64_t kUnknownMemory = ~0ULL;  // NVML_VALUE_NOT_AVAILABLE

struct Memory {  // nvmlMemory_t
  std::uint64_t total, free, used;
};
struct MemoryV2 {  // nvmlMemory_v2_t
  std::uint32_t version;
  std::uint64_t total, reserved, free, used;
};
constexpr std::uint32_t kMemoryV2Version = sizeof(MemoryV2) | (2U << 24);  // NVML_STRUCT_VERSION

struct Utilization {
  std::uint32_t gpu, memory;  // percent
};
struct PciInfo {  // nvmlPciInfo_t of nvmlDeviceGetPciInfo_v3
  char bus_id_legacy[16];
  std::uint32_t domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

/// An address as a number, in the order of the bus.
constexpr std::uint64_t pci_number(const PciInfo& pci) {
  return (std::uint64_t{pci.domain} << 16) | (std::uint64_t{pci.bus & 0xFF} << 8) |
         (pci.device & 0xFF);
}

// The three layouts of a process record; only the first two members are read.
struct ProcessInfoV1 {  // unversioned nvmlDeviceGetComputeRunningProcesses
  std::uint32_t pid;
  std::uint64_t used_memory;
};
struct ProcessInfoV2 {  // the _v2 and _v3 functions
  std::uint32_t pid;
  std::uint64_t used_memory;
  std::uint32_t gpu_instance, compute_instance;
};
struct ProcessInfoR535 {  // the _v3 functions of the first R535 drivers
  std::uint32_t pid;
  std::uint64_t used_memory;
  std::uint32_t gpu_instance, compute_instance;
  std::uint64_t protected_memory;
};
struct FieldValue {  // nvmlFieldValue_t
  std::uint32_t field, scope;
  std::int64_t timestamp, latency_usec;
  std::int32_t value_type;
  Return status;
  union {
    double number;
    std::uint32_t u32;
    std::uint64_t u64;
  } value;
};

static_assert(sizeof(Memory) == 24 && sizeof(MemoryV2) == 40 && kMemoryV2Version == 0x02000028);
static_assert(sizeof(Utilization) == 8 && sizeof(PciInfo) == 68 && sizeof(FieldValue) == 40);
static_assert(sizeof(ProcessInfoV1) == 16 && sizeof(ProcessInfoV2) == 24 &&
              sizeof(ProcessInfoR535) == 32);

using InitFn = Return();
using ShutdownFn = Return();
using ErrorStringFn = const char*(Return);
using CountFn = Return(unsigned*);
using HandleFn = Return(unsigned, DeviceHandle*);
using TextFn = Return(DeviceHandle, char*, unsigned);
using PciFn = Return(DeviceHandle, PciInfo*);
using NumberFn = Return(DeviceHandle, unsigned*);
using MemoryFn = Return(DeviceHandle, Memory*);
using MemoryV2Fn = Return(DeviceHandle, MemoryV2*);
using UtilizationFn = Return(DeviceHandle, Utilization*);
using ProcessesFn = Return(DeviceHandle, unsigned*, void*);
using CommonAncestorFn = Return(DeviceHandle, DeviceHandle, unsigned*);  // nvmlGpuTopologyLevel_t
using LinkStateFn = Return(DeviceHandle, unsigned link, unsigned*);
using LinkRemotePciFn = Return(DeviceHandle, unsigned link, PciInfo*);
using SubdeviceFn = Return(DeviceHandle, unsigned slot, DeviceHandle*);
using MigModeFn = Return(DeviceHandle, unsigned*, unsigned*);
using CapabilityFn = Return(DeviceHandle, int*, int*);
using FieldsFn = Return(DeviceHandle, int, FieldValue*);

}  // namespace gpu_gate::nvml
