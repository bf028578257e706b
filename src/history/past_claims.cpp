#include "history/past_claims.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "gpu/amd.h"

namespace gpu_gate {
namespace {

/// Moments, ascending.
using Moments = std::vector<std::int64_t>;

/// The first that is later.
std::optional<std::int64_t> first_after(const Moments& moments, std::int64_t time) {
  const auto later = std::upper_bound(moments.begin(), moments.end(), time);
  return later == moments.end() ? std::nullopt : std::optional(*later);
}

/// When a device was claimed by others than parts of its jobs.
struct Begins {
  Moments all;
  Moments whole;  // not as a share
};

/// What tells of the end of a claim besides its own line.
class Traces {
 public:
  Traces(const std::vector<HistoryEntry>& entries, const Present& present) : present_(present) {
    boots_[present.boot.id] = present.boot.began_ms;
    for (const HistoryEntry& entry : entries) {
      const auto [boot, is_new] = boots_.try_emplace(entry.boot, entry.booted_ms);
      if (!is_new) boot->second = std::min(boot->second, entry.booted_ms);
      if (entry.within != 0) continue;
      for (const PastDevice& device : entry.devices) {
        Begins& begins = begins_[device.uuid];
        begins.all.push_back(entry.begin_ms);
        if (!entry.share_mib) begins.whole.push_back(entry.begin_ms);
      }
    }
    for (auto& [uuid, begins] : begins_) {
      std::sort(begins.all.begin(), begins.all.end());
      std::sort(begins.whole.begin(), begins.whole.end());
    }
    for (const auto& [id, began_ms] : boots_) booted_.emplace_back(began_ms, id);
    std::sort(booted_.begin(), booted_.end());
  }

  /// When the claim had ended at the latest.
  std::int64_t end_of(const HistoryEntry& entry) const {
    std::int64_t end = std::max(present_.now_ms, entry.begin_ms);
    if (const auto next = next_claim(entry)) end = std::min(end, *next);
    auto boot =
        std::upper_bound(booted_.begin(), booted_.end(), entry.begin_ms,
                         [](std::int64_t time, const auto& each) { return time < each.first; });
    if (boot != booted_.end() && boot->second == entry.boot) ++boot;
    return boot == booted_.end() ? end : std::min(end, boot->first);
  }

  /// The end that was written down: on a busy machine a little later than it was.
  std::int64_t without_delay(const HistoryEntry& entry) const {
    constexpr std::int64_t kMostDelayMs = 2000;
    const std::optional<std::int64_t> next = next_claim(entry);
    const bool is_late = next && *next < *entry.end_ms && *entry.end_ms - *next <= kMostDelayMs;
    return is_late ? *next : *entry.end_ms;
  }

 private:
  /// When another claim began on one of its devices, for which it must have ended.
  std::optional<std::int64_t> next_claim(const HistoryEntry& entry) const {
    std::optional<std::int64_t> next;
    if (entry.within != 0) return next;
    for (const PastDevice& device : entry.devices) {
      const auto begins = begins_.find(device.uuid);
      if (begins == begins_.end()) continue;
      // Beside a share there may be others; only who has all of it comes after all of them.
      const Begins& of_device = begins->second;
      const auto later =
          first_after(entry.share_mib ? of_device.whole : of_device.all, entry.begin_ms);
      if (later) next = std::min(next.value_or(*later), *later);
    }
    return next;
  }

  const Present& present_;
  std::map<std::string, Begins> begins_;                      // by UUID
  std::map<std::string, std::int64_t> boots_;                 // when they began, by their id
  std::vector<std::pair<std::int64_t, std::string>> booted_;  // the same, ascending
};

/// Marks those that are a part of another one here: of the same user's, or root's.
void mark_parts(std::vector<PastClaim>& claims) {
  std::set<std::pair<std::uint64_t, uid_t>> tickets;
  for (const PastClaim& claim : claims) tickets.emplace(claim.entry.claim, claim.entry.uid);
  for (PastClaim& claim : claims) {
    const std::uint64_t outer = claim.entry.within;
    claim.inside = outer != 0 && (tickets.contains({outer, claim.entry.uid}) ||
                                  tickets.contains({outer, uid_t{0}}));
  }
}

/// Adds up what spans have together, each moment once. They come by begin.
class Union {
 public:
  void add(const Span& span) {
    const std::int64_t from = std::max(span.from_ms, until_);
    if (span.to_ms > from) sum_ += span.to_ms - from;
    until_ = std::max(until_, span.to_ms);
  }
  std::int64_t sum_ms() const { return sum_; }

