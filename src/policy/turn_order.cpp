#include "policy/turn_order.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace gpu_gate {

Holdings holdings(const std::vector<Claim>& claims) {
  Holdings held;
  for (const Claim& claim : claims) {
    const bool is_part =
        claim.within != 0 && std::any_of(claims.begin(), claims.end(), [&](const Claim& outer) {
          return outer.ticket == claim.within && outer.uuid == claim.uuid &&
                 (outer.uid == claim.uid || claim.uid == 0);
        });
    if (!is_part) held[claim.uid] += kWholeGpu;
  }
  return held;
}

TurnOrder::TurnOrder(LineOrder order, Holdings held, const LastTurns& last_turns,
                     const std::vector<Queued>& line)
    : order_(order) {
  for (const Queued& queued : line) {
    const auto [user, is_new] = users_.try_emplace(queued.uid);
    if (is_new) {
      user->second.held = held[queued.uid];
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
      const auto rank = order_ == LineOrder::turns
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
  user.held += kWholeGpu * criteria.count;
  return true;
}

}  // namespace gpu_gate
