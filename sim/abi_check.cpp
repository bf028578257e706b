// Compile-only: the stand-in's structs have the sizes and offsets of the driver's library on a
// 64-bit machine.
#include <stddef.h>

#include "nvml/nvml_sim_abi.h"

namespace nvml_sim {

static_assert(sizeof(Return) == 4);
static_assert(sizeof(Device) == 8);

static_assert(sizeof(Memory) == 24);
static_assert(offsetof(Memory, total) == 0);
static_assert(offsetof(Memory, free) == 8);
static_assert(offsetof(Memory, used) == 16);

static_assert(sizeof(MemoryV2) == 40);
static_assert(sizeof(MemoryV2) == (kMemoryV2Version & 0xFFFFFF));
static_assert(offsetof(MemoryV2, version) == 0);
static_assert(offsetof(MemoryV2, total) == 8);
static_assert(offsetof(MemoryV2, reserved) == 16);
static_assert(offsetof(MemoryV2, free) == 24);
static_assert(offsetof(MemoryV2, used) == 32);

static_assert(sizeof(Utilization) == 8);
static_assert(offsetof(Utilization, gpu) == 0);
static_assert(offsetof(Utilization, memory) == 4);

static_assert(sizeof(PciInfo) == 68);
static_assert(offsetof(PciInfo, bus_id_legacy) == 0);
static_assert(offsetof(PciInfo, domain) == 16);
static_assert(offsetof(PciInfo, bus) == 20);
static_assert(offsetof(PciInfo, device) == 24);
static_assert(offsetof(PciInfo, pci_device_id) == 28);
static_assert(offsetof(PciInfo, pci_subsystem_id) == 32);
static_assert(offsetof(PciInfo, bus_id) == 36);

static_assert(sizeof(PciInfoExt) == 64);
static_assert(sizeof(PciInfoExt) == (kPciInfoExtVersion & 0xFFFFFF));
static_assert(offsetof(PciInfoExt, domain) == 4);
static_assert(offsetof(PciInfoExt, bus) == 8);
static_assert(offsetof(PciInfoExt, device) == 12);
static_assert(offsetof(PciInfoExt, pci_device_id) == 16);
static_assert(offsetof(PciInfoExt, pci_subsystem_id) == 20);
static_assert(offsetof(PciInfoExt, base_class) == 24);
static_assert(offsetof(PciInfoExt, sub_class) == 28);
static_assert(offsetof(PciInfoExt, bus_id) == 32);

// nvmlGpuTopologyLevel_t is an enum, and the caller has room for an int.
static_assert(sizeof(TopologyLevel) == 4);

static_assert(sizeof(ProcessV1) == 16);
static_assert(offsetof(ProcessV1, pid) == 0);
static_assert(offsetof(ProcessV1, used_gpu_memory) == 8);

static_assert(sizeof(ProcessV2) == 24);
static_assert(offsetof(ProcessV2, pid) == 0);
static_assert(offsetof(ProcessV2, used_gpu_memory) == 8);
static_assert(offsetof(ProcessV2, gpu_instance_id) == 16);
static_assert(offsetof(ProcessV2, compute_instance_id) == 20);

static_assert(sizeof(ProcessDetail) == 32);
static_assert(offsetof(ProcessDetail, pid) == 0);
static_assert(offsetof(ProcessDetail, used_gpu_memory) == 8);
static_assert(offsetof(ProcessDetail, gpu_instance_id) == 16);
static_assert(offsetof(ProcessDetail, compute_instance_id) == 20);
static_assert(offsetof(ProcessDetail, used_gpu_cc_protected_memory) == 24);

static_assert(sizeof(ProcessDetailList) == 24);
static_assert(sizeof(ProcessDetailList) == (kProcessDetailListVersion & 0xFFFFFF));
static_assert(offsetof(ProcessDetailList, version) == 0);
static_assert(offsetof(ProcessDetailList, mode) == 4);
static_assert(offsetof(ProcessDetailList, entry_count) == 8);
static_assert(offsetof(ProcessDetailList, entries) == 16);

static_assert(sizeof(FieldValue) == 40);
static_assert(offsetof(FieldValue, field_id) == 0);
static_assert(offsetof(FieldValue, scope_id) == 4);
static_assert(offsetof(FieldValue, timestamp_us) == 8);
static_assert(offsetof(FieldValue, latency_us) == 16);
static_assert(offsetof(FieldValue, value_type) == 24);
static_assert(offsetof(FieldValue, status) == 28);
static_assert(offsetof(FieldValue, value) == 32);

static_assert(sizeof(DeviceAttributes) == 40);
static_assert(offsetof(DeviceAttributes, multiprocessor_count) == 0);
static_assert(offsetof(DeviceAttributes, shared_copy_engine_count) == 4);
static_assert(offsetof(DeviceAttributes, shared_decoder_count) == 8);
static_assert(offsetof(DeviceAttributes, shared_encoder_count) == 12);
static_assert(offsetof(DeviceAttributes, shared_jpeg_count) == 16);
static_assert(offsetof(DeviceAttributes, shared_ofa_count) == 20);
static_assert(offsetof(DeviceAttributes, gpu_instance_slice_count) == 24);
static_assert(offsetof(DeviceAttributes, compute_instance_slice_count) == 28);
static_assert(offsetof(DeviceAttributes, memory_size_mib) == 32);

static_assert(sizeof(ConfComputeMemSize) == 16);
static_assert(offsetof(ConfComputeMemSize, protected_kib) == 0);
static_assert(offsetof(ConfComputeMemSize, unprotected_kib) == 8);

}  // namespace nvml_sim
