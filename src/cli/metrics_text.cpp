#include "cli/metrics_text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cli/text.h"

namespace gpu_gate {
namespace {

using Labels = std::vector<std::pair<const char*, std::string>>;

/// A label's value: a name that others have chosen, as UTF-8 and in one line.
std::string label_value(const std::string& text) {
  std::string value;
  for (const char c : printable(text)) {
    if (c == '\\' || c == '"') value += '\\';
    value += c;
  }
  return value;
}

/// 173 thousandths as "0.173", 1000 as "1".
std::string decimal_of(Amount thousandths) {
  std::string text = fmt::format("{}.{:03}", thousandths / kWholeGpu, thousandths % kWholeGpu);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string bytes_of(std::int64_t mib) { return std::to_string(mib * 1024 * 1024); }

/// One metric with all its samples; none, not even its name, where there are no samples.
class Family {
 public:
  Family(const char* name, const char* help) : name_(name), help_(help) {}

  /// A label without a value is left out: to Prometheus it is the same.
  void add(const Labels& labels, const std::string& value) {
    std::string list;
    for (const auto& [label, text] : labels) {
      if (text.empty()) continue;
      list += fmt::format("{}{}=\"{}\"", list.empty() ? "" : ",", label, label_value(text));
    }
    samples_ += fmt::format("gpu_gate_{}{{{}}} {}\n", name_, list, value);
  }

  std::string text() const {
    if (samples_.empty()) return "";
    return fmt::format("# HELP gpu_gate_{0} {1}\n# TYPE gpu_gate_{0} gauge\n", name_, help_) +
           samples_;
  }

 private:
  const char* name_;
  const char* help_;
  std::string samples_;
};

Labels labels_of(const Device& device) {
  return {
      {"gpu", device.index < 0 ? "" : label(device)}, {"uuid", device.uuid}, {"name", device.name}};
}

std::string gpu_families(const Board& board) {
  Family total("gpu_memory_total_bytes", "Memory of the GPU.");
  Family used("gpu_memory_used_bytes", "Memory in use, without what the driver reserves.");
  Family free("gpu_memory_free_bytes", "Memory that is free.");
  Family busy("gpu_utilization_ratio", "How busy the GPU is, from 0 to 1.");
  Family healthy("gpu_healthy",
                 "1 if the GPU can be used, 0 if it is lost, waits for a reset, is "
                 "in compute mode PROHIBITED or cannot be read.");
  for (const BoardRow& row : board.rows) {
    const Device& device = row.device;
    const Labels labels = labels_of(device);
    if (device.memory_total_mib > 0) {
      total.add(labels, bytes_of(device.memory_total_mib));
      used.add(labels, bytes_of(device.memory_used_mib));
      free.add(labels, bytes_of(device.memory_free_mib));
    }
    if (device.utilization_pct) {
      busy.add(labels, decimal_of(*device.utilization_pct * kWholeGpu / 100));
    }
    const bool told =
        board.devices_read && (device.health != Health::unreadable || device.accessible);
    const bool works = device.health == Health::ok || device.health == Health::mig;
    if (told) healthy.add(labels, works ? "1" : "0");
  }
  return total.text() + used.text() + free.text() + busy.text() + healthy.text();
}

/// So much of this device; nothing where it is a share of unknown size.
std::optional<Amount> claimed_of(const Device& device, const Claimant& claimant) {
  if (!claimant.share_mib) return kWholeGpu;
  if (device.memory_total_mib <= 0) return std::nullopt;
  return std::clamp<Amount>(*claimant.share_mib * kWholeGpu / device.memory_total_mib, 1,
                            kWholeGpu);
}

std::string claim_families(const Board& board) {
  Family claimed("gpu_claimed", "1 for the user who has the GPU, or the part of a share.");
  Family held("claimed_gpus", "GPUs that the user holds, a share as its part.");
  std::set<uid_t> unknown;  // how much they hold cannot be told
  for (const BoardRow& row : board.rows) {
    std::map<std::string, Amount> of_users;
    for (const BoardClaim& claim : row.claims) {
      if (claim.inside) continue;
      const std::optional<Amount> part = claimed_of(row.device, claim.claimant);
      if (part) {
        of_users[claim.claimant.user] += *part;
      } else {
        unknown.insert(claim.claimant.uid);
      }
    }
    for (const auto& [user, amount] : of_users) {
      Labels labels = labels_of(row.device);
      labels.emplace_back("user", user);
      claimed.add(labels, decimal_of(std::min(amount, kWholeGpu)));
    }
  }
  for (const BoardHolder& holder : board.holders) {
    if (!unknown.contains(holder.uid)) held.add({{"user", holder.user}}, decimal_of(holder.held));
  }
  return claimed.text() + held.text();
}

std::string line_families(const Board& board, std::int64_t now) {
  struct Sum {
    int requests = 0;
    Amount gpus = 0;
    std::optional<std::int64_t> longest;  // seconds
  };
  std::map<std::string, Sum> of_users;
  for (const BoardWaiter& waiter : board.waiters) {
    Sum& sum = of_users[waiter.user];
    ++sum.requests;
    Criteria criteria = waiter.record.request.criteria;
    if (criteria.count == kEveryDevice) criteria.count = static_cast<int>(board.rows.size());
    sum.gpus += amount_of(criteria, board.sizes);
    const std::int64_t since = waiter.record.owner.since;
    if (since > 0) sum.longest = std::max({sum.longest.value_or(0), now - since});
  }
  Family requests("waiting_requests", "Requests of the user in line.");
  Family gpus("waiting_gpus", "GPUs that these ask for, a share as its part.");
  Family longest("longest_wait_seconds", "How long the oldest of them has waited.");
  for (const auto& [user, sum] : of_users) {
    const Labels labels{{"user", user}};
    requests.add(labels, std::to_string(sum.requests));
    gpus.add(labels, decimal_of(sum.gpus));
    if (sum.longest) longest.add(labels, std::to_string(*sum.longest));
  }
  return requests.text() + gpus.text() + longest.text();
}

}  // namespace

std::string metrics_text(const Board& board, std::int64_t now) {
  return gpu_families(board) + claim_families(board) + line_families(board, now);
}

}  // namespace gpu_gate
