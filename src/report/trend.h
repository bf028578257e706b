#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "report/board.h"

namespace gpu_gate {

/// What a device did in one step of time, in percent; nothing where it was not told.
struct TrendStep {
  std::optional<int> busy_pct;  // on average
  std::optional<int> used_pct;  // of its memory, at the end

  friend bool operator==(const TrendStep&, const TrendStep&) = default;
};

/// The last minutes of each device, in equal steps of time. Pure: the caller says what time it is.
class Trends {
 public:
  explicit Trends(std::chrono::nanoseconds step) : step_(step) {}

  /// A new look at the devices. Those that are gone are forgotten.
  void note(const Board& board, Clock::time_point now);

  /// So many steps, up to that of the last look; the oldest first.
  std::vector<TrendStep> last(const std::string& uuid, std::size_t count) const;

  std::chrono::nanoseconds step() const { return step_; }

 private:
  struct Sum {
    std::int64_t step = 0;  // its number
    int busy_pct = 0;       // of all looks together
    int looks = 0;          // that told of it
    std::optional<int> used_pct;
  };

  std::chrono::nanoseconds step_;
  std::int64_t now_ = 0;                            // the number of the last step
  std::map<std::string, std::deque<Sum>> devices_;  // by UUID, the oldest step first
};

}  // namespace gpu_gate
