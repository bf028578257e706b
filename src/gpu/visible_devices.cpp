#include "gpu/visible_devices.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "base/env.h"
#include "gpu/gpu_list.h"
#include "gpu/rocm_devices.h"

namespace gpu_gate {
namespace {

/// Does CUDA give this device a number? (Of instances it numbers the first at most, beside which it
/// shows no card.)
bool is_numbered(const Device& device) {
  return !device.instance && device.accessible && !device.uuid.empty() &&
         device.health != Health::lost && device.health != Health::mig;
}

/// The device with this number, or nothing.
std::optional<std::size_t> numbered_device(int number, const Snapshot& snapshot) {
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    if (is_numbered(snapshot.devices[i]) && number-- == 0) return i;
  }
  return std::nullopt;
}

/// The one device that an entry names, or nothing.
std::optional<std::size_t> named_device(const GpuRef& ref, const Snapshot& snapshot) {
  if (ref.kind == GpuRef::Kind::index) return numbered_device(ref.first, snapshot);
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    if (!matches(ref, snapshot.devices[i])) continue;
    if (found) return std::nullopt;
    found = i;
  }
  return found;
}

/// CUDA knows no ranges, and so not even "1-1".
bool is_range(const GpuRef& ref) {
  return ref.kind == GpuRef::Kind::index && ref.text.find('-') != std::string::npos;
}

}  // namespace

bool indices_hold(const Snapshot& snapshot) {
  return std::all_of(snapshot.devices.begin(), snapshot.devices.end(), [](const Device& device) {
    return device.accessible &&
           (device.health == Health::ok || device.health == Health::prohibited);
  });
}

std::vector<std::size_t> visible_devices(std::string_view value, const Snapshot& snapshot) {
  std::vector<std::size_t> shown;
  std::optional<GpuRef::Kind> kind;
  for (std::string_view rest = value;;) {
    const auto comma = rest.find(',');
    const Result<std::vector<GpuRef>> entry = parse_gpu_list(rest.substr(0, comma));
    if (!entry) break;
    const GpuRef& ref = entry->front();
    const bool known = ref.kind == GpuRef::Kind::index || ref.kind == GpuRef::Kind::uuid;
    if (!known || (kind && ref.kind != *kind) || is_range(ref)) break;
    kind = ref.kind;
    const std::optional<std::size_t> device = named_device(ref, snapshot);
    if (!device) break;
    if (std::find(shown.begin(), shown.end(), *device) != shown.end()) return {};
    shown.push_back(*device);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::sort(shown.begin(), shown.end());
  return shown;
}

std::vector<VisibleList> inherited_lists(const char* const* environment, Vendor vendor) {
  const VendorVariables variables = variables_of(vendor);
  std::vector<VisibleList> lists;
  if (auto value = env_variable(environment, variables.visible_devices)) {
    lists.push_back({.variable = variables.visible_devices, .value = std::move(*value)});
  }
  for (const char* name : variables.within) {
    auto value = name != nullptr ? env_setting(environment, name) : std::nullopt;
    if (!value) continue;
    const bool of_slurm =
        env_setting(environment, env::kSlurmJob) && !lists.empty() && lists.front().value == *value;
    if (!of_slurm) lists.push_back({.variable = name, .value = std::move(*value)});
    break;
  }
  return lists;
}

std::vector<std::size_t> visible_devices(const std::vector<VisibleList>& lists,
                                         const Snapshot& snapshot) {
  if (snapshot.vendor == Vendor::amd) return rocm_devices(lists, snapshot);
  std::vector<std::size_t> all(snapshot.devices.size());
  std::iota(all.begin(), all.end(), 0);
  return lists.empty() ? all : visible_devices(lists.front().value, snapshot);
}

std::string device_list(const std::vector<Device>& devices, Ids ids) {
  std::string list;
  for (const Device& device : devices) {
    if (!list.empty()) list += ',';
    list += ids == Ids::uuid ? device.uuid : label(device);
  }
  return list;
}

std::string runtime_list(const std::vector<Device>& devices, Ids ids) {
  if (ids == Ids::index) return device_list(devices, ids);
  std::vector<Device> named = devices;
  for (Device& device : named) {
    if (!device.runtime_id.empty()) device.uuid = device.runtime_id;
  }
  return device_list(named, ids);
}

}  // namespace gpu_gate
