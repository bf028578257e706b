#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/links.h"
#include "gpu/vendor.h"

namespace gpu_gate {

/// A process that the driver lists on a device.
struct GpuProcess {
  pid_t pid = 0;
  bool graphics = false;                   // a display or render client, not a compute one
  std::optional<std::int64_t> memory_mib;  // nothing where the driver cannot tell
  bool mps_server = false;                 // computes for its clients, which are listed themselves
};

/// May this be a device's UUID? It becomes a part of file names: letters, digits and hyphens.
bool is_uuid(std::string_view text);

/// Why nobody can use a device at the moment, as the driver reports it.
enum class Health {
  ok,
  lost,            // fallen off the bus
  reset_required,  // the driver asks for a reset, a reboot or a drain
  prohibited,      // compute mode PROHIBITED
  mig,             // MIG is on: the whole card cannot be used as one
  unreadable,      // its state cannot be read; `error` says why
};

/// What a device that works waits for, since memory of it has failed.
enum class Repair {
  none,
  remap_pending,   // rows are replaced at its next reset
  retire_pending,  // likewise pages, on older devices
  remap_failed,    // no rows are left to replace those: it is to be exchanged
};

/// A GPU, or an instance of one, as it was at one moment. Plain values, which the other folders
/// decide on.
struct Device {
  int index = 0;  // position in PCI bus order, as nvidia-smi shows it; -1: unknown
  std::optional<int> instance = std::nullopt;  // which of that card's instances; nothing: all of it
  std::string uuid;         // "GPU-...", "MIG-..."; empty when even that cannot be read
  std::string card_uuid;    // of the card that it is an instance of; empty for a whole card
  std::string runtime_id;   // what the vendor's runtime calls it, where that is not its UUID
  std::string second_name;  // what CUDA knows it by besides: "MIG-GPU-.../1/0" of an instance
  Vendor vendor = Vendor::nvidia;
  bool only_if_named = false;  // seems to be a part of the CPU: only for who asks for just this one
  std::string name;
  std::string pci_bus_id;                           // "00000000:17:00.0"
  std::int64_t memory_total_mib = 0;                // 0: unknown
  std::optional<std::int64_t> memory_reserved_mib;  // the driver's own; nothing: a part of `used`
  std::int64_t memory_used_mib = 0;                 // what is neither free nor reserved
  std::int64_t memory_free_mib = 0;
  bool shares_system_memory = false;   // what is in use may be anybody's, also without a GPU
  int memory_sharers = 1;              // so many instances have this memory together
  std::optional<int> utilization_pct;  // nothing where the driver cannot tell
  std::vector<GpuProcess> processes;
  bool accessible = true;  // this user may open its device node, as far as can be told
  bool exclusive = false;  // compute mode EXCLUSIVE_PROCESS: a second process cannot compute on it
  Health health = Health::ok;
  Repair repair = Repair::none;
  std::string error;  // why it is unreadable or lost, in words
};

/// What users call it: "2", or "2:0" an instance of GPU 2; "?" where its index is unknown.
std::string label(const Device& device);

/// All devices of one vendor in the machine at one moment, in ascending index, a card before its
/// instances.
struct Snapshot {
  std::vector<Device> devices;
  Links links = Links(0);  // between them, where they were asked for (GpuSource::links)
  Vendor vendor = Vendor::nvidia;
};

/// The same machine while nothing can be told about it, for this reason. What was wrong with a
/// device stays wrong.
Snapshot unreadable(Snapshot snapshot, const std::string& why);

}  // namespace gpu_gate
