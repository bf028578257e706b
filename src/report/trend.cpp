#include "report/trend.h"

#include <algorithm>
#include <utility>

namespace gpu_gate {
namespace {

constexpr std::size_t kMostSteps = 120;

std::optional<int> used_part(const Device& device) {
  if (device.memory_total_mib <= 0) return std::nullopt;
  return static_cast<int>(
      std::clamp<std::int64_t>(device.memory_used_mib * 100 / device.memory_total_mib, 0, 100));
}

}  // namespace

void Trends::note(const Board& board, Clock::time_point now) {
  now_ = now.time_since_epoch() / step_;
  std::map<std::string, std::deque<Sum>> devices;
  for (const BoardRow& row : board.rows) {
    const Device& device = row.device;
    std::deque<Sum>& sums = devices[device.uuid] = std::move(devices_[device.uuid]);
    if (sums.empty() || sums.back().step != now_) sums.push_back({.step = now_, .used_pct = {}});
    if (sums.size() > kMostSteps) sums.pop_front();
    Sum& sum = sums.back();
    if (device.health == Health::unreadable) continue;
    sum.used_pct = used_part(device);
    if (!device.utilization_pct) continue;
    sum.busy_pct += *device.utilization_pct;
    ++sum.looks;
  }
  devices_ = std::move(devices);
}

std::vector<TrendStep> Trends::last(const std::string& uuid, std::size_t count) const {
  std::vector<TrendStep> steps(count);
  const auto device = devices_.find(uuid);
  if (device == devices_.end()) return steps;
  for (const Sum& sum : device->second) {
    const std::int64_t at = sum.step - now_ + static_cast<std::int64_t>(count) - 1;
    if (at < 0 || at >= static_cast<std::int64_t>(count)) continue;
    TrendStep& step = steps[static_cast<std::size_t>(at)];
    if (sum.looks > 0) step.busy_pct = sum.busy_pct / sum.looks;
    step.used_pct = sum.used_pct;
  }
  return steps;
}

}  // namespace gpu_gate
