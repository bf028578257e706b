#pragma once

#include <set>
#include <string>
#include <vector>

#include "policy/fit.h"
#include "policy/turn_order.h"

namespace gpu_gate {

/// One waiter as the rule sees it.
struct Waiting {
  Ticket ticket = 0;  // 0: not in line yet
  uid_t uid = 0;
  const Request* request = nullptr;
  bool passed_over = false;  // it was rung and did not answer: neither served nor reserved for
};

/// What the rule says to one waiter.
struct Decision {
  std::vector<Fit> fits;             // for each device of the snapshot
  std::vector<std::size_t> granted;  // positions in the snapshot, ascending; empty: not yet
  std::vector<bool> contested;       // would be usable, but one ahead waits for it to become so
};

/// What one user may hold.
struct UserLimit {
  std::optional<int> most = std::nullopt;  // devices
  Holdings held;
  CardSizes sizes = {};
};

/// The line's rule (README, "The line"), applied to one waiter after the other in the order of
/// turns. Each takes the best devices that it can use (see choose), or, if there are not enough,
/// keeps those it could use from all behind it, and of as many shared ones as it still lacks, those
/// with most room, all that is left: neither a whole device nor a large share is starved by small
/// ones. Pure: a function of what it is given.
class LineRule {
 public:
  /// `occupancy` has an entry for each device. `settled` has the UUIDs of those devices that the
  /// caller has seen unusable for the waiters ahead for long enough; they are no longer kept for
  /// them. The snapshot must outlive this.
  LineRule(const Snapshot& snapshot, std::vector<Occupancy> occupancy,
           std::set<std::string> settled, UserLimit limit = {});

  /// What the next waiter in line gets.
  Decision next(const Waiting& waiter);

  /// Is there still a device for this request that nobody so far has taken or reserved?
  bool leaves_any_for(const Request& request) const;

  /// Is there still any that is free?
  bool leaves_any() const;

  /// For each device, who of those so far gets it or keeps it from the others; 0: nobody. A share
  /// keeps what is left of it from nobody.
  const std::vector<Ticket>& kept_for() const { return kept_for_; }

 private:
  std::vector<bool> over_limit(const Waiting& waiter) const;
  void keep_for(const Waiting& waiter, const std::vector<Fit>& fits,
                std::vector<std::size_t> candidates);
  bool lacks_room(std::size_t device, Fit fit) const;
  void keep_room(const Waiting& waiter, const std::vector<Fit>& fits, std::size_t lacking);
  void take(const Waiting& waiter, const std::vector<std::size_t>& devices,
            const Criteria& criteria);

  const Snapshot& snapshot_;
  std::vector<Occupancy> claimed_;  // by claims
  std::vector<Occupancy> taken_;    // with what those ahead are granted or keep
  std::set<std::string> settled_;
  UserLimit limit_;                 // held: with what is granted here
  std::vector<Ticket> kept_for_;    // all that is left of it
  std::vector<bool> wanted_ahead_;  // one ahead could use it, but not as it is now
};

}  // namespace gpu_gate
