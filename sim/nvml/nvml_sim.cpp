// The stand-in for libnvidia-ml.so.1: the answers come from the machine file that
// $GPU_SIM_MACHINE names and from what running gpu-sim-jobs hold.
//
// A test may change the machine under a running program, and the program's next look at it must see
// that; but the stand-in should add little to what a program costs. So the file is not read by
// every call, only where a look may begin (look_begins), and it is parsed only where its text has
// changed.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "machine.h"
#include "nvml/nvml_sim_abi.h"
#include "usage.h"

struct nvml_sim::DeviceHandle {
  char unused;
};

struct nvml_sim::EventSetHandle {
  char unused;
};

namespace nvml_sim {
namespace {

constexpr uint64_t kMib = uint64_t{1024} * 1024;
constexpr uint32_t kPciDeviceId = 0x26B910DE;  // an L40S; nothing here depends on it
constexpr uint32_t kPciSubsystemId = 0x185110DE;

#if NVML_SIM_RELEASE > 535
constexpr const char* kDefaultDriver = "570.124.06";
#elif NVML_SIM_RELEASE == 535
constexpr const char* kDefaultDriver = "535.54.03";
#else
constexpr const char* kDefaultDriver = "450.80.02";
#endif

struct Process {
  uint32_t pid;
  uint64_t memory_bytes;
  uint32_t gpu_instance;
  uint32_t compute_instance;
};

// The questions asked about one subject since the machine file was last read. A question is known
// by the address of its function's name.
struct Asked {
  static constexpr int kMaxQuestions = 64;  // more than there are functions

