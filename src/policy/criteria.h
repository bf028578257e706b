#pragma once

#include <cstdint>
#include <optional>

namespace gpu_gate {

/// What a request asks of each of its devices, and how many it wants.
struct Criteria {
  int count = 1;
  std::optional<std::int64_t> min_free_mib = std::nullopt;
  std::optional<std::int64_t> share_mib =
      std::nullopt;  // so much of each, beside others; nothing: all
  std::optional<int> max_util_pct = std::nullopt;
  bool nice = false;  // it comes after all that do not say so
};

}  // namespace gpu_gate
