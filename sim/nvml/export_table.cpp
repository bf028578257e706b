// The table of functions that nvidia-smi asks the driver's library for, beside the public ones.
//
// It is not documented. That it is known by these 16 bytes, begins with its size in bytes, has the
// process lists in its slots 213 to 215, and what a record of them is: NVIDIA/k8s-test-infra,
// pkg/gpu/mocknvml/bridge/internal.go (Apache-2.0), where NVIDIA's own stand-in answers nvidia-smi
// 580. Which list is which, and that nvidia-smi asks for no slot beyond the size, is what
// nvidia-smi 535 and 550 do with it.
#include <stdint.h>
#include <string.h>

#include "machine.h"
#include "nvml/nvml_sim_abi.h"
#include "usage.h"

#if NVML_SIM_RELEASE > 535

namespace nvml_sim {
namespace {

constexpr unsigned char kTableId[16] = {0xC4, 0xFE, 0x3E, 0x6C, 0xC9, 0x8F, 0x6C, 0x4E,
                                        0xA3, 0x27, 0xEE, 0x69, 0x6E, 0x12, 0xF7, 0xC4};

struct NamedProcess {
  ProcessDetail process;
  char name[4096];
};
static_assert(sizeof(NamedProcess) == 4128);

// All have the type of those that are answered: a caller's other arguments are left alone.
using Slot = Return (*)(Device device, uint32_t* count, NamedProcess* processes);

constexpr size_t kLastSlot = 215;
constexpr uint32_t kMostProcesses = sim::kMaxProcesses + sim::kMaxJobsPerDevice;

struct ExportTable {
  size_t size;
  Slot slots[kLastSlot];  // from slot 1 on
};
static_assert(sizeof(ExportTable) == 8 * (kLastSlot + 1));

Return not_supported(Device, uint32_t*, NamedProcess*) { return kNotSupported; }

// `count` as in the public lists.
Return list_named(DetailMode mode, Device device, uint32_t* count, NamedProcess* processes) {
  if (count == nullptr || processes == nullptr) return kInvalidArgument;
  ProcessDetail found[kMostProcesses];
  ProcessDetailList list = {.version = kProcessDetailListVersion,
                            .mode = mode,
                            .entry_count = kMostProcesses,
                            .entries = found};
  const Return listed = nvmlDeviceGetRunningProcessDetailList(device, &list);
  if (listed != kSuccess) return listed;
  const uint32_t room = *count;
  *count = list.entry_count;
  if (room < list.entry_count) return kInsufficientSize;
  for (uint32_t i = 0; i < list.entry_count; ++i) {
    NamedProcess& process = processes[i];
    process.process = found[i];
    const Return named = nvmlSystemGetProcessName(found[i].pid, process.name, sizeof(process.name));
    // nvidia-smi passes over a process without a name.
    if (named != kSuccess) strcpy(process.name, "[Not Found]");
  }
  return kSuccess;
}

template <DetailMode Mode>
Return list_processes_of(Device device, uint32_t* count, NamedProcess* processes) {
  return list_named(Mode, device, count, processes);
}

constexpr ExportTable make_table() {
  ExportTable table = {.size = sizeof(ExportTable), .slots = {}};
  for (Slot& slot : table.slots) slot = not_supported;
  table.slots[213 - 1] = list_processes_of<kDetailCompute>;
  table.slots[214 - 1] = list_processes_of<kDetailMps>;
  table.slots[215 - 1] = list_processes_of<kDetailGraphics>;
  return table;
}

constinit const ExportTable export_table = make_table();

}  // namespace
}  // namespace nvml_sim

nvml_sim::Return nvmlInternalGetExportTable(const void** table, const void* id) {
  if (table == nullptr || id == nullptr) return nvml_sim::kInvalidArgument;
  if (memcmp(id, nvml_sim::kTableId, sizeof(nvml_sim::kTableId)) != 0) {
    return nvml_sim::kNotSupported;
  }
  *table = &nvml_sim::export_table;
  return nvml_sim::kSuccess;
}

#endif
