#include "gpu/visible_devices.h"

#include <algorithm>
#include <optional>

#include "gpu/gpu_list.h"

namespace gpu_gate {
namespace {

/// The one device that an entry names, or nothing.
std::optional<std::size_t> named_device(const GpuRef& ref, const Snapshot& snapshot) {
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

std::vector<std::size_t> visible_devices(std::string_view value, const Snapshot& snapshot) {
  std::vector<std::size_t> shown;
  std::optional<GpuRef::Kind> kind;
  for (std::string_view rest = value;;) {
    const auto comma = rest.find(',');
    const Result<std::vector<GpuRef>> entry = parse_gpu_list(rest.substr(0, comma));
    if (!entry) break;
    const GpuRef& ref = entry->front();
    if (ref.kind == GpuRef::Kind::pci || (kind && ref.kind != *kind) || is_range(ref)) break;
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

std::string device_list(const std::vector<Device>& devices, Ids ids) {
  std::string list;
  for (const Device& device : devices) {
    if (!list.empty()) list += ',';
    list += ids == Ids::uuid ? device.uuid : std::to_string(device.index);
  }
  return list;
}

}  // namespace gpu_gate
