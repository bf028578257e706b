#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"

namespace gpu_gate {

/// Does CUDA number the devices as we do? Not for certain where one of the machine is closed to
/// this user, lost, in MIG mode or not well otherwise: CUDA leaves out what it cannot use, and what
/// comes after that has a lower number than its index.
bool indices_hold(const Snapshot& snapshot);

/// Which devices of NVIDIA's an inherited CUDA_VISIBLE_DEVICES shows, as positions in the snapshot,
/// ascending. CUDA's rules (CUDA C++ Programming Guide, "CUDA Environment Variables"): an entry
/// that names no device hides itself and all after it, a UUID may be a unique prefix, indices and
/// UUIDs do not mix, a device named twice leaves none. A number counts the devices that this user
/// can open, in PCI bus order.
std::vector<std::size_t> visible_devices(std::string_view value, const Snapshot& snapshot);

/// An inherited variable that limits which devices a program may use.
struct VisibleList {
  std::string variable;
  std::string value;

  friend bool operator==(const VisibleList&, const VisibleList&) = default;
};

/// Those that an environment (environ(7)) has for a vendor's devices, in the order in which they
/// limit. Slurm writes one list into the variables of all vendors where it is not told which they
/// are (gres.conf(5), "Flags"): in a job of its the same list in a second variable is no further
/// limit.
std::vector<VisibleList> inherited_lists(const char* const* environment, Vendor vendor);

/// Which devices are left by all of these, by the rules of the snapshot's vendor, as positions in
/// the snapshot, ascending.
std::vector<std::size_t> visible_devices(const std::vector<VisibleList>& lists,
                                         const Snapshot& snapshot);

enum class Ids { index, uuid };

/// "0,2" or "GPU-...,GPU-...": the devices by label (an instance is "0:1") or UUID.
std::string device_list(const std::vector<Device>& devices, Ids ids);

/// The same as the vendor's runtime takes it, where that knows a device by another name.
std::string runtime_list(const std::vector<Device>& devices, Ids ids);

}  // namespace gpu_gate