 private:
  std::int64_t sum_ = 0;
  std::int64_t until_ = 0;
};

/// What a device is called, for sorting: whose it is, its card's number, its own.
using Label = std::tuple<bool, int, int>;

Label label_of(const PastDevice& device) {
  const std::string& text = device.label;
  const std::size_t colon = std::min(text.find(':'), text.size());
  int card = -1;
  int instance = -1;
  std::from_chars(text.data(), text.data() + colon, card);
  if (colon < text.size()) {
    std::from_chars(text.data() + colon + 1, text.data() + text.size(), instance);
  }
  return {is_amd_uuid(device.uuid), card, instance};
}

std::int64_t median(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

}  // namespace

std::vector<PastClaim> past_claims(std::vector<HistoryEntry> entries, const Present& present) {
  const Traces traces(entries, present);
  std::vector<PastClaim> claims;
  claims.reserve(entries.size());
  for (HistoryEntry& entry : entries) {
    PastClaim claim{.entry = std::move(entry)};
    const bool lives =
        !claim.entry.end_ms && claim.entry.boot == present.boot.id && present.lives(claim.entry);
    if (claim.entry.end_ms) {
      claim.entry.end_ms = traces.without_delay(claim.entry);
    } else if (!lives) {
      claim.entry.end_ms = traces.end_of(claim.entry);
      claim.at_latest = true;
    }
    claims.push_back(std::move(claim));
  }
  mark_parts(claims);
  std::sort(claims.begin(), claims.end(), [](const PastClaim& a, const PastClaim& b) {
    return std::tie(a.entry.begin_ms, a.entry.claim) < std::tie(b.entry.begin_ms, b.entry.claim);
  });
  return claims;
}

Span span_of(const PastClaim& claim, std::int64_t now_ms) {
  const std::int64_t from = claim.entry.begin_ms;
  return {.from_ms = from, .to_ms = std::max(from, claim.entry.end_ms.value_or(now_ms))};
}

std::optional<Span> within(const Span& claim, const Span& span) {
  if (claim.from_ms >= span.to_ms || claim.to_ms < span.from_ms) return std::nullopt;
  return Span{.from_ms = std::max(claim.from_ms, span.from_ms),
              .to_ms = std::min(claim.to_ms, span.to_ms)};
}

std::vector<PastDevice> known_devices(const std::vector<PastClaim>& claims,
                                      const std::vector<PastClaim>& all) {
  std::map<Label, PastDevice> last;           // by what they are called
  std::map<std::string, PastDevice> of_uuid;  // as they were called last
  for (const PastClaim& claim : all) {
    for (const PastDevice& device : claim.entry.devices) {
      last[label_of(device)] = device;
      of_uuid[device.uuid] = device;
    }
  }
  std::set<std::string> uuids;
  for (const auto& [label, device] : last) uuids.insert(device.uuid);
  for (const PastClaim& claim : claims) {
    for (const PastDevice& device : claim.entry.devices) uuids.insert(device.uuid);
  }
  std::vector<PastDevice> devices;
  devices.reserve(uuids.size());
  for (const std::string& uuid : uuids) devices.push_back(of_uuid[uuid]);
  std::sort(devices.begin(), devices.end(), [](const PastDevice& a, const PastDevice& b) {
    return std::make_pair(label_of(a), a.uuid) < std::make_pair(label_of(b), b.uuid);
  });
  return devices;
}

HistoryUse use_in(const Span& span, const std::vector<PastClaim>& claims,
                  const std::vector<PastClaim>& all, std::int64_t now_ms) {
  std::map<uid_t, UserUse> users;
  std::map<uid_t, std::vector<std::int64_t>> waits;
  std::map<std::string, Union> claimed;  // by UUID
  for (const PastClaim& claim : claims) {
    const std::optional<Span> part = within(span_of(claim, now_ms), span);
    if (!part || claim.inside) continue;
    UserUse& user =
        users.try_emplace(claim.entry.uid, UserUse{.uid = claim.entry.uid}).first->second;
    ++user.jobs;
    waits[claim.entry.uid].push_back(claim.entry.waited_ms);
    for (const PastDevice& device : claim.entry.devices) {
      user.gpu_ms +=
          static_cast<double>(part->length_ms()) * static_cast<double>(device.thousandths) / 1000;
      claimed[device.uuid].add(*part);
    }
  }
  HistoryUse use;
  for (auto& [uid, user] : users) {
    user.median_wait_ms = median(waits[uid]);
    use.users.push_back(user);
  }
  std::sort(use.users.begin(), use.users.end(), [](const UserUse& a, const UserUse& b) {
    return std::tie(b.gpu_ms, a.uid) < std::tie(a.gpu_ms, b.uid);
  });
  std::set<std::pair<bool, int>> cards;
  for (PastDevice& device : known_devices(claims, all)) {
    const auto [is_amd, card, instance] = label_of(device);
    cards.emplace(is_amd, card);
    const std::int64_t claimed_ms = claimed[device.uuid].sum_ms();
    use.devices.push_back({.device = std::move(device), .claimed_ms = claimed_ms});
  }
  use.cards = cards.size();
  return use;
}

}  // namespace gpu_gate
