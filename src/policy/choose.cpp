#include "policy/choose.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "policy/fit.h"
#include "policy/linked_set.h"
#include "policy/together.h"

namespace gpu_gate {
namespace {

/// By what a device is ranked; lower is better.
auto rank(const Choice& choice, std::size_t position) {
  constexpr int kUnknown = 101;  // percent
  const Device& device = choice.snapshot.devices[position];
  const Occupancy& occupancy = choice.occupancy[position];
  const bool share = choice.criteria.share_mib.has_value();
  return std::make_tuple(wants_care(device), share && !occupancy.shared,
                         share ? room_mib(device, occupancy) : -device.memory_free_mib,
                         device.utilization_pct.value_or(kUnknown), device.index, position);
}

void sort_by_rank(std::vector<std::size_t>& devices, const Choice& choice) {
  std::sort(devices.begin(), devices.end(),
            [&](std::size_t a, std::size_t b) { return rank(choice, a) < rank(choice, b); });
}

/// Those of the devices, the best first, that are as good as the first `count` of them: these, and
/// whatever has as much memory free as the one with least of them, but for 2 % of all that it has,
/// and is at most 10 points busier than the last of them.
std::vector<std::size_t> equals(const std::vector<std::size_t>& ranked, std::size_t count,
                                const Choice& choice) {
  constexpr int kBusierPoints = 10;
  constexpr std::int64_t kOfMemory = 50;  // a fiftieth
  if (count == 0 || ranked.size() <= count || choice.criteria.share_mib) return {};
  const std::vector<Device>& devices = choice.snapshot.devices;
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(count);
  const std::size_t least = *std::min_element(ranked.begin(), end, [&](auto a, auto b) {
    return devices[a].memory_free_mib < devices[b].memory_free_mib;
  });
  const std::int64_t least_mib = devices[least].memory_free_mib;
  const std::optional<int> busy_pct = devices[*(end - 1)].utilization_pct;
  std::vector<std::size_t> list(ranked.begin(), end);
  std::copy_if(end, ranked.end(), std::back_inserter(list), [&](std::size_t position) {
    const Device& device = devices[position];
    const bool busier = busy_pct && device.utilization_pct.value_or(0) > *busy_pct + kBusierPoints;
    return !busier && device.memory_free_mib >= least_mib - device.memory_total_mib / kOfMemory;
  });
  return list;
}

/// The best of the candidates, which may be had together.
std::vector<std::size_t> best_of(std::vector<std::size_t> candidates, const Choice& choice) {
  const auto count = static_cast<std::size_t>(choice.criteria.count);
  sort_by_rank(candidates, choice);
  if (choice.snapshot.links.known()) {
    const std::vector<std::size_t> alike = equals(candidates, count, choice);
    if (alike.size() > count) {
      candidates = best_linked_set(alike, candidates, count, choice.snapshot);
      sort_by_rank(candidates, choice);
    }
  }
  candidates.resize(count);
  return candidates;
}

}  // namespace

std::vector<std::size_t> choose(const std::vector<std::size_t>& candidates, const Choice& choice) {
  const int count = choice.criteria.count;
  std::vector<std::size_t> best;
  for (auto& group : together(candidates, count, choice.snapshot)) {
    if (group.size() < static_cast<std::size_t>(count)) continue;
    std::vector<std::size_t> set = best_of(std::move(group), choice);
    const auto better = [&](std::size_t a, std::size_t b) {
      return rank(choice, a) < rank(choice, b);
    };
    if (best.empty() ||
        std::lexicographical_compare(set.begin(), set.end(), best.begin(), best.end(), better)) {
      best = std::move(set);
    }
  }
  std::sort(best.begin(), best.end());
  return best;
}

bool links_matter(const Snapshot& snapshot, const std::vector<Occupancy>& occupancy,
                  const Request& request) {
  std::vector<std::size_t> usable;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    if (fit(snapshot.devices[i], request, occupancy[i]) == Fit::usable) usable.push_back(i);
  }
  const Choice choice{.snapshot = snapshot, .occupancy = occupancy, .criteria = request.criteria};
  const auto count = static_cast<std::size_t>(request.criteria.count);
  sort_by_rank(usable, choice);
  const auto groups = together(usable, request.criteria.count, snapshot);
  return std::any_of(groups.begin(), groups.end(), [&](const auto& group) {
    return equals(group, count, choice).size() > count;
  });
}

}  // namespace gpu_gate
