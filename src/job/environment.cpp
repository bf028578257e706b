#include "job/environment.h"

#include <algorithm>
#include <string_view>

#include "base/env.h"
#include "gpu/vendor.h"

namespace gpu_gate {
namespace {

constexpr VendorVariables kVariables = variables_of(Vendor::nvidia);

bool is_assignment(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

/// "0.173": the share's part of the smallest device, rounded down to thousandths; "" where it
/// cannot be told.
std::string share_fraction(const JobDevices& job) {
  if (!job.share_mib || job.devices.empty()) return "";
  const auto smallest = std::min_element(
      job.devices.begin(), job.devices.end(),
      [](const Device& a, const Device& b) { return a.memory_total_mib < b.memory_total_mib; });
  const std::int64_t total = smallest->memory_total_mib;
  if (total <= 0) return "";
  if (*job.share_mib >= total) return "1.000";
  const std::string digits = std::to_string(1000 + *job.share_mib * 1000 / total);
  return "0." + digits.substr(1);
}

}  // namespace

Ids naming(Ids asked, const char* const* environment) {
  const auto order = env_setting(environment, kVariables.device_order);
  return order && *order != kVariables.pci_order ? Ids::uuid : asked;
}

std::vector<std::pair<std::string, std::string>> job_variables(const char* const* environment,
                                                               const JobDevices& job) {
  std::vector<std::pair<std::string, std::string>> variables{
      {kVariables.visible_devices, runtime_list(job.devices, naming(job.ids, environment))},
      {kVariables.device_order,
       env_setting(environment, kVariables.device_order).value_or(kVariables.pci_order)},
      {env::kIndices, device_list(job.devices, Ids::index)},
      {env::kUuids, device_list(job.devices, Ids::uuid)},
      {env::kClaim, std::to_string(job.claim)},
  };
  if (job.share_mib) variables.emplace_back(env::kShareMb, std::to_string(*job.share_mib));
  if (const std::string fraction = share_fraction(job); !fraction.empty()) {
    variables.emplace_back(env::kShareFraction, fraction);
  }
  return variables;
}

std::vector<std::string> untrue_variables(const char* const* environment, const JobDevices& job) {
  const auto variables = job_variables(environment, job);
  std::vector<std::string> names;
  for (const char* name : {env::kShareMb, env::kShareFraction}) {
    const bool set = std::any_of(variables.begin(), variables.end(),
                                 [&](const auto& variable) { return variable.first == name; });
    if (!set && env_variable(environment, name)) names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> job_environment(const char* const* environment, const JobDevices& job) {
  const auto set = job_variables(environment, job);
  const std::vector<std::string> untrue = untrue_variables(environment, job);
  std::vector<std::string> result;
  for (; *environment != nullptr; ++environment) {
    const auto assigns = [&](const std::string& name) { return is_assignment(*environment, name); };
    const bool replaced =
        std::any_of(set.begin(), set.end(), [&](const auto& each) { return assigns(each.first); });
    if (!replaced && std::none_of(untrue.begin(), untrue.end(), assigns)) {
      result.emplace_back(*environment);
    }
  }
  for (const auto& [name, value] : set) {
    result.push_back(name);
    result.back().append("=").append(value);
  }
  return result;
}

}  // namespace gpu_gate
