#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_gate {

/// Who is served first among those who wait.
enum class LineOrder {
  turns,    // the user who holds fewest GPUs
  arrival,  // who came first
};

/// What the administrator of the machine wants of the line (README, "The line").
struct LinePolicy {
  LineOrder order = LineOrder::turns;
  std::optional<int> max_per_user;  // GPUs that one user may hold at a time
  std::vector<std::string> unread;  // lines that say nothing, as they are
};

/// Reads lines "key = value". Spaces around both do not matter, # begins a comment, the last good
/// line of a key holds, and one that cannot be read is ignored, and told in `unread`.
LinePolicy parse_line_policy(std::string_view text);

}  // namespace gpu_gate
