#include "gpu/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <tuple>

#include "base/env.h"
#include "base/printable.h"
#include "base/process.h"
#include "gpu/device_nodes.h"
#include "gpu/nvml_abi.h"
#include "gpu/nvml_links.h"

namespace gpu_gate {
namespace {

constexpr std::uint64_t kMiB = 1048576;
constexpr unsigned kMaxDevices = 1024;    // a library that says more is broken
constexpr unsigned kMaxProcesses = 4096;  // on one card, likewise
constexpr unsigned kFirstRoom = 8;        // for processes on one card; more where there are more

/// A process list, in the newest version that the library has.
struct ProcessList {
  nvml::ProcessesFn* query = nullptr;
  std::size_t record = 0;  // bytes
};

/// The entry points. Those of the second group may be missing in an old driver.
struct Api {
  nvml::InitFn* init = nullptr;
  nvml::ShutdownFn* shutdown = nullptr;
  nvml::CountFn* count = nullptr;
  nvml::HandleFn* handle = nullptr;
  nvml::TextFn* uuid = nullptr;
  nvml::TextFn* name = nullptr;
  nvml::PciFn* pci = nullptr;
  nvml::MemoryFn* memory = nullptr;

  nvml::ErrorStringFn* error_string = nullptr;
  nvml::MemoryV2Fn* memory_v2 = nullptr;
  nvml::UtilizationFn* utilization = nullptr;
  nvml::NumberFn* minor = nullptr;
  nvml::NumberFn* compute_mode = nullptr;
  nvml::NumberFn* persistence_mode = nullptr;
  nvml::MigModeFn* mig_mode = nullptr;
  nvml::NumberFn* mig_slots = nullptr;
  nvml::SubdeviceFn* mig_handle = nullptr;
  nvml::NumberFn* gpu_instance_id = nullptr;
  nvml::NumberFn* compute_instance_id = nullptr;
  nvml::FieldsFn* fields = nullptr;
  nvml::CapabilityFn* compute_capability = nullptr;
  nvml::NumberFn* numa_node = nullptr;
  ProcessList compute_processes;
  ProcessList mps_processes;  // the clients of an MPS server
  ProcessList graphics_processes;
};

/// What stays the same for a physical card as long as the library is open.
struct Card {
  nvml::DeviceHandle handle = nullptr;
  Device identity;
  std::optional<std::uint64_t> pci = std::nullopt;  // its address, nvml::pci_number
  std::uint64_t pci_order = 0;
  unsigned nvml_index = 0;
  std::optional<unsigned> minor = std::nullopt;  // of its device node
  bool integrated = false;                       // in one chip with the CPU
  bool numa_node = false;                        // the kernel manages its memory (GH200, GB200)
};

template <class Function>
bool load(void* library, Function*& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    function = reinterpret_cast<Function*>(::dlsym(library, name));
    if (function != nullptr) return true;
  }
  return false;
}

/// The newest function of this name that the library has, and the size of its records. NVML changed
/// the record twice without changing the name: see the comment at each size.
ProcessList load_process_list(void* library, const std::string& name) {
  ProcessList list;
  if (load(library, list.query, {(name + "_v3").c_str()})) {
    // The first R535 drivers have _v3 functions that write 32-byte records; they are known by
    // having the confidential-computing query but not yet the process detail list (pynvml issue
    // 50).
    const bool early_r535 = ::dlsym(library, "nvmlDeviceGetConfComputeMemSizeInfo") != nullptr &&
                            ::dlsym(library, "nvmlDeviceGetRunningProcessDetailList") == nullptr;
    list.record = early_r535 ? sizeof(nvml::ProcessInfoR535) : sizeof(nvml::ProcessInfoV2);
  } else if (load(library, list.query, {(name + "_v2").c_str()})) {
    list.record = sizeof(nvml::ProcessInfoV2);
  } else if (load(library, list.query, {name.c_str()})) {
    list.record = sizeof(nvml::ProcessInfoV1);
  }
  return list;
}

/// The name of the first required symbol that is missing, or null.
const char* load_required(void* library, Api& api) {
  if (!load(library, api.init, {"nvmlInit_v2"})) return "nvmlInit_v2";
  if (!load(library, api.shutdown, {"nvmlShutdown"})) return "nvmlShutdown";
  if (!load(library, api.count, {"nvmlDeviceGetCount_v2"})) return "nvmlDeviceGetCount_v2";
  if (!load(library, api.handle, {"nvmlDeviceGetHandleByIndex_v2"})) {
    return "nvmlDeviceGetHandleByIndex_v2";
  }
  if (!load(library, api.uuid, {"nvmlDeviceGetUUID"})) return "nvmlDeviceGetUUID";
  if (!load(library, api.name, {"nvmlDeviceGetName"})) return "nvmlDeviceGetName";
  if (!load(library, api.pci, {"nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2"})) {
    return "nvmlDeviceGetPciInfo_v3";
  }
  if (!load(library, api.memory, {"nvmlDeviceGetMemoryInfo"})) return "nvmlDeviceGetMemoryInfo";
  return nullptr;
}

/// The same, and loads what may be missing.
const char* load_api(void* library, Api& api) {
  if (const char* missing = load_required(library, api); missing != nullptr) return missing;
  load(library, api.error_string, {"nvmlErrorString"});
  load(library, api.memory_v2, {"nvmlDeviceGetMemoryInfo_v2"});
  load(library, api.utilization, {"nvmlDeviceGetUtilizationRates"});
  load(library, api.minor, {"nvmlDeviceGetMinorNumber"});
  load(library, api.compute_mode, {"nvmlDeviceGetComputeMode"});
  load(library, api.persistence_mode, {"nvmlDeviceGetPersistenceMode"});
  load(library, api.mig_mode, {"nvmlDeviceGetMigMode"});
  load(library, api.mig_slots, {"nvmlDeviceGetMaxMigDeviceCount"});
  load(library, api.mig_handle, {"nvmlDeviceGetMigDeviceHandleByIndex"});
  load(library, api.gpu_instance_id, {"nvmlDeviceGetGpuInstanceId"});
  load(library, api.compute_instance_id, {"nvmlDeviceGetComputeInstanceId"});
  load(library, api.fields, {"nvmlDeviceGetFieldValues"});
  load(library, api.compute_capability, {"nvmlDeviceGetCudaComputeCapability"});
  load(library, api.numa_node, {"nvmlDeviceGetNumaNodeId"});
  api.compute_processes = load_process_list(library, "nvmlDeviceGetComputeRunningProcesses");
  api.mps_processes = load_process_list(library, "nvmlDeviceGetMPSComputeRunningProcesses");
  api.graphics_processes = load_process_list(library, "nvmlDeviceGetGraphicsRunningProcesses");
  return nullptr;
}

/// An MPS server stays on its cards for good. It is known by the name that it is started with.
bool is_mps_server(pid_t pid, const std::string& proc) {
  const std::string path = proc + "/" + std::to_string(pid) + "/cmdline";
  std::string name = read_small_file(path, 4096).value_or("");
  name.resize(std::min(name.find('\0'), name.size()));
  return name.substr(name.rfind('/') + 1) == "nvidia-cuda-mps-server";
}

std::int64_t to_mib(std::uint64_t bytes) { return static_cast<std::int64_t>(bytes / kMiB); }

/// A field of /proc/meminfo in MiB, 0 if it is not there.
std::int64_t meminfo_mib(const std::string& path, const char* field) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return 0;
  std::int64_t mib = 0;
  char line[256];
  const std::size_t length = std::strlen(field);
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, field, length) != 0 || line[length] != ':') continue;
    mib = std::strtoll(line + length + 1, nullptr, 10) / 1024;
    break;
  }
  std::fclose(file);
  return mib;
}

