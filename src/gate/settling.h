#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"

namespace gpu_gate {

/// The ten seconds after which a device that those ahead could use, but not as it is, is theirs no
/// longer: a follower counts for itself how long it has seen each such device without a break.
class Settling {
 public:
  /// What a look found contested. A device that is not among these begins anew the next time.
  void note(const std::set<std::string>& contested, Clock::time_point now);

  /// The devices that have been contested for long enough.
  std::set<std::string> settled(Clock::time_point now) const;

  /// When the next of them will have been, but not before 100 ms from now; nothing where it counts
  /// for none.
  std::optional<Clock::time_point> next(Clock::time_point now) const;

 private:
  std::map<std::string, Clock::time_point> since_;
};

}  // namespace gpu_gate
