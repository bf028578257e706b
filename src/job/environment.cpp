#include "job/environment.h"

#include <algorithm>
#include <string_view>

#include "base/env.h"
#include "gpu/vendor.h"

namespace gpu_gate {
namespace {

/// All devices of a job are of one vendor.
Vendor vendor_of(const JobDevices& job) {
  return job.devices.empty() ? Vendor::nvidia : job.devices.front().vendor;
}

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

Ids naming(const JobDevices& job, const char* const* environment) {
  const VendorVariables names = variables_of(vendor_of(job));
  if (names.device_order == nullptr) return Ids::uuid;
  const auto order = env_setting(environment, names.device_order);
  return order && *order != names.pci_order ? Ids::uuid : job.ids;
}

std::vector<std::pair<std::string, std::string>> job_variables(const char* const* environment,
                                                               const JobDevices& job) {
  const VendorVariables names = variables_of(vendor_of(job));
  std::vector<std::pair<std::string, std::string>> variables{
      {names.visible_devices, runtime_list(job.devices, naming(job, environment))}};
  if (names.device_order != nullptr) {
    variables.emplace_back(names.device_order,
                           env_setting(environment, names.device_order).value_or(names.pci_order));
  }
  variables.emplace_back(env::kIndices, device_list(job.devices, Ids::index));
  variables.emplace_back(env::kUuids, device_list(job.devices, Ids::uuid));
  variables.emplace_back(env::kClaim, std::to_string(job.claim));
  if (job.share_mib) variables.emplace_back(env::kShareMb, std::to_string(*job.share_mib));
  if (const std::string fraction = share_fraction(job); !fraction.empty()) {
    variables.emplace_back(env::kShareFraction, fraction);
  }
  return variables;
}

std::vector<std::string> untrue_variables(const char* const* environment, const JobDevices& job) {
  const auto variables = job_variables(environment, job);
  std::vector<std::string> names;
  const auto [hip, cuda] = variables_of(vendor_of(job)).within;
  for (const char* name : {hip, cuda, env::kShareMb, env::kShareFraction}) {
    if (name == nullptr) continue;
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