/// Takes a variable out of this process's environment for its own lifetime. The command gets it.
class WithoutVariable {
 public:
  explicit WithoutVariable(const char* name) : name_(name), value_(env_variable(environ, name)) {
    ::unsetenv(name_);
  }
  WithoutVariable(const WithoutVariable&) = delete;
  WithoutVariable& operator=(const WithoutVariable&) = delete;
  ~WithoutVariable() {
    if (value_) ::setenv(name_, value_->c_str(), 1);
  }

 private:
  const char* name_;
  std::optional<std::string> value_;
};

class NvmlSource final : public GpuSource {
 public:
  explicit NvmlSource(NvmlPaths paths) : paths_(std::move(paths)) {}
  ~NvmlSource() override { close(); }

  Result<Snapshot> read() override {
    // Handles do not survive a card's reset or return, and a library that was opened while a card
    // was away does not see it come back: a machine with a fault is opened anew.
    if (faulty_) close();
    const bool fresh = library_ == nullptr;
    if (fresh) {
      if (Status opened = open(); !opened) {
        close();
        return fail(opened.error());
      }
    }
    Snapshot snapshot;
    snapshot.devices.reserve(cards_.size());
    places_.clear();
    for (const Card& card : cards_) {
      places_.push_back(snapshot.devices.size());
      bool mig = false;
      const nvml::Return code = ask_mig(card.handle, mig);
      snapshot.devices.push_back(read_card(card, mig));
      Device& device = snapshot.devices.back();
      if (code != nvml::kSuccess && device.health == Health::ok) {
        note_failure(device, "nvmlDeviceGetMigMode", code);
      }
      if (mig) add_instances(card, snapshot);
    }
    size_ = snapshot.devices.size();
    max_cards_ = std::max(max_cards_, cards_.size());
    const auto failed = std::count_if(places_.begin(), places_.end(), [&](std::size_t place) {
      const Health health = snapshot.devices[place].health;
      return health == Health::lost || health == Health::unreadable;
    });
    faulty_ = cards_.size() < max_cards_ || failed > 0;
    // Where no card answers any more the driver may be gone from under the session: a new one
    // tells.
    if (!fresh && faulty_ && failed == std::ssize(cards_)) return read();
    return snapshot;
  }

