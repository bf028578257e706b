#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "policy/claim.h"
#include "policy/criteria.h"
#include "policy/line_policy.h"

namespace gpu_gate {

/// GPUs, in thousandths: a part of one counts as that part.
using Amount = std::int64_t;
constexpr Amount kWholeGpu = 1000;

/// What each user holds: claims inside another one are a part of it.
using Holdings = std::map<uid_t, Amount>;

/// How much memory a device has, in MiB, and the card that it is, or is an instance of.
struct DeviceSize {
  std::int64_t mib = 0;
  std::int64_t card_mib = 0;
};

/// How much memory devices have, as far as it is known: a share counts as its part of a card, and
/// so does an instance.
struct CardSizes {
  std::map<std::string, DeviceSize> of;  // of those that a claim has not as a whole card, by UUID
  std::int64_t largest = 0;              // of all, in MiB; 0: of none is it known
  Amount most = kWholeGpu;               // of a card, that one device here is
};
CardSizes card_sizes(const Snapshot& snapshot, const std::vector<Claim>& claims);

/// What the users hold by these live claims.
Holdings holdings(const std::vector<Claim>& claims, const CardSizes& sizes);

/// What a request asks for. (It may get any device: each counts as the greatest part of a card that
/// one device is, and a share as a part of the largest.)
Amount amount_of(const Criteria& criteria, const CardSizes& sizes);

/// What it takes if it gets this device: of an instance the part of its card that it is, or asks
/// for; else the same for each.
Amount amount_on(const Device& device, const Criteria& criteria, const CardSizes& sizes,
                 const Snapshot& snapshot);

/// Which part of its card a request gets with this device; all of it where sizes are not known.
Amount part_of_card(const Device& device, const Criteria& criteria, const Snapshot& snapshot);

/// What the order of turns goes by, besides the line.
struct TurnRule {
  LineOrder order = LineOrder::turns;
  Holdings held;
  CardSizes sizes = {};
};

/// The last claim of each user who waits, also one that has ended.
using LastTurns = std::map<uid_t, Ticket>;

/// A waiter, as far as its place in line tells.
struct Queued {
  Ticket ticket = 0;
  uid_t uid = 0;
};

/// The order of turns among those who wait: first who does not ask with --nice, then the user who
/// holds least, then who has waited longest for a turn: since they came, or since their user's last
/// turn. (Else, of more users than GPUs, the last would wait until all that the others have in line
/// is done.) Each request that comes earlier in this order counts as held for those of the same
/// user behind it. The order depends on claims, last turns and the line, not on the GPUs.
///
/// It is drawn one by one, since what a waiter asks for stands in a file that is read only as far
/// as it matters: next() names a waiter, and put() says what it asks for. (One that is gone is not
/// put.) Pure.
class TurnOrder {
 public:
  /// `line`: by ticket.
  TurnOrder(TurnRule rule, const LastTurns& last_turns, const std::vector<Queued>& line);

  /// Whose request is to be read next; nothing at the end.
  std::optional<Queued> next();

  /// What the one last named asks for. True: this is its place in the order. False: it asks with
  /// --nice and is named again when all others have had their place.
  bool put(const Criteria& criteria);

 private:
  struct User {
    Ticket last_turn = 0;
    Amount held = 0;              // and asked for ahead
    std::vector<Ticket> waiting;  // by ticket, those up to `at` have been named
    std::size_t at = 0;
    std::vector<Ticket> nice;
  };

  TurnRule rule_;
  std::map<uid_t, User> users_;
  std::optional<Queued> named_;
  bool nice_ = false;  // the others have had their places
};

}  // namespace gpu_gate