  int reading;  // the reading of the file that these came after; since a later one, nothing was
                // asked
  int count;
  const char* questions[kMaxQuestions];
};

constexpr int kWholeMachine = sim::kMaxDevices;  // a subject; the others are the devices' places
constexpr int kSubjects = sim::kMaxDevices + 1;

// All zero at the start, so that it takes address space but no room in the file.
struct Library {
  pthread_mutex_t mutex;
  unsigned init_count;
  char path[PATH_MAX];
  bool usable;
  bool text_known;
  size_t text_size;
  int current_text;  // the place in `texts` of the last one; the other is for the next reading
  char texts[2][sim::kMaxMachineBytes];
  int readings;    // of the file, so far
  bool read_next;  // the next call reads the file, whatever it asks
  Asked asked[kSubjects];
  sim::Machine machine;
  sim::JobUse jobs[sim::kMaxJobsPerDevice];
  Process processes[sim::kMaxProcesses + sim::kMaxJobsPerDevice];
};

constinit Library library = {};

// A handle is the address of its device's place here: good for as long as the library is loaded,
// whatever becomes of the machine file.
constinit DeviceHandle handles[sim::kMaxDevices] = {};
constinit EventSetHandle event_set = {};

[[gnu::format(printf, 1, 2)]] void report(const char* format, ...) {
  char line[PATH_MAX + 256];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  size_t size = strlen(line);
  line[size++] = '\n';
  if (write(STDERR_FILENO, line, size) < 0) return;
}

// Brings library.machine up to date. A machine that cannot be used is reported once, not by every
// query.
bool refresh_machine() {
  ++library.readings;
  library.read_next = false;
  char(&fresh_text)[sim::kMaxMachineBytes] = library.texts[1 - library.current_text];
  const ptrdiff_t size = sim::read_machine_text(library.path, fresh_text, sizeof(fresh_text));
  if (size < 0) {
    if (library.usable || !library.text_known) {
      report("nvml-sim: open(%s): %s", library.path, strerror(errno));
    }
    library.text_known = true;
    library.text_size = SIZE_MAX;
    library.usable = false;
    return false;
  }
  const size_t fresh_size = static_cast<size_t>(size);
  if (library.text_known && library.text_size == fresh_size &&
      memcmp(library.texts[library.current_text], fresh_text, fresh_size) == 0) {
    return library.usable;
  }
  library.current_text = 1 - library.current_text;
  library.text_size = fresh_size;
  library.text_known = true;
  sim::MachineError error;
  library.usable = sim::parse_machine(fresh_text, fresh_size, library.machine, error);
  if (!library.usable) report("nvml-sim: %s:%d: %s", library.path, error.line, error.what);
  return library.usable;
}

// Notes the question. False if it had been noted since the file was last read.
bool note_question(const char* function, int subject) {
  Asked& asked = library.asked[subject];
  if (asked.reading != library.readings) {
    asked.reading = library.readings;
    asked.count = 0;
  }
  const char** end = asked.questions + asked.count;
  if (std::find(asked.questions, end, function) != end) return false;
  if (asked.count < Asked::kMaxQuestions) asked.questions[asked.count++] = function;
  return true;
}

// A question asked a second time belongs to a new look. While the machine is unusable every call
// finds out whether it still is.
bool look_begins(const char* function, int subject) {
  return library.read_next || !library.usable || !note_question(function, subject);
}

// Opened by each call: a descriptor that stayed open would show among those of the program.
int open_log(const char* path) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;
  // Without O_CREAT first: in a sticky folder, protected_regular refuses O_CREAT on another
  // user's file.
  int fd = open(path, kFlags);
  if (fd >= 0 || errno != ENOENT) return fd;
  fd = open(path, kFlags | O_CREAT | O_EXCL, 0666);
  if (fd < 0) return open(path, kFlags);
  if (fchmod(fd, 0666) != 0) errno = 0;
  return fd;
}

void log_call(const char* function) {
  if (library.machine.log[0] == '\0') return;
  const int fd = open_log(library.machine.log);
  if (fd < 0) return;
  char line[96];
  const int length = snprintf(line, sizeof(line), "%d %s\n", static_cast<int>(getpid()), function);
  if (write(fd, line, static_cast<size_t>(length)) < 0) errno = 0;
  close(fd);
}

// What the machine file says that the function returns, or success.
Return failure_of(const char* function) {
  const sim::Failure* begin = library.machine.failures;
  const sim::Failure* end = begin + library.machine.failure_count;
  const sim::Failure* found = std::find_if(begin, end, [&](const sim::Failure& failure) {
    return strcmp(failure.function, function) == 0;
  });
  return found == end ? kSuccess : static_cast<Return>(found->error);
}

void sleep_ms(uint32_t milliseconds) {
  if (milliseconds == 0) return;
  timespec left{.tv_sec = static_cast<time_t>(milliseconds / 1000),
                .tv_nsec = static_cast<long>(milliseconds % 1000) * 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

class Locked {
 public:
  Locked() { pthread_mutex_lock(&library.mutex); }
  ~Locked() { pthread_mutex_unlock(&library.mutex); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
};

// For the calls that programs repeat in each look: the file is read whatever was asked before,
// since a program need not ask the same of every device in every look.
void begin_look() {
  const Locked locked;
  library.read_next = true;
}

// Runs `answer` on the machine as it was when this look began.
template <typename Answer>
Return ask_machine(const char* function, int subject, Answer answer) {
  const Locked locked;
  if (library.init_count == 0) return kUninitialized;
  if (look_begins(function, subject)) {
    if (!refresh_machine()) return kUnknown;
    note_question(function, subject);
  }
  log_call(function);
  if (const Return failure = failure_of(function); failure != kSuccess) return failure;
  if (library.machine.driver_error != 0) return static_cast<Return>(library.machine.driver_error);
  return answer(library.machine);
}

int index_of(Device device) {
  for (int index = 0; index < sim::kMaxDevices; ++index) {
    if (device == &handles[index]) return index;
  }
  return -1;
}

// What a query of a device that may have gone says: success, or why it cannot be answered.
Return presence(const sim::Machine& machine, int index) {
  if (index < 0) return kInvalidArgument;
  if (!sim::has_device(machine, index)) return index < sim::kMaxGpus ? kGpuIsLost : kNotFound;
  const int card = machine.gpus[index].instance_of.gpu;
  const bool lost = machine.gpus[card == sim::kNoCard ? index : card].lost;
  return lost ? kGpuIsLost : kSuccess;
}

bool is_instance(const sim::Gpu& gpu) { return gpu.instance_of.gpu != sim::kNoCard; }

// The same for a device. A card that is no longer in the machine file is lost, an instance gone.
template <typename Answer>
Return ask_gpu(const char* function, Device device, Answer answer) {
  const int index = index_of(device);
  const int subject = index < 0 ? kWholeMachine : index;
  return ask_machine(function, subject, [&](const sim::Machine& machine) {
    const Return present = presence(machine, index);
    return present != kSuccess ? present : answer(index, machine.gpus[index]);
  });
}

// The same for what a card has, and no instance.
template <typename Answer>
Return ask_card(const char* function, Device device, Answer answer) {
  return ask_gpu(function, device, [&](int index, const sim::Gpu& gpu) {
    return is_instance(gpu) ? kNotSupported : answer(index, gpu);
  });
}

// The same for what changes while programs run; takes `delay_ms` on top.
template <typename Answer>
Return ask_live(const char* function, Device device, Answer answer) {
  uint32_t delay_ms = 0;
  const Return result = ask_gpu(function, device, [&](int index, const sim::Gpu& gpu) {
    delay_ms = library.machine.delay_ms;
    return answer(index, gpu);
  });
  sleep_ms(delay_ms);
  return result;
}

// The same for what stays as it is, and is asked for each link and each pair of cards: no question
// of this kind begins a look.
template <typename Answer>
Return ask_links(const char* function, Device device, Answer answer) {
  const Locked locked;
  if (library.init_count == 0) return kUninitialized;
  if ((library.read_next || !library.usable) && !refresh_machine()) return kUnknown;
  log_call(function);
  if (const Return failure = failure_of(function); failure != kSuccess) return failure;
  if (library.machine.driver_error != 0) return static_cast<Return>(library.machine.driver_error);
  const int index = index_of(device);
  const Return present = presence(library.machine, index);
  if (present != kSuccess) return present;
  const sim::Gpu& gpu = library.machine.gpus[index];
  return is_instance(gpu) ? kNotSupported : answer(index, gpu);
}

// The same for one of a card's links.
template <typename Answer>
Return ask_link(const char* function, Device device, uint32_t link, Answer answer) {
  return ask_links(function, device, [&](int index, const sim::Gpu&) {
    if (link >= sim::kMaxLinks) return kInvalidArgument;
    if (link >= sim::links_of(library.machine, index)) return kNotSupported;
    int card = 0;
    const sim::FarEnd end = sim::far_end(library.machine, index, link, card);
    return answer(end, card);
  });
}

Return copy_string(const char* from, char* to, uint32_t length) {
  if (to == nullptr) return kInvalidArgument;
  const size_t size = strlen(from) + 1;
  if (size > length) return kInsufficientSize;
  memcpy(to, from, size);
  return kSuccess;
}

// Fills library.jobs; the caller holds the lock.
int read_jobs(const sim::Gpu& gpu) {
  const int folder = sim::open_state_folder(library.path);
  if (folder < 0) return 0;
  const int count = sim::read_jobs(folder, gpu.uuid, library.jobs, sim::kMaxJobsPerDevice);
  close(folder);
  return count;
}

uint64_t allocated_mib(int index, const sim::Gpu& gpu) {
  const sim::Machine& machine = library.machine;
  uint64_t mib = 0;
  for (int other = sim::next_device(machine, -1); other < sim::kMaxDevices;
       other = sim::next_device(machine, other)) {
    if (!sim::takes_memory_of(machine, index, other)) continue;
    mib += sim::static_use_mib(machine, other);
    const int job_count = read_jobs(machine.gpus[other]);
    for (int i = 0; i < job_count; ++i) mib += library.jobs[i].memory_mib;
  }
  const uint64_t most_mib = gpu.memory_mib - gpu.reserved_mib;
  return mib < most_mib ? mib : most_mib;
}

uint32_t util_percent(const sim::Gpu& gpu) {
  uint64_t percent = gpu.util_percent;
  const int job_count = read_jobs(gpu);
  for (int i = 0; i < job_count; ++i) {
    if (library.jobs[i].running) percent += library.jobs[i].util_percent;
  }
  return percent < 100 ? static_cast<uint32_t>(percent) : 100;
}

// Adds to library.processes those of one device, behind so many; returns how many there are then.
uint32_t add_processes(int index, sim::ProcessKind kind, uint32_t count) {
  const sim::Gpu& gpu = library.machine.gpus[index];
  const sim::InstanceOf& of = gpu.instance_of;
  const auto add = [&](uint32_t pid, uint64_t mib, bool unknown) {
    if (count == sizeof(library.processes) / sizeof(Process)) return;
    const bool hidden = unknown || gpu.process_memory_unknown;
    library.processes[count++] = {
        .pid = pid,
        .memory_bytes = hidden ? kValueNotAvailable : mib * kMib,
        .gpu_instance = is_instance(gpu) ? of.gpu_instance : kNoInstance,
        .compute_instance = is_instance(gpu) ? of.compute_instance : kNoInstance};
  };
  for (int i = 0; i < library.machine.process_count; ++i) {
    const sim::StaticProcess& process = library.machine.processes[i];
    if (process.gpu != index || process.kind != kind) continue;
    add(process.pid, process.memory_mib, process.memory_unknown);
  }
  const int job_count = read_jobs(gpu);
  for (int i = 0; i < job_count; ++i) {
    const sim::JobUse& job = library.jobs[i];
    const sim::ProcessKind its_kind =
        job.graphics ? sim::ProcessKind::graphics : sim::ProcessKind::compute;
    if (job.running && its_kind == kind) add(job.pid, job.memory_mib, false);
  }
  return count;
}

// Fills library.processes; the caller holds the lock. A card lists those of its instances, too.
uint32_t list_processes(int index, sim::ProcessKind kind) {
  const sim::Machine& machine = library.machine;
  uint32_t count = add_processes(index, kind, 0);
  if (is_instance(machine.gpus[index])) return count;
  for (int i = 0; i < machine.instance_count; ++i) {
    const int instance = sim::kMaxGpus + i;
    if (machine.gpus[instance].instance_of.gpu == index) {
      count = add_processes(instance, kind, count);
    }
  }
  return count;
}

void fill(const Process& process, ProcessV1& record) {
  record = {.pid = process.pid, .used_gpu_memory = process.memory_bytes};
}

[[maybe_unused]] void fill(const Process& process, ProcessV2& record) {
  record = {.pid = process.pid,
            .used_gpu_memory = process.memory_bytes,
            .gpu_instance_id = process.gpu_instance,
            .compute_instance_id = process.compute_instance};
}

[[maybe_unused]] void fill(const Process& process, ProcessDetail& record) {
  record = {.pid = process.pid,
            .used_gpu_memory = process.memory_bytes,
            .gpu_instance_id = process.gpu_instance,
            .compute_instance_id = process.compute_instance,
            .used_gpu_cc_protected_memory = 0};
}

void fill(const sim::PciAddress& address, PciInfo& pci) {
  pci = {};
  pci.domain = address.domain;
  pci.bus = address.bus;
  pci.device = address.device;
  pci.pci_device_id = kPciDeviceId;
  pci.pci_subsystem_id = kPciSubsystemId;
  snprintf(pci.bus_id_legacy, sizeof(pci.bus_id_legacy), "%04X:%02X:%02X.%X",
           address.domain & 0xFFFF, address.bus & 0xFF, address.device & 0x1F,
           address.function & 0x7);
  if (library.machine.old_layouts) return;
  snprintf(pci.bus_id, sizeof(pci.bus_id), "%08X:%02X:%02X.%X", address.domain, address.bus,
           address.device, address.function);
}

[[maybe_unused]] void fill(const sim::PciAddress& address, PciInfoExt& pci) {
  pci = {.version = kPciInfoExtVersion,
         .domain = address.domain,
         .bus = address.bus,
         .device = address.device,
         .pci_device_id = kPciDeviceId,
         .pci_subsystem_id = kPciSubsystemId,
         .base_class = 3,  // a display controller
         .sub_class = 2,   // for 3D alone
         .bus_id = {}};
  snprintf(pci.bus_id, sizeof(pci.bus_id), "%08X:%02X:%02X.%X", address.domain, address.bus,
           address.device, address.function);
}

struct Slices {
  uint32_t compute_instance;
  uint32_t gpu_instance;
};

// What the profile at the end of an instance's name says: "2g.10gb", or "1c.2g.10gb" where the
// compute instance has only a part of the GPU instance.
[[maybe_unused]] Slices slices_of(const sim::Gpu& gpu) {
  const char* blank = strrchr(gpu.name, ' ');
  char* end = nullptr;
  const uint32_t first =
      static_cast<uint32_t>(strtoul(blank == nullptr ? gpu.name : blank, &end, 10));
  if (end[0] != 'c' || end[1] != '.') return {.compute_instance = first, .gpu_instance = first};
  return {.compute_instance = first,
          .gpu_instance = static_cast<uint32_t>(strtoul(end + 2, nullptr, 10))};
}

// By how much of their ways down from the sockets two cards share.
TopologyLevel level_of(const sim::PciPath& a, const sim::PciPath& b) {
  constexpr TopologyLevel kLevels[sim::kPathSteps + 1] = {
      kTopologySystem, kTopologyNode, kTopologyHostbridge, kTopologyMultiple, kTopologySingle};
  int shared = 0;
  while (shared < a.steps && shared < b.steps && a.numbers[shared] == b.numbers[shared]) ++shared;
  return kLevels[shared];
}

// NVML's protocol for lists: `count` says for how many entries there is room, and returns how many
// there are. Where the room is too small, only the count is returned. Unless the machine file has
// another protocol (sim::ProcessLists).
template <typename Record>
Return give_processes(uint32_t found, uint32_t& count, Record* records) {
  const uint32_t room = count;
  count = found;
  const sim::ProcessLists lists = library.machine.process_lists;
  if (lists == sim::ProcessLists::counted && records == nullptr) return kSuccess;
  if (lists != sim::ProcessLists::filled) {
    if (room < found) return kInsufficientSize;
    if (found > 0 && records == nullptr) return kInvalidArgument;
  }
  if (library.machine.old_layouts) {
    ProcessV1* old_records = reinterpret_cast<ProcessV1*>(records);
    for (uint32_t i = 0; i < found; ++i) fill(library.processes[i], old_records[i]);
  } else {
    for (uint32_t i = 0; i < found; ++i) fill(library.processes[i], records[i]);
  }
  return kSuccess;
}

template <typename Record>
Return get_processes(const char* function, Device device, sim::ProcessKind kind, uint32_t* count,
                     Record* records) {
  return ask_live(function, device, [&](int index, const sim::Gpu& gpu) {
    if (count == nullptr) return kInvalidArgument;
    if (gpu.process_error != 0) return static_cast<Return>(gpu.process_error);
    return give_processes(list_processes(index, kind), *count, records);
  });
}

Return read_field(const sim::Gpu& gpu, uint32_t field, uint32_t& value) {
  switch (field) {
    case kFieldRemappedCorrectable:
    case kFieldRemappedUncorrectable:
      value = 0;
      return kSuccess;
    case kFieldRemappedFailure:
      value = gpu.remap_failed ? 1 : 0;
      return kSuccess;
    case kFieldRetirePending:
      value = gpu.retire_pending ? 1 : 0;
      return kSuccess;
    case kFieldRemappedPending:
      value = gpu.remap_pending ? 1 : 0;
      return kSuccess;
    case kFieldSwitchLinks:
      value = gpu.switch_links;
      return kSuccess;
    case kFieldRecoveryAction:
      if (NVML_SIM_RELEASE < 565) return kNotSupported;
      value = gpu.recovery_action;
      return kSuccess;
    default:
      return kNotSupported;
  }
}

Return init(const char* function) {
  const Locked locked;
  const char* path = getenv("GPU_SIM_MACHINE");
  if (path == nullptr || path[0] == '\0') return kDriverNotLoaded;
  if (library.init_count > 0) {
    // A second session joins the first, as in the real library.
    if (!refresh_machine()) return kUnknown;
    log_call(function);
    ++library.init_count;
    return kSuccess;
  }
  if (strlen(path) >= sizeof(library.path)) {
    report("nvml-sim: GPU_SIM_MACHINE: %s", strerror(ENAMETOOLONG));
    return kUnknown;
  }
  strcpy(library.path, path);
  library.text_known = false;
  if (!refresh_machine()) return kUnknown;
  log_call(function);
  if (library.machine.driver_error != 0) return static_cast<Return>(library.machine.driver_error);
  if (library.machine.init_error != 0) return static_cast<Return>(library.machine.init_error);
  // A machine that has nothing but AMD cards has no such driver.
  if (library.machine.gpu_count == 0 && library.machine.amd_count > 0) return kDriverNotLoaded;
  library.init_count = 1;
  return kSuccess;
}

}  // namespace
}  // namespace nvml_sim

using nvml_sim::Return;

Return nvmlInit_v2() { return nvml_sim::init(__func__); }

Return nvmlInitWithFlags(uint32_t) { return nvml_sim::init(__func__); }

Return nvmlShutdown() {
  const nvml_sim::Locked locked;
  if (nvml_sim::library.init_count == 0) return nvml_sim::kUninitialized;
  nvml_sim::log_call(__func__);
  --nvml_sim::library.init_count;
  return nvml_sim::kSuccess;
}

const char* nvmlErrorString(Return code) {
  switch (static_cast<int>(code)) {
    case 0:
      return "Success";
    case 1:
      return "Uninitialized";
    case 2:
      return "Invalid Argument";
    case 3:
      return "Not Supported";
    case 4:
      return "Insufficient Permissions";
    case 6:
      return "Not Found";
    case 7:
      return "Insufficient Size";
    case 9:
      return "Driver Not Loaded";
    case 10:
      return "Timeout";
    case 12:
      return "NVML Shared Library Not Found";
    case 13:
      return "Function Not Found";
    case 15:
      return "GPU is lost";
    case 16:
      return "GPU requires reset";
    case 17:
      return "GPU access blocked by the operating system";
    case 18:
      return "Driver/library version mismatch";
    case 19:
      return "In use by another client";
    case 20:
      return "Insufficient Memory";
    case 21:
      return "No data";
    case 23:
      return "Insufficient resources";
    case 25:
      return "Argument version mismatch";
    case 27:
      return "System is not in ready state";
    case 28:
      return "No GPUs were found";
    case 29:
      return "Invalid state";
    default:
      return "Unknown Error";
  }
}

Return nvmlSystemGetDriverVersion(char* version, uint32_t length) {
  return nvml_sim::ask_machine(__func__, nvml_sim::kWholeMachine, [&](const sim::Machine& machine) {
    const bool named = machine.driver[0] != '\0';
    return nvml_sim::copy_string(named ? machine.driver : nvml_sim::kDefaultDriver, version,
                                 length);
  });
}

// The first word of its command.
Return nvmlSystemGetProcessName(uint32_t pid, char* name, uint32_t length) {
  return nvml_sim::ask_machine(__func__, nvml_sim::kWholeMachine, [&](const sim::Machine&) {
    if (name == nullptr || length == 0) return nvml_sim::kInvalidArgument;
    char path[32];
    snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return nvml_sim::kNotFound;
    const ssize_t size = read(fd, name, length - 1);
    close(fd);
    if (size <= 0) return nvml_sim::kNotFound;
    name[size] = '\0';
    return nvml_sim::kSuccess;
  });
}

// No event is ever told.
Return nvmlEventSetCreate(nvml_sim::EventSet* set) {
  return nvml_sim::ask_machine(__func__, nvml_sim::kWholeMachine, [&](const sim::Machine&) {
    if (set == nullptr) return nvml_sim::kInvalidArgument;
    *set = &nvml_sim::event_set;
    return nvml_sim::kSuccess;
  });
}

Return nvmlEventSetFree(nvml_sim::EventSet set) {
  return nvml_sim::ask_machine(__func__, nvml_sim::kWholeMachine, [&](const sim::Machine&) {
    return set == &nvml_sim::event_set ? nvml_sim::kSuccess : nvml_sim::kInvalidArgument;
  });
}

Return nvmlDeviceGetCount_v2(uint32_t* count) {
  nvml_sim::begin_look();
  return nvml_sim::ask_machine(__func__, nvml_sim::kWholeMachine, [&](const sim::Machine& machine) {
    if (count == nullptr) return nvml_sim::kInvalidArgument;
    *count = static_cast<uint32_t>(machine.gpu_count);
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetHandleByIndex_v2(uint32_t index, nvml_sim::Device* device) {
  const bool possible = index < uint32_t{sim::kMaxGpus};
  const int subject = possible ? static_cast<int>(index) : nvml_sim::kWholeMachine;
  return nvml_sim::ask_machine(__func__, subject, [&](const sim::Machine& machine) {
    if (device == nullptr || index >= static_cast<uint32_t>(machine.gpu_count)) {
      return nvml_sim::kInvalidArgument;
    }
    if (const int error = machine.gpus[index].handle_error; error != 0) {
      return static_cast<Return>(error);
    }
    *device = &nvml_sim::handles[index];
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetUUID(nvml_sim::Device device, char* uuid, uint32_t length) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu& gpu) {
    char old_name[128];
    const sim::InstanceOf& of = gpu.instance_of;
    if (!of.old_name) return nvml_sim::copy_string(gpu.uuid, uuid, length);
    snprintf(old_name, sizeof(old_name), "MIG-%s/%u/%u",
             nvml_sim::library.machine.gpus[of.gpu].uuid, of.gpu_instance, of.compute_instance);
    return nvml_sim::copy_string(old_name, uuid, length);
  });
}

Return nvmlDeviceGetName(nvml_sim::Device device, char* name, uint32_t length) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu& gpu) {
    return nvml_sim::copy_string(gpu.name, name, length);
  });
}

Return nvmlDeviceGetPciInfo_v3(nvml_sim::Device device, nvml_sim::PciInfo* pci) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (pci == nullptr) return nvml_sim::kInvalidArgument;
    nvml_sim::fill(gpu.pci, *pci);
    return nvml_sim::kSuccess;
  });
}