  Links links() override {
    if (library_ == nullptr) return {};
    if (!links_) {
      std::vector<LinkedCard> linked;
      linked.reserve(cards_.size());
      for (const Card& card : cards_) linked.push_back({.handle = card.handle, .pci = card.pci});
      links_ = read_nvml_links(library_, linked);
    }
    if (size_ == cards_.size()) return *links_;
    Links links(size_);  // none of instances: NVLink is off with MIG
    for (std::size_t a = 0; a < places_.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        links.set_score(places_[a], places_[b], links_->score(a, b));
      }
    }
    return links;
  }

  /// Without persistence mode the kernel module shuts a card down at the last close of its node
  /// (nv_stop_device in nv.c). A card that cannot tell is lost, or has no such mode (Jetson).
  bool needs_open() override {
    return api_.persistence_mode != nullptr &&
           std::any_of(cards_.begin(), cards_.end(), [&](const Card& card) {
             unsigned mode = 0;
             return card.handle != nullptr &&
                    api_.persistence_mode(card.handle, &mode) == nvml::kSuccess &&
                    mode == nvml::kPersistenceOff;
           });
  }

  void close() override {
    void* const library = library_;
    close_for_exec();
    if (library != nullptr) ::dlclose(library);
  }

  void close_for_exec() override {
    cards_.clear();
    links_.reset();
    faulty_ = false;
    if (initialised_) api_.shutdown();
    initialised_ = false;
    library_ = nullptr;
    whole_gpus_.reset();
  }

 private:
  Status open() {
    whole_gpus_.emplace(env::kMpsEnumeration);
    // Of one that the user has named nothing says whether the machine has the driver.
    const ErrorKind missing_kind = is_named() ? ErrorKind::gpu_state : ErrorKind::no_driver;
    library_ = ::dlopen(paths_.driver_library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) {
      const char* reason = ::dlerror();
      return no_library(missing_kind,
                        "cannot load the NVIDIA driver's library: " +
                            printable(reason != nullptr ? reason : paths_.driver_library),
                        "; install the NVIDIA driver, or name its library in GPU_GATE_NVML");
    }
    api_ = Api{};
    if (const char* missing = load_api(library_, api_); missing != nullptr) {
      return no_library(ErrorKind::gpu_state,
                        printable(paths_.driver_library) + " has no " + missing +
                            ": it is not the NVIDIA driver's library, or is older than any that "
                            "gpu-gate knows",
                        "");
    }
    if (const nvml::Return code = api_.init(); code != nvml::kSuccess) {
      return failed("nvmlInit", code);
    }
    initialised_ = true;
    unsigned count = 0;
    if (const nvml::Return code = api_.count(&count); code != nvml::kSuccess) {
      return failed("nvmlDeviceGetCount", code);
    }
    if (count > kMaxDevices) {
      return fail(ErrorKind::gpu_state,
                  "nvmlDeviceGetCount: reports " + std::to_string(count) + " GPUs");
    }
    for (unsigned i = 0; i < count; ++i) cards_.push_back(identify(i));
    // NVML promises no order (nvml.h); the index users know from nvidia-smi is the PCI one. A card
    // whose address cannot be read keeps its place behind its neighbour.
    std::sort(cards_.begin(), cards_.end(), [](const Card& a, const Card& b) {
      return std::tie(a.pci_order, a.nvml_index) < std::tie(b.pci_order, b.nvml_index);
    });
    for (std::size_t i = 0; i < cards_.size(); ++i) {
      cards_[i].identity.index = static_cast<int>(i);
    }
    return {};
  }

  Card identify(unsigned nvml_index) {
    Card card;
    card.nvml_index = nvml_index;
    card.pci_order = cards_.empty() ? 0 : cards_.back().pci_order;
    Device& device = card.identity;
    if (const nvml::Return code = api_.handle(nvml_index, &card.handle); code != nvml::kSuccess) {
      card.handle = nullptr;
      device.accessible = code != nvml::kNoPermission;
      note_failure(device, "nvmlDeviceGetHandleByIndex", code);
      return card;
    }
    nvml::PciInfo pci{};
    if (api_.pci(card.handle, &pci) == nvml::kSuccess) {
      card.pci = nvml::pci_number(pci);
      card.pci_order = *card.pci;
      device.pci_bus_id.assign(pci.bus_id, ::strnlen(pci.bus_id, sizeof pci.bus_id));
      if (device.pci_bus_id.empty()) {  // older layouts have the short address only
        device.pci_bus_id.assign(pci.bus_id_legacy,
                                 ::strnlen(pci.bus_id_legacy, sizeof pci.bus_id_legacy));
      }
    }
    device.name = text(api_.name, card.handle, nvml::kNameSize);
    device.uuid = text(api_.uuid, card.handle, nvml::kUuidSize);
    if (last_text_error_ != nvml::kSuccess) {
      note_failure(device, "nvmlDeviceGetUUID", last_text_error_);
    } else if (!device.uuid.starts_with("GPU-") || !is_uuid(device.uuid)) {
      device.health = Health::unreadable;
      device.error = "nvmlDeviceGetUUID: '" + device.uuid + "' is not a UUID";
      device.uuid.clear();
    }
    card.integrated = is_integrated(card.handle);
    unsigned node = 0;
    card.numa_node =
        api_.numa_node != nullptr && api_.numa_node(card.handle, &node) == nvml::kSuccess;
    unsigned minor = 0;
    if (api_.minor != nullptr && api_.minor(card.handle, &minor) == nvml::kSuccess) {
      device.accessible = card_node_accessible(paths_.devices, minor);
      card.minor = minor;
    }
    return card;
  }

  /// Those of Jetson Orin (8.7), Jetson Thor (11.0) and GB10 (12.1) are parts of a system on a
  /// chip. (The table of compute capabilities in the CUDA C++ Programming Guide; NVML has no such
  /// query.)
  bool is_integrated(nvml::DeviceHandle handle) const {
    int major = 0;
    int minor = 0;
    if (api_.compute_capability == nullptr ||
        api_.compute_capability(handle, &major, &minor) != nvml::kSuccess) {
      return false;
    }
    constexpr std::array kIntegrated{std::pair(8, 7), std::pair(11, 0), std::pair(12, 1)};
    return std::find(kIntegrated.begin(), kIntegrated.end(), std::pair(major, minor)) !=
           kIntegrated.end();
  }

  /// One card's state. Every failure ends in the Device, never in an Error.
  Device read_card(const Card& card, bool mig) {
    Device device = card.identity;
    if (card.handle == nullptr || device.uuid.empty()) return device;
    if (mig) device.health = Health::mig;
    if (!read_memory(card.handle, card, device)) return device;
    // The processes of a card in MIG mode are those of its instances.
    if (!mig) read_processes(card.handle, device);
    nvml::Utilization utilization{};
    if (api_.utilization != nullptr &&
        api_.utilization(card.handle, &utilization) == nvml::kSuccess && utilization.gpu <= 100) {
      device.utilization_pct = static_cast<int>(utilization.gpu);
    }
    read_compute_mode(card.handle, device);
    read_fields(card.handle, device);
    return device;
  }

  /// The card's instances behind it. They are looked for anew each time: a handle does not outlive
  /// what it stands for, and may come to stand for another.
  void add_instances(const Card& card, Snapshot& snapshot) {
    const Device of = snapshot.devices.back();
    const std::size_t first = snapshot.devices.size();
    std::vector<unsigned> gpu_instances;
    unsigned slots = 0;
    if (api_.mig_slots == nullptr || api_.mig_handle == nullptr ||
        api_.mig_slots(card.handle, &slots) != nvml::kSuccess) {
      return;
    }
    for (unsigned slot = 0; slot < std::min(slots, kMaxDevices); ++slot) {
      nvml::DeviceHandle handle = nullptr;
      if (api_.mig_handle(card.handle, slot, &handle) != nvml::kSuccess) continue;  // a hole
      MigInstance ids;
      std::optional<Device> instance = read_instance(handle, card, of, ids);
      if (!instance) continue;
      instance->instance = static_cast<int>(slot);
      snapshot.devices.push_back(std::move(*instance));
      gpu_instances.push_back(ids.gpu_instance);
    }
    for (std::size_t i = 0; i < gpu_instances.size(); ++i) {
      snapshot.devices[first + i].memory_sharers = static_cast<int>(
          std::count(gpu_instances.begin(), gpu_instances.end(), gpu_instances[i]));
    }
  }

  /// An instance of the card `of`, and its numbers; nothing if it has gone since.
  std::optional<Device> read_instance(nvml::DeviceHandle handle, const Card& card, const Device& of,
                                      MigInstance& ids) {
    Device device;
    device.index = of.index;
    device.card_uuid = of.uuid;
    device.pci_bus_id = of.pci_bus_id;
    device.name = text(api_.name, handle, nvml::kNameSize);
    device.uuid = text(api_.uuid, handle, nvml::kUuidSize);
    if (last_text_error_ != nvml::kSuccess) return std::nullopt;
    device.accessible = of.accessible;
    // What the card waits for holds for all of it.
    device.repair = of.repair;
    if (of.health != Health::mig) device.health = of.health;
    const bool numbered = api_.gpu_instance_id != nullptr && api_.compute_instance_id != nullptr &&
                          api_.gpu_instance_id(handle, &ids.gpu_instance) == nvml::kSuccess &&
                          api_.compute_instance_id(handle, &ids.compute_instance) == nvml::kSuccess;
    if (numbered) {
      device.second_name = "MIG-" + of.uuid + "/" + std::to_string(ids.gpu_instance) + "/" +
                           std::to_string(ids.compute_instance);
      if (card.minor && device.accessible) {
        ids.card_minor = *card.minor;
        device.accessible = mig_nodes_accessible(ids, paths_.devices, paths_.proc);
      }
    }
    name_instance(device);
    if (device.uuid.empty()) return device;
    if (read_memory(handle, card, device)) {
      read_processes(handle, device);
      read_compute_mode(handle, device);
    }
    return device;
  }

  /// Drivers before R470 make the UUID of an instance from that of its card, with slashes in it.
  static void name_instance(Device& device) {
    std::string key = device.uuid;
    std::replace(key.begin(), key.end(), '/', '-');
    if (key != device.uuid) device.runtime_id = device.uuid;
    if (key.starts_with("MIG-") && is_uuid(key)) {
      device.uuid = std::move(key);
      return;
    }
    device.health = Health::unreadable;
    device.error = "nvmlDeviceGetUUID: '" + device.uuid + "' is not a UUID";
    device.uuid.clear();
  }

  /// Is the card in MIG mode? What a driver or a stand-in of it answers that knows no such mode is
  /// no error. Any other answer leaves open whether the card's instances have it, and so nobody
  /// may.
  nvml::Return ask_mig(nvml::DeviceHandle handle, bool& mig) const {
    if (handle == nullptr || api_.mig_mode == nullptr) return nvml::kSuccess;
    unsigned current = 0;
    unsigned pending = 0;
    const nvml::Return code = api_.mig_mode(handle, &current, &pending);
    mig = code == nvml::kSuccess && current == 1;
    constexpr std::array kNoSuchMode{nvml::kNotSupported, nvml::kInvalidArgument,
                                     nvml::kFunctionNotFound, nvml::kUnknown};
    const bool none = std::find(kNoSuchMode.begin(), kNoSuchMode.end(), code) != kNoSuchMode.end();
    return none ? nvml::kSuccess : code;
  }

  /// False if the card failed so badly that nothing more need be asked.
  bool read_memory(nvml::DeviceHandle handle, const Card& card, Device& device) {
    const nvml::Return code = ask_memory(handle, device);
    if (code != nvml::kSuccess && code != nvml::kNotSupported) {
      return note_failure(device, "nvmlDeviceGetMemoryInfo", code);
    }
    // A card that shares the system's memory (GB10, Jetson) has none of its own to report, or
    // reports that of the system, where what is free is only what nothing is kept in.
    device.shares_system_memory = card.numa_node;
    if (code == nvml::kSuccess && !card.integrated) return true;
    const std::int64_t system_mib = meminfo_mib(paths_.meminfo, "MemTotal");
    if (code == nvml::kSuccess &&
        std::abs(device.memory_total_mib - system_mib) > system_mib / 100) {
      return true;
    }
    device.shares_system_memory = true;
    device.memory_reserved_mib.reset();
    set_memory(device, system_mib, meminfo_mib(paths_.meminfo, "MemAvailable"));
    return true;
  }

  /// The memory as NVML tells it. kNotSupported: it says that there is none.
  nvml::Return ask_memory(nvml::DeviceHandle handle, Device& device) {
    nvml::MemoryV2 v2{};
    v2.version = nvml::kMemoryV2Version;
    // The v2 query exists but fails on some drivers (13 on 510.39, 999 on WSL): any failure but a
    // lost card means v1, which does not tell what the driver reserves.
    if (api_.memory_v2 != nullptr) {
      const nvml::Return code = api_.memory_v2(handle, &v2);
      if (code == nvml::kSuccess && v2.total > 0) {
        device.memory_reserved_mib = to_mib(v2.reserved);
        set_memory(device, to_mib(v2.total), to_mib(v2.free));
        return code;
      }
      if (code == nvml::kGpuIsLost) return code;
    }
    nvml::Memory v1{};
    const nvml::Return code = api_.memory(handle, &v1);
    if (code != nvml::kSuccess) return code;
    if (v1.total == 0) return nvml::kNotSupported;
    set_memory(device, to_mib(v1.total), to_mib(v1.free));
    return code;
  }

  /// What is in use is the rest: nvml.h has two opinions on whether its own `used` includes what
  /// the driver reserves (nvmlMemory_v2_t, and a note at nvmlDeviceGetMemoryInfo since 12.9).
  static void set_memory(Device& device, std::int64_t total_mib, std::int64_t free_mib) {
    device.memory_total_mib = total_mib;
    device.memory_free_mib = free_mib;
    const std::int64_t rest_mib = total_mib - free_mib - device.memory_reserved_mib.value_or(0);
    device.memory_used_mib = std::max<std::int64_t>(rest_mib, 0);
  }

  void read_processes(nvml::DeviceHandle handle, Device& device) {
    add_processes(api_.compute_processes, handle, false, device);
    add_processes(api_.mps_processes, handle, false, device);
    for (GpuProcess& process : device.processes) {
      process.mps_server = is_mps_server(process.pid, paths_.proc);
    }
    add_processes(api_.graphics_processes, handle, true, device);
  }

  /// A process that is in several lists counts once, as in the first: one that draws and computes
  /// is a compute process.
  void add_processes(const ProcessList& list, nvml::DeviceHandle handle, bool graphics,
                     Device& device) {
    const unsigned count = list.query != nullptr ? fetch_records(list.query, handle) : 0;
    const auto known = static_cast<std::ptrdiff_t>(device.processes.size());
    for (unsigned i = 0; i < count; ++i) {
      nvml::ProcessInfoV1 record{};
      std::memcpy(&record, records_.data() + i * list.record, sizeof record);
      GpuProcess process;
      process.pid = static_cast<pid_t>(record.pid);
      process.graphics = graphics;
      if (record.used_memory != nvml::kUnknownMemory) {
        process.memory_mib = to_mib(record.used_memory);
      }
      const bool listed = std::any_of(device.processes.begin(), device.processes.begin() + known,
                                      [&](const GpuProcess& p) { return p.pid == process.pid; });
      if (!listed) device.processes.push_back(process);
    }
  }

  /// Fetches a process list into `records_`; how many there are, 0 where the driver does not tell.
  /// The array is never null: stand-ins of NVML answer a query of the size with success, or write.
  unsigned fetch_records(nvml::ProcessesFn* query, nvml::DeviceHandle handle) {
    for (unsigned room = kFirstRoom; room <= 2 * kMaxProcesses;) {
      // Room for the largest record whatever the library's: a wrong guess must not write past it,
      // nor must one that does not heed the room.
      constexpr std::size_t kLeastBytes = 4096;
      records_.assign(std::max(room * sizeof(nvml::ProcessInfoR535), kLeastBytes), std::byte{});
      unsigned count = room;
      const nvml::Return code = query(handle, &count, records_.data());
      if (code == nvml::kSuccess && count <= room) return count;
      if (code != nvml::kSuccess && code != nvml::kInsufficientSize) return 0;
      if (count > kMaxProcesses) return 0;
      room = std::max(count + kFirstRoom, 2 * room);  // more may start before the next call
    }
    return 0;
  }

  void read_compute_mode(nvml::DeviceHandle handle, Device& device) {
    unsigned mode = 0;
    if (api_.compute_mode != nullptr && api_.compute_mode(handle, &mode) == nvml::kSuccess) {
      if (mode == nvml::kComputeModeProhibited && device.health == Health::ok) {
        device.health = Health::prohibited;
      }
      device.exclusive = mode == nvml::kComputeModeExclusive;
    }
  }

  void read_fields(nvml::DeviceHandle handle, Device& device) {
    std::array<nvml::FieldValue, 4> fields{};
    fields[0].field = nvml::kFieldRecoveryAction;
    fields[1].field = nvml::kFieldRemapFailure;
    fields[2].field = nvml::kFieldRemapPending;
    fields[3].field = nvml::kFieldRetirePending;
    if (api_.fields == nullptr ||
        api_.fields(handle, std::ssize(fields), fields.data()) != nvml::kSuccess) {
      return;
    }
    const auto is_set = [](const nvml::FieldValue& field) {
      return field.status == nvml::kSuccess && field.value.u32 != 0;
    };
    // Any action but 0 (none) asks for a reset, a drain or a reboot; newer drivers add more.
    if (is_set(fields[0])) device.health = Health::reset_required;
    device.repair = is_set(fields[1])   ? Repair::remap_failed
                    : is_set(fields[2]) ? Repair::remap_pending
                    : is_set(fields[3]) ? Repair::retire_pending
                                        : Repair::none;
  }

  std::string text(nvml::TextFn* query, nvml::DeviceHandle handle, unsigned size) {
    std::array<char, 128> buffer{};
    last_text_error_ = query(handle, buffer.data(), size);
    if (last_text_error_ != nvml::kSuccess) return {};
    return std::string(buffer.data(), ::strnlen(buffer.data(), size));
  }

  bool note_failure(Device& device, const char* call, nvml::Return code) {
    // What a card in MIG mode holds is told only to those who may monitor all its instances
    // (/proc/driver/nvidia/capabilities/mig/monitor), which a container may not.
    if (device.health == Health::mig && code == nvml::kNoPermission) return false;
    device.health = code == nvml::kGpuIsLost       ? Health::lost
                    : code == nvml::kResetRequired ? Health::reset_required
                                                   : Health::unreadable;
    device.error = std::string(call) + ": " + describe(code);
    if (code == nvml::kNoPermission) {
      device.error += "; this user or container may not open its device node in /dev";
    }
    return false;
  }

  std::string describe(nvml::Return code) const {
    const char* words = api_.error_string != nullptr ? api_.error_string(code) : nullptr;
    std::string result = words != nullptr ? words : "NVML error";
    return result + " (NVML " + std::to_string(code) + ")";
  }

  bool is_named() const { return paths_.driver_library != NvmlPaths().driver_library; }

  tl::unexpected<Error> no_library(ErrorKind kind, const std::string& what,
                                   const std::string& advice) const {
    constexpr const char* kInstall =
        "sudo apt install nvidia-driver  # Ubuntu: sudo ubuntu-drivers install";
    return fail(
        {.kind = kind,
         .text = what + advice,
         .errnum = kind == ErrorKind::no_driver ? ENOENT : 0,
         .diagnosis = {.what = what, .remedy = is_named() ? "unset GPU_GATE_NVML" : kInstall}});
  }

  tl::unexpected<Error> failed(const char* call, nvml::Return code) const {
    const std::string said = std::string(call) + ": " + describe(code);
    // The CUDA toolkit brings a library of the driver's name to link with, in a folder `stubs`.
    if (Dl_info file{}; ::dladdr(reinterpret_cast<void*>(api_.init), &file) != 0 &&
                        std::strstr(file.dli_fname, "/stubs/") != nullptr) {
      const std::string what =
          printable(file.dli_fname) + " is a stub of the CUDA toolkit, not the driver's library";
      const bool named = paths_.driver_library.find('/') != std::string::npos;
      return fail({.kind = ErrorKind::gpu_state,
                   .text = said + ": " + what + "; take it out of " +
                           (named ? env::kNvml : "LD_LIBRARY_PATH"),
                   .diagnosis = {.what = what,
                                 .remedy = std::string("unset ") +
                                           (named ? env::kNvml : "LD_LIBRARY_PATH")}});
    }
    const Help help = help_for(code);
    return fail(
        {.kind = code == nvml::kDriverNotLoaded ? ErrorKind::no_driver : ErrorKind::gpu_state,
         .text = said + ": " + help.meaning + help.advice,
         .diagnosis = {.what = *help.meaning == '\0' ? said : help.meaning + (" (" + said + ")"),
                       .remedy = help.line}});
  }

  /// What a code of nvmlInit means, and what helps: in words, and as a line to paste.
  struct Help {
    const char* meaning;
    const char* advice;
    const char* line;
  };

  static Help help_for(nvml::Return code) {
    switch (code) {
      case nvml::kDriverNotLoaded:
        return {.meaning = "the NVIDIA kernel module is not loaded",
                .advice = "; `sudo modprobe nvidia` loads it",
                .line = "sudo modprobe nvidia"};
      case nvml::kLibRmVersionMismatch:
        return {.meaning = "the driver was updated, but its old kernel module is still loaded",
                .advice = "; reboot, or reload the module",
                .line = "sudo reboot"};
      case nvml::kNoPermission:
      case nvml::kOperatingSystem:
        return {.meaning = "this user or container may not open /dev/nvidiactl",
                .advice = "",
                .line = "sudo chmod 666 /dev/nvidiactl"};
      default:
        return {.meaning = "", .advice = "`nvidia-smi` should say more", .line = "nvidia-smi"};
    }
  }

  NvmlPaths paths_;
  std::optional<WithoutVariable> whole_gpus_;  // while it is open
  void* library_ = nullptr;
  bool initialised_ = false;
  bool faulty_ = false;        // some card failed or was missing at the last reading
  std::size_t max_cards_ = 0;  // seen so far
  Api api_;
  std::vector<Card> cards_;
  std::optional<Links> links_;       // between them, once asked for
  std::vector<std::size_t> places_;  // of them in the last snapshot, which had so many devices:
  std::size_t size_ = 0;
  std::vector<std::byte> records_;
  nvml::Return last_text_error_ = nvml::kSuccess;
};

}  // namespace

std::unique_ptr<GpuSource> nvml_source(NvmlPaths paths) {
  return std::make_unique<NvmlSource>(std::move(paths));
}

}  // namespace gpu_gate
