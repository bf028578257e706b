// The binary interface of libnvidia-ml.so.1 as the stand-in offers it: the real symbols, with
// struct layouts and values written down here on their own. gpu-gate keeps its own header on
// purpose; a mistake on one side then shows in a test instead of cancelling out.
// sim/abi_check.cpp pins every size and offset.
#pragma once

#include <stdint.h>

#define NVML_SIM_EXPORT extern "C" __attribute__((visibility("default")))

// Which driver release the library plays: 450 ("old"), 535 ("r535", its first builds) or 570
// ("current"). It decides which symbols exist and how large a process record is.
#ifndef NVML_SIM_RELEASE
#define NVML_SIM_RELEASE 570
#endif

namespace nvml_sim {

enum Return : int {
  kSuccess = 0,
  kUninitialized = 1,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNotFound = 6,
  kInsufficientSize = 7,
  kDriverNotLoaded = 9,
  kGpuIsLost = 15,
  kArgumentVersionMismatch = 25,
  kUnknown = 999,
};

enum ValueType : int { kValueUnsignedInt = 1 };

enum Field : uint32_t {
  kFieldRetirePending = 31,
  kFieldRemappedCorrectable = 142,
  kFieldRemappedUncorrectable = 143,
  kFieldRemappedPending = 144,
  kFieldRemappedFailure = 145,
  kFieldSwitchLinks = 147,
  kFieldRecoveryAction = 230,
};

enum DetailMode : uint32_t { kDetailCompute = 0, kDetailGraphics = 1, kDetailMps = 2 };

// How far apart two cards are: nvmlGpuTopologyLevel_t.
enum TopologyLevel : int {
  kTopologyInternal = 0,
  kTopologySingle = 10,
  kTopologyMultiple = 20,
  kTopologyHostbridge = 30,
  kTopologyNode = 40,
  kTopologySystem = 50,
};

inline constexpr uint32_t kLinkDisabled = 0;  // nvmlEnableState_t
inline constexpr uint32_t kLinkEnabled = 1;

inline constexpr uint32_t kMemoryV2Version = 0x02000028;
inline constexpr uint32_t kProcessDetailListVersion = 0x01000018;
inline constexpr uint32_t kNoInstance = 0xFFFFFFFF;
inline constexpr uint64_t kValueNotAvailable = ~uint64_t{0};

inline constexpr uint32_t kPciInfoExtVersion = 0x01000040;

struct DeviceHandle;
using Device = DeviceHandle*;

struct EventSetHandle;
using EventSet = EventSetHandle*;

struct Memory {
  uint64_t total;
  uint64_t free;
  uint64_t used;
};

struct MemoryV2 {
  uint32_t version;
  uint64_t total;
  uint64_t reserved;
  uint64_t free;
  uint64_t used;
};

struct Utilization {
  uint32_t gpu;
  uint32_t memory;
};

struct PciInfo {
  char bus_id_legacy[16];
  uint32_t domain;
  uint32_t bus;
  uint32_t device;
  uint32_t pci_device_id;
  uint32_t pci_subsystem_id;
  char bus_id[32];
};

struct PciInfoExt {
  uint32_t version;
  uint32_t domain;
  uint32_t bus;
  uint32_t device;
  uint32_t pci_device_id;
  uint32_t pci_subsystem_id;
  uint32_t base_class;
  uint32_t sub_class;
  char bus_id[32];
};

struct ProcessV1 {
  uint32_t pid;
  uint64_t used_gpu_memory;
};

struct ProcessV2 {
  uint32_t pid;
  uint64_t used_gpu_memory;
  uint32_t gpu_instance_id;
  uint32_t compute_instance_id;
};

// Also the record of the _v3 functions in the first R535 drivers.
struct ProcessDetail {
  uint32_t pid;
  uint64_t used_gpu_memory;
  uint32_t gpu_instance_id;
  uint32_t compute_instance_id;
  uint64_t used_gpu_cc_protected_memory;
};

#if NVML_SIM_RELEASE == 535
using ProcessV3 = ProcessDetail;
#else
using ProcessV3 = ProcessV2;
#endif

struct ProcessDetailList {
  uint32_t version;
  uint32_t mode;
  uint32_t entry_count;
  ProcessDetail* entries;
};

union Value {
  double as_double;
  uint32_t as_u32;
  uint64_t as_u64;
  int64_t as_i64;
};

struct FieldValue {
  uint32_t field_id;
  uint32_t scope_id;
  int64_t timestamp_us;
  int64_t latency_us;
  ValueType value_type;
  Return status;
  Value value;
};

struct DeviceAttributes {
  uint32_t multiprocessor_count;
  uint32_t shared_copy_engine_count;
  uint32_t shared_decoder_count;
  uint32_t shared_encoder_count;
  uint32_t shared_jpeg_count;
  uint32_t shared_ofa_count;
  uint32_t gpu_instance_slice_count;
  uint32_t compute_instance_slice_count;
  uint64_t memory_size_mib;
};

struct ConfComputeMemSize {
  uint64_t protected_kib;
  uint64_t unprotected_kib;
};

}  // namespace nvml_sim

NVML_SIM_EXPORT nvml_sim::Return nvmlInit_v2();
NVML_SIM_EXPORT nvml_sim::Return nvmlInitWithFlags(uint32_t flags);
NVML_SIM_EXPORT nvml_sim::Return nvmlShutdown();
NVML_SIM_EXPORT const char* nvmlErrorString(nvml_sim::Return code);
NVML_SIM_EXPORT nvml_sim::Return nvmlSystemGetDriverVersion(char* version, uint32_t length);
NVML_SIM_EXPORT nvml_sim::Return nvmlSystemGetProcessName(uint32_t pid, char* name,
                                                          uint32_t length);
