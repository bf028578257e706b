#include "policy/turn_order.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "policy/occupancy.h"

namespace gpu_gate {

namespace {

/// So much of a card; all of it where that cannot be told.
Amount part(std::int64_t mib, std::int64_t card_mib) {
  if (mib >= card_mib) return kWholeGpu;
  return std::max<Amount>(1, mib * kWholeGpu / card_mib);
}

/// What instances have of a card, in MiB, where the driver does not tell how much that has.
std::int64_t of_instances_mib(const std::string& card_uuid, const Snapshot& snapshot) {
  std::int64_t mib = 0;
  for (const Device& device : snapshot.devices) {
    if (device.card_uuid == card_uuid) mib += device.memory_total_mib / device.memory_sharers;
  }
  return mib;
}

DeviceSize size_of(const Device& device, const Snapshot& snapshot) {
  if (!device.instance)
    return {.mib = device.memory_total_mib, .card_mib = device.memory_total_mib};
  const auto card = std::find_if(snapshot.devices.begin(), snapshot.devices.end(),
                                 [&](const Device& each) { return each.uuid == device.card_uuid; });
  const std::int64_t card_mib = card == snapshot.devices.end() ? 0 : card->memory_total_mib;
  return {.mib = device.memory_total_mib / device.memory_sharers,
          .card_mib = card_mib > 0 ? card_mib : of_instances_mib(device.card_uuid, snapshot)};
}

/// Can it be had as a whole?
bool is_whole_card(const Device& device) {
  return !device.instance && device.health != Health::mig;
}

}  // namespace

CardSizes card_sizes(const Snapshot& snapshot, const std::vector<Claim>& claims) {
  CardSizes sizes;
  const std::vector<Device>& devices = snapshot.devices;
  const bool any_card = std::any_of(devices.begin(), devices.end(), is_whole_card);
  Amount most_of_card = 0;
  for (const Device& device : devices) {
    if (device.memory_total_mib <= 0) continue;
    sizes.largest = std::max(sizes.largest, device.memory_total_mib);
    const bool counted = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
      return claim.uuid == device.uuid && (claim.share_mib || device.instance);
    });
    if (!counted && (any_card || !device.instance)) continue;
    const DeviceSize size = size_of(device, snapshot);
    if (counted) sizes.of[device.uuid] = size;
    if (device.instance) most_of_card = std::max(most_of_card, part(size.mib, size.card_mib));
  }
  if (!any_card && most_of_card > 0) sizes.most = most_of_card;
  return sizes;
}

Holdings holdings(const std::vector<Claim>& claims, const CardSizes& sizes) {
  Holdings held;
  for (const Claim& claim : claims) {
    const bool is_part = claim.within != 0 &&
                         std::any_of(claims.begin(), claims.end(),
                                     [&](const Claim& outer) { return is_outer_of(outer, claim); });
    if (is_part) continue;
    const auto size = sizes.of.find(claim.uuid);
    const DeviceSize of = size == sizes.of.end() ? DeviceSize{} : size->second;
    held[claim.uid] += part(std::min(claim.share_mib.value_or(of.mib), of.mib), of.card_mib);
  }
  return held;
}

Amount amount_of(const Criteria& criteria, const CardSizes& sizes) {
  const Amount of_each = criteria.share_mib ? part(*criteria.share_mib, sizes.largest) : sizes.most;
  return of_each * criteria.count;
}

Amount amount_on(const Device& device, const Criteria& criteria, const CardSizes& sizes,
                 const Snapshot& snapshot) {
  if (!device.instance) return amount_of(criteria, sizes) / criteria.count;
  return part_of_card(device, criteria, snapshot);
}

Amount part_of_card(const Device& device, const Criteria& criteria, const Snapshot& snapshot) {
  const DeviceSize size = size_of(device, snapshot);
  return part(std::min(criteria.share_mib.value_or(size.mib), size.mib), size.card_mib);
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