// Of an instance, its slot.
Return nvmlDeviceGetIndex(nvml_sim::Device device, uint32_t* index) {
  return nvml_sim::ask_gpu(__func__, device, [&](int place, const sim::Gpu& gpu) {
    if (index == nullptr) return nvml_sim::kInvalidArgument;
    *index = nvml_sim::is_instance(gpu) ? gpu.instance_of.slot : static_cast<uint32_t>(place);
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetBAR1MemoryInfo(nvml_sim::Device device, nvml_sim::Memory* memory) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu&) {
    if (memory == nullptr) return nvml_sim::kInvalidArgument;
    constexpr uint64_t kWindow = 256 * nvml_sim::kMib;
    *memory = {.total = kWindow, .free = kWindow - nvml_sim::kMib, .used = nvml_sim::kMib};
    return nvml_sim::kSuccess;
  });
}

// What monitors ask for besides, and every driver's library has a function for.
#define NVML_SIM_NOT_SUPPORTED(function)                                                    \
  Return function(nvml_sim::Device device) {                                                \
    return nvml_sim::ask_gpu(__func__, device,                                              \
                             [](int, const sim::Gpu&) { return nvml_sim::kNotSupported; }); \
  }
NVML_SIM_FOR_EACH_NOT_SUPPORTED(NVML_SIM_NOT_SUPPORTED)

