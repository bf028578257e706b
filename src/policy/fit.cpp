#include "policy/fit.h"

#include <algorithm>
#include <iterator>

#include "policy/together.h"

namespace gpu_gate {
namespace {

/// What the driver may have reserved of the memory that is said to be in use, where it does not
/// tell the two apart: up to a fiftieth of the device (0.8 % of 80 GB, 1.3 % of 46 GB, 2 % of 24 GB
/// were seen).
std::int64_t hidden_reserve_mib(const Device& device) {
  return device.memory_reserved_mib ? 0 : device.memory_total_mib / 50;
}

/// Is what is in use of its memory in use on it?
bool tells_who_uses_memory(const Device& device) {
  return !device.shares_system_memory && device.memory_sharers == 1;
}

bool computes(const GpuProcess& process) { return !process.graphics && !process.mps_server; }

std::int64_t graphics_mib(const Device& device) {
  std::int64_t mib = 0;
  for (const GpuProcess& process : device.processes) {
    if (process.graphics) mib += process.memory_mib.value_or(0);
  }
  return mib;
}

bool is_barred(const Device& device, const Request& request) {
  const auto names_it = [&](const std::vector<std::string>& uuids) {
    return std::find(uuids.begin(), uuids.end(), device.uuid) != uuids.end();
  };
  return names_it(request.barred) || (request.allowed && !names_it(*request.allowed));
}

bool is_own(const GpuProcess& process, const Request& request) {
  return request.own &&
         std::find(request.own->begin(), request.own->end(), process.pid) != request.own->end();
}

/// What the request's own processes have of the device's memory; nothing where the driver does not
/// tell.
std::optional<std::int64_t> own_mib(const Device& device, const Request& request) {
  std::int64_t mib = 0;
  for (const GpuProcess& process : device.processes) {
    if (!is_own(process, request) || process.graphics) continue;
    if (!process.memory_mib) return std::nullopt;
    mib += *process.memory_mib;
  }
  return mib;
}

/// With neither memory nor utilisation asked for, nobody else may be on the device. Inside a claim
/// the device is the job's own, so what runs there already is no stranger.
Fit idle_fit(const Device& device, const Request& request) {
  if (request.within != 0) return Fit::usable;
  if (!strangers(device, request).empty()) return Fit::occupied;
  const auto own = own_mib(device, request);
  if (!own || !tells_who_uses_memory(device)) return Fit::usable;
  return device.memory_used_mib - graphics_mib(device) - *own >
                 kIdleMemoryMib + hidden_reserve_mib(device)
             ? Fit::memory_held
             : Fit::usable;
}

}  // namespace

std::vector<GpuProcess> occupants(const Device& device) {
  const bool is_rendering = graphics_mib(device) > kDesktopMemoryMib;
  std::vector<GpuProcess> list;
  std::copy_if(device.processes.begin(), device.processes.end(), std::back_inserter(list),
               [&](const GpuProcess& process) {
                 return computes(process) || (process.graphics && is_rendering);
               });
  return list;
}

std::vector<GpuProcess> strangers(const Device& device, const Request& request) {
  std::vector<GpuProcess> list = occupants(device);
  std::erase_if(list, [&](const GpuProcess& process) { return is_own(process, request); });
  return list;
}

std::int64_t unowned_mib(const Device& device) {
  std::int64_t mib = device.memory_used_mib;
  for (const GpuProcess& process : device.processes) mib -= process.memory_mib.value_or(0);
  return mib;
}

bool has_unowned_memory(const Device& device) {
  const bool told = std::all_of(device.processes.begin(), device.processes.end(),
                                [](const GpuProcess& p) { return p.memory_mib.has_value(); });
  return told && tells_who_uses_memory(device) &&
         unowned_mib(device) > kIdleMemoryMib + hidden_reserve_mib(device);
}

bool could_ever(Fit fit) {
  return fit != Fit::not_allowed && fit != Fit::mig && fit != Fit::too_small &&
         fit != Fit::size_unknown && fit != Fit::shared_memory;
}

bool needs_time(Fit fit) {
  return fit == Fit::memory_held || fit == Fit::memory_low || fit == Fit::room_low ||
         fit == Fit::busy || fit == Fit::occupied;
}

std::int64_t memory_asked_mib(const Criteria& criteria) {
  return std::max(criteria.min_free_mib.value_or(0), criteria.share_mib.value_or(0));
}

std::optional<std::int64_t> most_mib(const Device& device, const Request& request) {
  if (request.outer_share_mib) return request.outer_share_mib;
  if (device.memory_total_mib <= 0) return std::nullopt;
  return usable_mib(device);
}

Fit fit(const Device& device, const Request& request, const Occupancy& occupancy) {
  const Criteria& criteria = request.criteria;
  if (is_barred(device, request)) return Fit::not_allowed;
  if (device.health == Health::mig) return Fit::mig;
  // (Claims on one of them do not tell what is promised of the others.)
  if (criteria.share_mib && device.memory_sharers > 1) return Fit::shared_memory;
  const auto most = most_mib(device, request);
  if (most && memory_asked_mib(criteria) > *most) return Fit::too_small;
  if (device.health != Health::ok) return Fit::unhealthy;
  if (!most && memory_asked_mib(criteria) > 0) return Fit::size_unknown;
  if (occupancy.whole || (occupancy.shared && (!criteria.share_mib || device.exclusive))) {
    return Fit::claimed;
  }
  const auto excludes = [&](const GpuProcess& process) {
    return computes(process) && !is_own(process, request);
  };
  if (device.exclusive && std::any_of(device.processes.begin(), device.processes.end(), excludes)) {
    return Fit::occupied;
  }
  const bool by_use = !criteria.share_mib && !criteria.min_free_mib && !criteria.max_util_pct;
  if (by_use) return idle_fit(device, request);
  const std::int64_t own = own_mib(device, request).value_or(0);
  if (criteria.share_mib && room_mib(device, occupancy) + own < *criteria.share_mib) {
    return Fit::room_low;
  }
  if (criteria.min_free_mib && device.memory_free_mib < *criteria.min_free_mib) {
    return Fit::memory_low;
  }
  if (criteria.max_util_pct && device.utilization_pct.value_or(0) > *criteria.max_util_pct) {
    return Fit::busy;
  }
  return Fit::usable;
}

int could_ever_count(const Snapshot& snapshot, const std::vector<Barred>& barred,
                     const Request& request) {
  std::vector<std::size_t> possible;
  std::vector<std::size_t> of_known_size;
  bool any_too_small = false;
  for (std::size_t i = 0; i < barred.size(); ++i) {
    if (barred[i] != Barred::no) continue;
    const Fit f = fit(snapshot.devices[i], request, {});
    any_too_small = any_too_small || f == Fit::too_small;
    if (!could_ever(f)) continue;
    possible.push_back(i);
    if (snapshot.devices[i].memory_total_mib > 0) of_known_size.push_back(i);
  }
  if (of_known_size.empty() && any_too_small) return 0;
  return static_cast<int>(most_together(possible, request.criteria.count, snapshot));
}

}  // namespace gpu_gate
