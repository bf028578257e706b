#include "job/environment.h"

#include <string_view>

#include "base/env.h"
#include "gpu/vendor.h"

namespace gpu_gate {
namespace {

constexpr VendorVariables kVariables = variables_of(Vendor::nvidia);

bool is_assignment(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

}  // namespace

Ids naming(Ids asked, const char* const* environment) {
  const auto order = env_setting(environment, kVariables.device_order);
  return order && *order != kVariables.pci_order ? Ids::uuid : asked;
}

std::vector<std::pair<std::string, std::string>> job_variables(const char* const* environment,
                                                               const std::vector<Device>& devices,
                                                               Ids ids, Ticket claim) {
  return {
      {kVariables.visible_devices, device_list(devices, naming(ids, environment))},
      {kVariables.device_order,
       env_setting(environment, kVariables.device_order).value_or(kVariables.pci_order)},
      {env::kIndices, device_list(devices, Ids::index)},
      {env::kUuids, device_list(devices, Ids::uuid)},
      {env::kClaim, std::to_string(claim)},
  };
}

std::vector<std::string> job_environment(const char* const* environment,
                                         const std::vector<Device>& devices, Ids ids,
                                         Ticket claim) {
  const auto set = job_variables(environment, devices, ids, claim);
  std::vector<std::string> result;
  for (; *environment != nullptr; ++environment) {
    bool replaced = false;
    for (const auto& [name, value] : set) replaced = replaced || is_assignment(*environment, name);
    if (!replaced) result.emplace_back(*environment);
  }
  for (const auto& [name, value] : set) {
    result.push_back(name);
    result.back().append("=").append(value);
  }
  return result;
}

}  // namespace gpu_gate
