#include "job/environment.h"

#include <string_view>

namespace gpu_gate {
namespace {

constexpr const char* kPciOrder = "PCI_BUS_ID";

bool is_assignment(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.substr(0, name.size()) == name &&
         entry[name.size()] == '=';
}

}  // namespace

std::optional<std::string> variable(const char* const* environment, const std::string& name) {
  for (; *environment != nullptr; ++environment) {
    if (is_assignment(*environment, name)) return std::string(*environment + name.size() + 1);
  }
  return std::nullopt;
}

Ids naming(Ids asked, const std::optional<std::string>& device_order) {
  const bool pinned = device_order && !device_order->empty() && *device_order != kPciOrder;
  return pinned ? Ids::uuid : asked;
}

std::vector<std::string> job_environment(const char* const* environment,
                                         const std::vector<Device>& devices, Ids ids,
                                         Ticket claim) {
  const std::optional<std::string> order = variable(environment, "CUDA_DEVICE_ORDER");
  const struct {
    const char* name;
    std::string value;
  } set[] = {
      {"CUDA_VISIBLE_DEVICES", device_list(devices, naming(ids, order))},
      {"CUDA_DEVICE_ORDER", order && !order->empty() ? *order : kPciOrder},
      {"GPU_GATE_INDICES", device_list(devices, Ids::index)},
      {"GPU_GATE_UUIDS", device_list(devices, Ids::uuid)},
      {"GPU_GATE_CLAIM", std::to_string(claim)},
  };
  std::vector<std::string> result;
  for (; *environment != nullptr; ++environment) {
    bool replaced = false;
    for (const auto& entry : set) replaced = replaced || is_assignment(*environment, entry.name);
    if (!replaced) result.emplace_back(*environment);
  }
  for (const auto& entry : set) result.push_back(std::string(entry.name) + "=" + entry.value);
  return result;
}

}  // namespace gpu_gate