Return nvmlDeviceGetMinorNumber(nvml_sim::Device device, uint32_t* minor_number) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (minor_number == nullptr) return nvml_sim::kInvalidArgument;
    if (gpu.minor == sim::kNoMinor) return nvml_sim::kNotSupported;
    *minor_number = gpu.minor;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetMemoryInfo(nvml_sim::Device device, nvml_sim::Memory* memory) {
  nvml_sim::begin_look();
  return nvml_sim::ask_live(__func__, device, [&](int index, const sim::Gpu& gpu) {
    if (memory == nullptr) return nvml_sim::kInvalidArgument;
    if (gpu.memory_error != 0) return static_cast<Return>(gpu.memory_error);
    const uint64_t used_mib = gpu.reserved_mib + nvml_sim::allocated_mib(index, gpu);
    memory->total = gpu.memory_mib * nvml_sim::kMib;
    memory->free = (gpu.memory_mib - used_mib) * nvml_sim::kMib;
    memory->used = used_mib * nvml_sim::kMib;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetUtilizationRates(nvml_sim::Device device, nvml_sim::Utilization* utilization) {
  return nvml_sim::ask_live(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (utilization == nullptr) return nvml_sim::kInvalidArgument;
    if (gpu.util_error != 0) return static_cast<Return>(gpu.util_error);
    if (gpu.mig == sim::Mig::enabled || nvml_sim::is_instance(gpu)) {
      return nvml_sim::kNotSupported;
    }
    utilization->gpu = nvml_sim::util_percent(gpu);
    utilization->memory = utilization->gpu / 2;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetComputeMode(nvml_sim::Device device, uint32_t* mode) {
  return nvml_sim::ask_live(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (mode == nullptr) return nvml_sim::kInvalidArgument;
    *mode = gpu.compute_mode;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetPersistenceMode(nvml_sim::Device device, uint32_t* mode) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (mode == nullptr) return nvml_sim::kInvalidArgument;
    *mode = gpu.persistence ? 1 : 0;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetCudaComputeCapability(nvml_sim::Device device, int* major, int* minor) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (major == nullptr || minor == nullptr) return nvml_sim::kInvalidArgument;
    *major = static_cast<int>(gpu.capability_major);
    *minor = static_cast<int>(gpu.capability_minor);
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetComputeRunningProcesses(nvml_sim::Device device, uint32_t* count,
                                            nvml_sim::ProcessV1* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::compute, count, processes);
}

Return nvmlDeviceGetGraphicsRunningProcesses(nvml_sim::Device device, uint32_t* count,
                                             nvml_sim::ProcessV1* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::graphics, count, processes);
}

Return nvmlDeviceGetMPSComputeRunningProcesses(nvml_sim::Device device, uint32_t* count,
                                               nvml_sim::ProcessV1* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::mps, count, processes);
}

Return nvmlDeviceGetFieldValues(nvml_sim::Device device, int count, nvml_sim::FieldValue* values) {
  return nvml_sim::ask_live(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (count <= 0 || values == nullptr) return nvml_sim::kInvalidArgument;
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < count; ++i) {
      nvml_sim::FieldValue& value = values[i];
      value.timestamp_us = int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
      value.latency_us = 0;
      value.value_type = nvml_sim::kValueUnsignedInt;
      value.value.as_u64 = 0;
      uint32_t number = 0;
      value.status = nvml_sim::read_field(gpu, value.field_id, number);
      value.value.as_u32 = number;
    }
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetTopologyCommonAncestor(nvml_sim::Device device1, nvml_sim::Device device2,
                                           nvml_sim::TopologyLevel* level) {
  return nvml_sim::ask_links(__func__, device1, [&](int, const sim::Gpu& gpu) {
    const int other = nvml_sim::index_of(device2);
    const sim::Machine& machine = nvml_sim::library.machine;
    if (level == nullptr || other < 0) return nvml_sim::kInvalidArgument;
    if (const Return present = nvml_sim::presence(machine, other); present != nvml_sim::kSuccess) {
      return present;
    }
    const sim::PciPath& path = machine.gpus[other].path;
    if (gpu.path.steps == 0 || path.steps == 0) return nvml_sim::kNotSupported;
    *level = nvml_sim::level_of(gpu.path, path);
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetNvLinkState(nvml_sim::Device device, uint32_t link, uint32_t* state) {
  return nvml_sim::ask_link(__func__, device, link, [&](sim::FarEnd end, int) {
    if (state == nullptr) return nvml_sim::kInvalidArgument;
    *state = end == sim::FarEnd::nothing ? nvml_sim::kLinkDisabled : nvml_sim::kLinkEnabled;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetNvLinkRemotePciInfo_v2(nvml_sim::Device device, uint32_t link,
                                           nvml_sim::PciInfo* pci) {
  return nvml_sim::ask_link(__func__, device, link, [&](sim::FarEnd end, int card) {
    if (pci == nullptr) return nvml_sim::kInvalidArgument;
    if (end == sim::FarEnd::nothing) return nvml_sim::kNotSupported;
    constexpr sim::PciAddress kNvSwitch = {.domain = 0, .bus = 0xFD, .device = 0, .function = 0};
    nvml_sim::fill(end == sim::FarEnd::card ? nvml_sim::library.machine.gpus[card].pci : kNvSwitch,
                   *pci);
    return nvml_sim::kSuccess;
  });
}

#if NVML_SIM_RELEASE >= 535

Return nvmlDeviceGetMemoryInfo_v2(nvml_sim::Device device, nvml_sim::MemoryV2* memory) {
  nvml_sim::begin_look();
  return nvml_sim::ask_live(__func__, device, [&](int index, const sim::Gpu& gpu) {
    if (memory == nullptr) return nvml_sim::kInvalidArgument;
    if (memory->version != nvml_sim::kMemoryV2Version) return nvml_sim::kArgumentVersionMismatch;
    if (gpu.memory_v2_error != 0) return static_cast<Return>(gpu.memory_v2_error);
    const uint64_t used_mib = nvml_sim::allocated_mib(index, gpu);
    memory->total = gpu.memory_mib * nvml_sim::kMib;
    memory->reserved = gpu.reserved_mib * nvml_sim::kMib;
    memory->free = (gpu.memory_mib - gpu.reserved_mib - used_mib) * nvml_sim::kMib;
    memory->used = (used_mib + (gpu.reserved_in_used ? gpu.reserved_mib : 0)) * nvml_sim::kMib;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetComputeRunningProcesses_v2(nvml_sim::Device device, uint32_t* count,
                                               nvml_sim::ProcessV2* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::compute, count, processes);
}

Return nvmlDeviceGetComputeRunningProcesses_v3(nvml_sim::Device device, uint32_t* count,
                                               nvml_sim::ProcessV3* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::compute, count, processes);
}

Return nvmlDeviceGetGraphicsRunningProcesses_v2(nvml_sim::Device device, uint32_t* count,
                                                nvml_sim::ProcessV2* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::graphics, count, processes);
}

Return nvmlDeviceGetGraphicsRunningProcesses_v3(nvml_sim::Device device, uint32_t* count,
                                                nvml_sim::ProcessV3* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::graphics, count, processes);
}

Return nvmlDeviceGetMPSComputeRunningProcesses_v3(nvml_sim::Device device, uint32_t* count,
                                                  nvml_sim::ProcessV3* processes) {
  return nvml_sim::get_processes(__func__, device, sim::ProcessKind::mps, count, processes);
}

Return nvmlDeviceGetMigMode(nvml_sim::Device device, uint32_t* current, uint32_t* pending) {
  return nvml_sim::ask_live(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (current == nullptr || pending == nullptr) return nvml_sim::kInvalidArgument;
    if (gpu.mig == sim::Mig::unsupported || nvml_sim::is_instance(gpu)) {
      return nvml_sim::kNotSupported;
    }
    *current = gpu.mig == sim::Mig::enabled ? 1 : 0;
    *pending = *current;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetMaxMigDeviceCount(nvml_sim::Device device, uint32_t* count) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (count == nullptr) return nvml_sim::kInvalidArgument;
    *count = gpu.mig == sim::Mig::unsupported ? 0 : sim::kSlots;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetMigDeviceHandleByIndex(nvml_sim::Device device, uint32_t index,
                                           nvml_sim::Device* instance) {
  return nvml_sim::ask_live(__func__, device, [&](int card, const sim::Gpu& gpu) {
    if (instance == nullptr || index >= sim::kSlots || nvml_sim::is_instance(gpu)) {
      return nvml_sim::kInvalidArgument;
    }
    if (gpu.mig != sim::Mig::enabled) return nvml_sim::kNotSupported;
    const int found = sim::instance_in_slot(nvml_sim::library.machine, card, index);
    if (found == sim::kMaxDevices) return nvml_sim::kNotFound;
    *instance = &nvml_sim::handles[found];
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceIsMigDeviceHandle(nvml_sim::Device device, uint32_t* is_instance) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (is_instance == nullptr) return nvml_sim::kInvalidArgument;
    *is_instance = nvml_sim::is_instance(gpu) ? 1 : 0;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvml_sim::Device instance,
                                                    nvml_sim::Device* device) {
  return nvml_sim::ask_gpu(__func__, instance, [&](int, const sim::Gpu& gpu) {
    if (device == nullptr || !nvml_sim::is_instance(gpu)) return nvml_sim::kInvalidArgument;
    *device = &nvml_sim::handles[gpu.instance_of.gpu];
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetGpuInstanceId(nvml_sim::Device device, uint32_t* id) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (id == nullptr) return nvml_sim::kInvalidArgument;
    if (!nvml_sim::is_instance(gpu)) return nvml_sim::kNotSupported;
    *id = gpu.instance_of.gpu_instance;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetComputeInstanceId(nvml_sim::Device device, uint32_t* id) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (id == nullptr) return nvml_sim::kInvalidArgument;
    if (!nvml_sim::is_instance(gpu)) return nvml_sim::kNotSupported;
    *id = gpu.instance_of.compute_instance;
    return nvml_sim::kSuccess;
  });
}

// As on an A100, the engines for video left out.
Return nvmlDeviceGetAttributes_v2(nvml_sim::Device device, nvml_sim::DeviceAttributes* attributes) {
  return nvml_sim::ask_gpu(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (attributes == nullptr) return nvml_sim::kInvalidArgument;
    if (!nvml_sim::is_instance(gpu)) return nvml_sim::kNotSupported;
    constexpr uint32_t kMultiprocessorsOfSlice = 14;
    const nvml_sim::Slices slices = nvml_sim::slices_of(gpu);
    *attributes = {};
    attributes->multiprocessor_count = kMultiprocessorsOfSlice * slices.compute_instance;
    attributes->shared_copy_engine_count = slices.gpu_instance;
    attributes->gpu_instance_slice_count = slices.gpu_instance;
    attributes->compute_instance_slice_count = slices.compute_instance;
    attributes->memory_size_mib = gpu.memory_mib;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetRemappedRows(nvml_sim::Device device, uint32_t* correctable,
                                 uint32_t* uncorrectable, uint32_t* is_pending,
                                 uint32_t* failure_occurred) {
  return nvml_sim::ask_live(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (correctable == nullptr || uncorrectable == nullptr || is_pending == nullptr ||
        failure_occurred == nullptr) {
      return nvml_sim::kInvalidArgument;
    }
    *correctable = 0;
    *uncorrectable = gpu.remap_pending ? 1 : 0;
    *is_pending = gpu.remap_pending ? 1 : 0;
    *failure_occurred = gpu.remap_failed ? 1 : 0;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetConfComputeMemSizeInfo(nvml_sim::Device device,
                                           nvml_sim::ConfComputeMemSize* size) {
  return nvml_sim::ask_live(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (size == nullptr) return nvml_sim::kInvalidArgument;
    size->protected_kib = 0;
    size->unprotected_kib = gpu.memory_mib * 1024;
    return nvml_sim::kSuccess;
  });
}

#endif

#if NVML_SIM_RELEASE > 535

Return nvmlDeviceGetPciInfoExt(nvml_sim::Device device, nvml_sim::PciInfoExt* pci) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (pci == nullptr) return nvml_sim::kInvalidArgument;
    if (pci->version != nvml_sim::kPciInfoExtVersion) return nvml_sim::kArgumentVersionMismatch;
    nvml_sim::fill(gpu.pci, *pci);
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetNumaNodeId(nvml_sim::Device device, uint32_t* node) {
  return nvml_sim::ask_card(__func__, device, [&](int, const sim::Gpu& gpu) {
    if (node == nullptr) return nvml_sim::kInvalidArgument;
    if (gpu.numa_node == sim::kNoNode) return nvml_sim::kNotSupported;
    *node = gpu.numa_node;
    return nvml_sim::kSuccess;
  });
}

Return nvmlDeviceGetRunningProcessDetailList(nvml_sim::Device device,
                                             nvml_sim::ProcessDetailList* list) {
  return nvml_sim::ask_live(__func__, device, [&](int index, const sim::Gpu& gpu) {
    if (list == nullptr) return nvml_sim::kInvalidArgument;
    if (list->version != nvml_sim::kProcessDetailListVersion) {
      return nvml_sim::kArgumentVersionMismatch;
    }
    if (list->mode > nvml_sim::kDetailMps) return nvml_sim::kInvalidArgument;
    if (gpu.process_error != 0) return static_cast<Return>(gpu.process_error);
    const sim::ProcessKind kind = list->mode == nvml_sim::kDetailGraphics
                                      ? sim::ProcessKind::graphics
                                  : list->mode == nvml_sim::kDetailMps ? sim::ProcessKind::mps
                                                                       : sim::ProcessKind::compute;
    const uint32_t found = nvml_sim::list_processes(index, kind);
    return nvml_sim::give_processes(found, list->entry_count, list->entries);
  });
}

#endif
