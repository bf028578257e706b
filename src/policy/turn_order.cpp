#include "policy/turn_order.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "policy/occupancy.h"

namespace gpu_gate {

namespace {

/// The part of a device that a share is; all of it where that cannot be told.
Amount part(const std::optional<std::int64_t>& share_mib, std::int64_t device_mib) {
  if (!share_mib || *share_mib >= device_mib) return kWholeGpu;
  return std::max<Amount>(1, *share_mib * kWholeGpu / device_mib);
}

}  // namespace

CardSizes card_sizes(const Snapshot& snapshot, const std::vector<Claim>& claims) {
  CardSizes sizes;
  for (const Device& device : snapshot.devices) {
    if (device.memory_total_mib <= 0) continue;
    sizes.largest = std::max(sizes.largest, device.memory_total_mib);
    const bool shared = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
      return claim.share_mib && claim.uuid == device.uuid;
    });
    if (shared) sizes.mib[device.uuid] = device.memory_total_mib;
  }
  return sizes;
}

Holdings holdings(const std::vector<Claim>& claims, const CardSizes& sizes) {
  Holdings held;
  for (const Claim& claim : claims) {
    const bool is_part = claim.within != 0 &&
                         std::any_of(claims.begin(), claims.end(),
                                     [&](const Claim& outer) { return is_outer_of(outer, claim); });
    if (is_part) continue;
    const auto size = sizes.mib.find(claim.uuid);
    held[claim.uid] += part(claim.share_mib, size == sizes.mib.end() ? 0 : size->second);
  }
  return held;
}

Amount amount_of(const Criteria& criteria, const CardSizes& sizes) {
  return part(criteria.share_mib, sizes.largest) * criteria.count;
}

TurnOrder::TurnOrder(TurnRule rule, const LastTurns& last_turns, const std::vector<Queued>& line)
    : rule_(std::move(rule)) {
  for (const Queued& queued : line) {
    const auto [user, is_new] = users_.try_emplace(queued.uid);
    if (is_new) {
      user->second.held = rule_.held[queued.uid];
      const auto last = last_turns.find(queued.uid);
      user->second.last_turn = last == last_turns.end() ? 0 : last->second;
    }
    user->second.waiting.push_back(queued.ticket);
  }
}

std::optional<Queued> TurnOrder::next() {
  named_.reset();
  for (;;) {
    std::tuple<Amount, Ticket, Ticket> least;
    for (const auto& [uid, user] : users_) {
      if (user.at == user.waiting.size()) continue;
      const Ticket ticket = user.waiting[user.at];
      const auto rank = rule_.order == LineOrder::turns
                            ? std::make_tuple(user.held, std::max(ticket, user.last_turn), ticket)
                            : std::make_tuple(Amount{0}, ticket, ticket);
      if (named_ && least < rank) continue;
      least = rank;
      named_ = {.ticket = ticket, .uid = uid};
    }
    if (named_) {
      ++users_[named_->uid].at;
      return named_;
    }
    if (std::exchange(nice_, true)) return std::nullopt;
    for (auto& [uid, user] : users_) {
      user.waiting = std::move(user.nice);
      user.at = 0;
    }
  }
}

bool TurnOrder::put(const Criteria& criteria) {
  User& user = users_[named_->uid];
  if (criteria.nice && !nice_) {
    user.nice.push_back(named_->ticket);
    return false;
  }
  user.held += amount_of(criteria, rule_.sizes);
  return true;
}

}  // namespace gpu_gate