NVML_SIM_EXPORT nvml_sim::Return nvmlEventSetCreate(nvml_sim::EventSet* set);
NVML_SIM_EXPORT nvml_sim::Return nvmlEventSetFree(nvml_sim::EventSet set);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetCount_v2(uint32_t* count);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetHandleByIndex_v2(uint32_t index,
                                                               nvml_sim::Device* device);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetUUID(nvml_sim::Device device, char* uuid,
                                                   uint32_t length);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetName(nvml_sim::Device device, char* name,
                                                   uint32_t length);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetPciInfo_v3(nvml_sim::Device device,
                                                         nvml_sim::PciInfo* pci);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetIndex(nvml_sim::Device device, uint32_t* index);

NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetBAR1MemoryInfo(nvml_sim::Device device,
                                                             nvml_sim::Memory* memory);

// Functions that answer "not supported". They take more arguments, which are left alone.
#define NVML_SIM_FOR_EACH_NOT_SUPPORTED(what)                                              \
  what(nvmlDeviceGetDecoderUtilization) what(nvmlDeviceGetDisplayActive)                   \
      what(nvmlDeviceGetEccMode) what(nvmlDeviceGetEncoderUtilization)                     \
          what(nvmlDeviceGetEnforcedPowerLimit) what(nvmlDeviceGetFanSpeed)                \
              what(nvmlDeviceGetMemoryErrorCounter) what(nvmlDeviceGetPerformanceState)    \
                  what(nvmlDeviceGetPowerManagementLimit) what(nvmlDeviceGetPowerUsage)    \
                      what(nvmlDeviceGetProcessUtilization) what(nvmlDeviceGetTemperature) \
                          what(nvmlDeviceGetTotalEccErrors)
#define NVML_SIM_DECLARE(function) \
  NVML_SIM_EXPORT nvml_sim::Return function(nvml_sim::Device device);
NVML_SIM_FOR_EACH_NOT_SUPPORTED(NVML_SIM_DECLARE)
#undef NVML_SIM_DECLARE

NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMinorNumber(nvml_sim::Device device,
                                                          uint32_t* minor_number);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMemoryInfo(nvml_sim::Device device,
                                                         nvml_sim::Memory* memory);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetUtilizationRates(nvml_sim::Device device,
                                                               nvml_sim::Utilization* utilization);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetComputeMode(nvml_sim::Device device, uint32_t* mode);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetPersistenceMode(nvml_sim::Device device,
                                                              uint32_t* mode);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetCudaComputeCapability(nvml_sim::Device device,
                                                                    int* major, int* minor);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetComputeRunningProcesses(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV1* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetGraphicsRunningProcesses(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV1* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMPSComputeRunningProcesses(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV1* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetFieldValues(nvml_sim::Device device, int count,
                                                          nvml_sim::FieldValue* values);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetTopologyCommonAncestor(
    nvml_sim::Device device1, nvml_sim::Device device2, nvml_sim::TopologyLevel* level);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetNvLinkState(nvml_sim::Device device, uint32_t link,
                                                          uint32_t* state);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetNvLinkRemotePciInfo_v2(nvml_sim::Device device,
                                                                     uint32_t link,
                                                                     nvml_sim::PciInfo* pci);

#if NVML_SIM_RELEASE >= 535
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMemoryInfo_v2(nvml_sim::Device device,
                                                            nvml_sim::MemoryV2* memory);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetComputeRunningProcesses_v2(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV2* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetComputeRunningProcesses_v3(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV3* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetGraphicsRunningProcesses_v2(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV2* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetGraphicsRunningProcesses_v3(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV3* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMPSComputeRunningProcesses_v3(
    nvml_sim::Device device, uint32_t* count, nvml_sim::ProcessV3* processes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMigMode(nvml_sim::Device device, uint32_t* current,
                                                      uint32_t* pending);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMaxMigDeviceCount(nvml_sim::Device device,
                                                                uint32_t* count);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetMigDeviceHandleByIndex(nvml_sim::Device device,
                                                                     uint32_t index,
                                                                     nvml_sim::Device* instance);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceIsMigDeviceHandle(nvml_sim::Device device,
                                                             uint32_t* is_instance);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetDeviceHandleFromMigDeviceHandle(
    nvml_sim::Device instance, nvml_sim::Device* device);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetGpuInstanceId(nvml_sim::Device device, uint32_t* id);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetComputeInstanceId(nvml_sim::Device device,
                                                                uint32_t* id);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetAttributes_v2(nvml_sim::Device device,
                                                            nvml_sim::DeviceAttributes* attributes);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetRemappedRows(nvml_sim::Device device,
                                                           uint32_t* correctable,
                                                           uint32_t* uncorrectable,
                                                           uint32_t* is_pending,
                                                           uint32_t* failure_occurred);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetConfComputeMemSizeInfo(
    nvml_sim::Device device, nvml_sim::ConfComputeMemSize* size);
#endif

#if NVML_SIM_RELEASE > 535
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetPciInfoExt(nvml_sim::Device device,
                                                         nvml_sim::PciInfoExt* pci);
NVML_SIM_EXPORT nvml_sim::Return nvmlInternalGetExportTable(const void** table, const void* id);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetNumaNodeId(nvml_sim::Device device, uint32_t* node);
NVML_SIM_EXPORT nvml_sim::Return nvmlDeviceGetRunningProcessDetailList(
    nvml_sim::Device device, nvml_sim::ProcessDetailList* list);
#endif
