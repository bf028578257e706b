// bench-nvml: the calls that gpu-gate makes to NVML for one look, in a program that does nothing
// else. How long they take is the library's part of gpu-gate's start.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "nvml/nvml_sim_abi.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr uint32_t kMaxDevices = 64;
constexpr uint32_t kRoom = 8;  // for processes on one card

constexpr const char* kUsage =
    "usage: bench-nvml LIBRARY LOG\n"
    "\n"
    "Loads LIBRARY, makes the calls of one look at all GPUs as src/gpu/nvml.cpp does, and unloads\n"
    "it. Appends to LOG a line with the nanoseconds that took.\n";

[[noreturn]] void stop(const char* what) {
  fprintf(stderr, "bench-nvml: %s\n", what);
  exit(kExitFailed);
}

long long monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

template <typename Function>
Function* find(void* library, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) stop(name);
  return reinterpret_cast<Function*>(symbol);
}

// An entry point with its type.
#define FIND(function) find<decltype(function)>(library, #function)

void demand(nvml_sim::Return result, const char* call) {
  if (result != nvml_sim::kSuccess) stop(call);
}

// gpu-gate looks these up in every run, but calls them only when another call fails, or never.
void find_what_is_not_called(void* library) {
  FIND(nvmlDeviceGetMemoryInfo);
  FIND(nvmlErrorString);
  FIND(nvmlDeviceGetConfComputeMemSizeInfo);
  FIND(nvmlDeviceGetRunningProcessDetailList);
}

nvml_sim::Device identify(void* library, uint32_t index) {
  nvml_sim::Device device = nullptr;
  demand(FIND(nvmlDeviceGetHandleByIndex_v2)(index, &device), "nvmlDeviceGetHandleByIndex_v2");
  nvml_sim::PciInfo pci{};
  FIND(nvmlDeviceGetPciInfo_v3)(device, &pci);
  char text[96];
  FIND(nvmlDeviceGetName)(device, text, sizeof text);
  FIND(nvmlDeviceGetUUID)(device, text, sizeof text);
  int major = 0;
  int minor = 0;
  FIND(nvmlDeviceGetCudaComputeCapability)(device, &major, &minor);
  uint32_t node = 0;
  FIND(nvmlDeviceGetNumaNodeId)(device, &node);
  uint32_t minor_number = 0;
  FIND(nvmlDeviceGetMinorNumber)(device, &minor_number);
  return device;
}

void look(void* library, nvml_sim::Device device) {
  uint32_t mig = 0;
  uint32_t pending_mig = 0;
  FIND(nvmlDeviceGetMigMode)(device, &mig, &pending_mig);
  nvml_sim::MemoryV2 memory{};
  memory.version = nvml_sim::kMemoryV2Version;
  demand(FIND(nvmlDeviceGetMemoryInfo_v2)(device, &memory), "nvmlDeviceGetMemoryInfo_v2");
  nvml_sim::ProcessV3 processes[kRoom];
  uint32_t compute_count = kRoom;
  FIND(nvmlDeviceGetComputeRunningProcesses_v3)(device, &compute_count, processes);
  uint32_t mps_count = kRoom;
  FIND(nvmlDeviceGetMPSComputeRunningProcesses_v3)(device, &mps_count, processes);
  uint32_t graphics_count = kRoom;
  FIND(nvmlDeviceGetGraphicsRunningProcesses_v3)(device, &graphics_count, processes);
  nvml_sim::Utilization utilization{};
  FIND(nvmlDeviceGetUtilizationRates)(device, &utilization);
  uint32_t compute_mode = 0;
  FIND(nvmlDeviceGetComputeMode)(device, &compute_mode);
  nvml_sim::FieldValue fields[4]{};
  fields[0].field_id = nvml_sim::kFieldRecoveryAction;
  fields[1].field_id = nvml_sim::kFieldRemappedFailure;
  fields[2].field_id = nvml_sim::kFieldRemappedPending;
  fields[3].field_id = nvml_sim::kFieldRetirePending;
  FIND(nvmlDeviceGetFieldValues)(device, 4, fields);
}

void load_look_unload(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) stop(dlerror());
  find_what_is_not_called(library);
  demand(FIND(nvmlInit_v2)(), "nvmlInit_v2");
  uint32_t count = 0;
  demand(FIND(nvmlDeviceGetCount_v2)(&count), "nvmlDeviceGetCount_v2");
  if (count > kMaxDevices) stop("too many GPUs");
  nvml_sim::Device devices[kMaxDevices];
  for (uint32_t i = 0; i < count; ++i) devices[i] = identify(library, i);
  for (uint32_t i = 0; i < count; ++i) look(library, devices[i]);
  demand(FIND(nvmlShutdown)(), "nvmlShutdown");
  dlclose(library);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fputs(kUsage, stderr);
    return kExitUsage;
  }
  const int log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) stop(argv[2]);
  free(malloc(1));  // gpu-gate has a heap long before it loads NVML
  const long long began = monotonic_ns();
  load_look_unload(argv[1]);
  return dprintf(log, "%lld\n", monotonic_ns() - began) > 0 ? 0 : kExitFailed;
}
