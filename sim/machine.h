// The machine file: which driver and devices the simulated machine has, and what is wrong with
// them.
//
// The NVML stand-in, gpu-sim-job and gpu-sim-sysfs read it, so this file needs nothing but libc: no
// exceptions, no allocation, every size bounded.
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

namespace sim {

inline constexpr int kMaxGpus = 64;
inline constexpr uint32_t kSlots = 8;  // for instances of a card
inline constexpr int kMaxInstances = 128;
inline constexpr int kMaxDevices = kMaxGpus + kMaxInstances;
inline constexpr int kMaxProcesses = 1024;
inline constexpr int kMaxFailures = 64;
inline constexpr int kMaxLinkLines = 512;
inline constexpr uint32_t kMaxLinks = 18;  // NVLinks of one card (NVML_NVLINK_MAX_LINKS until R580)
inline constexpr int kPathSteps = 4;
inline constexpr size_t kMaxMachineBytes = size_t{256} * 1024;

struct PciAddress {
  uint32_t domain;
  uint32_t bus;
  uint32_t device;
  uint32_t function;
};

// Where a card hangs in the tree of PCI express: its socket, and on the way down from there a host
// bridge, a bridge, and a switch. Those that have a number in common share it.
struct PciPath {
  int steps;  // how many of these are given; 0: the library does not tell
  uint32_t numbers[kPathSteps];
};

enum class Mig { unsupported, disabled, enabled };

inline constexpr uint32_t kNoMinor = UINT32_MAX;
inline constexpr uint32_t kNoNode = UINT32_MAX;

// The list that a process is in. A client of an MPS server may be in that of compute processes,
// too.
enum class ProcessKind { compute, graphics, mps };

// How the queries of process lists treat the caller's array.
enum class ProcessLists {
  checked,  // as NVML: filled if there is room for all, else only the count is returned
  counted,  // a null array is a question for the count, and that succeeds
  filled,   // whatever room it has, and even if it is null
};

inline constexpr int kNoCard = -1;

// What an instance is of its card. Instances with the same GPU instance share its memory.
struct InstanceOf {
  int gpu;        // the card; kNoCard: it is one itself
  uint32_t slot;  // under which the card lists it
  uint32_t gpu_instance;
  uint32_t compute_instance;
  bool old_name;  // its UUID is told as drivers before R470 do
};

// Error members hold an nvmlReturn_t; 0 means that the query works.
struct Gpu {
  InstanceOf instance_of;
  char name[96];
  char uuid[96];
  PciAddress pci;
  PciPath path;
  uint32_t switch_links;  // NVLinks to an NVSwitch
  uint32_t open_links;    // NVLinks with nothing at their other end
  uint32_t minor;         // of its device node; kNoMinor: it has none
  uint64_t memory_mib;
  uint64_t reserved_mib;
  uint64_t used_mib;
  uint32_t util_percent;
  uint32_t compute_mode;  // an nvmlComputeMode_t
  uint32_t recovery_action;
  Mig mig;
  bool persistence;
  bool remap_pending;
  bool remap_failed;
  bool retire_pending;
  uint32_t capability_major;  // compute capability
  uint32_t capability_minor;
  uint32_t numa_node;  // of its memory; kNoNode: the kernel does not manage that
  bool reserved_in_used;
  bool lost;
  bool process_memory_unknown;
  int handle_error;
  int memory_error;
  int memory_v2_error;
  int util_error;
  int process_error;
};

// How the compute units of an AMD card are divided (current_compute_partition).
enum class AmdMode { none, spx, dpx, tpx, qpx, cpx };  // none: the card knows no partitions

// Who may use an AMD card.
enum class AmdClosed {
  no,
  user,   // its device file is root's alone
  gone,   // it has no device file, as in a container that was given other cards
  cgroup  // neither that, nor can what KFD tells of it be read
};

inline constexpr int kMaxXcc = 8;

// An AMD card with its amdgpu driver. Each of its partitions is a GPU of its own to ROCm.
struct AmdCard {
  char name[96];  // product_name; empty: the card has no such memory
  char chip[32];  // KFD's name for the kind
  PciAddress pci;
  uint32_t device_id;
  uint64_t vram_mib;
  uint64_t used_mib;
  uint32_t busy_percent;
  bool busy_unknown;   // there is no gpu_busy_percent
  uint64_t unique_id;  // 0: none
  uint32_t card;       // number of its /sys/class/drm/cardN
  uint32_t minor;      // number of its first /dev/dri/renderDN
  uint32_t xcc;        // accelerator dies; more than one: it has render nodes for eight partitions
  uint32_t units;      // compute units in all
  AmdMode mode;
  uint32_t nps;   // memory partitions
  bool own_ids;   // each partition has a unique_id of its own, as newer kernels give it
  uint64_t hive;  // cards of one hive are linked by XGMI; 0: none
  uint32_t gfx;   // gfx_target_version
  uint32_t numa;  // the socket that it hangs on
  bool apu;
  bool asleep;  // runtime power management has suspended it
  bool lost;    // it is no longer there
  AmdClosed closed;
};

// What ROCm counts as one GPU: a card, or a partition of one.
struct AmdNode {
  int card;  // place in Machine::amd_cards
  uint32_t part;
  uint32_t gpu_id;  // KFD's number for it
  uint32_t minor;   // of its render node
};

struct AmdNodes {
  int count;
  AmdNode nodes[kMaxGpus];
};

struct StaticProcess {
  int gpu;   // a device: also an instance; -1: it is on an AMD card
  int slot;  // of the instance; -1: on the card
  int amd;   // -1: it is not
  uint32_t part;
  bool queue;
  int line;
  uint32_t pid;
  uint64_t memory_mib;
  bool memory_unknown;
  ProcessKind kind;
};

// NVLinks between two cards.
struct LinkLine {
  int line;
  int gpu;
  int to;
  uint32_t count;
};

// A function that returns `error` whatever it is asked.
struct Failure {
  char function[64];
  int error;
};

// All zero is a machine without a device: a global Machine costs no bytes in the library's file.
struct Machine {
  char driver[80];  // empty: the library's own release
  char log[PATH_MAX];
  uint32_t linger_ms;
  uint32_t delay_ms;
  int init_error;
  ProcessLists process_lists;
  bool old_layouts;  // of PCI addresses and process records
  int failure_count;
  int driver_error;  // of every call
  int gpu_count;
  int instance_count;
  int process_count;
  int link_count;
  int amd_count;
  Failure failures[kMaxFailures];
  Gpu gpus[kMaxDevices];  // from kMaxGpus on the instances
  AmdCard amd_cards[kMaxGpus];
  StaticProcess processes[kMaxProcesses];
  LinkLine links[kMaxLinkLines];
};

struct MachineError {
  int line;  // 0: the file as a whole
  char what[192];
};

// Reads the whole file into `text`. Returns its size, or -1 with errno (EFBIG: over `capacity`).
ptrdiff_t read_machine_text(const char* path, char* text, size_t capacity);

// Fills `machine`; on false it is unusable and `error` says where and why.
bool parse_machine(const char* text, size_t size, Machine& machine, MachineError& error);

// Is there a device, a card or an instance, in this place of Machine::gpus?
bool has_device(const Machine& machine, int device);

// The next place in which there is one; kMaxDevices at the end. Begins with -1.
int next_device(const Machine& machine, int device);

// The instance that the card lists under this number; kMaxDevices: there is none.
int instance_in_slot(const Machine& machine, int gpu, uint32_t slot);

// Is what is allocated on `other` allocated on the device, too? That of its instances on a card,
// that of all in one GPU instance on each of them.
bool takes_memory_of(const Machine& machine, int device, int other);

// NVLinks of a card, whatever is at their other end.
uint32_t links_of(const Machine& machine, int gpu);

// What is at the other end of one of them, which are numbered so: those that lead nowhere, those to
// other cards in the order of the file, those to an NVSwitch.
enum class FarEnd { nothing, card, nvswitch };
FarEnd far_end(const Machine& machine, int gpu, uint32_t link, int& card);

// The memory that the machine file itself says is allocated of a device's own: `used=`, which
// covers the static processes, or their sum where that is more.
uint64_t static_use_mib(const Machine& machine, int device);

// The same for an AMD card, with all its partitions.
uint64_t amd_static_use_mib(const Machine& machine, int card);

// How many GPUs a card is to ROCm.
uint32_t parts_of(const AmdCard& card);

// The GPUs of all cards but those that are lost, in the order in which KFD counts them.
AmdNodes amd_nodes(const Machine& machine);

}  // namespace sim
