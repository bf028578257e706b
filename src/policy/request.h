#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gpu_gate {

/// The number of a place in line and of the claim that comes of it. Grows; 0 is none.
using Ticket = std::uint64_t;

/// What a waiter wants of the machine: all that others must know to decide whose turn it is.
struct Request {
  int count = 1;
  std::optional<std::int64_t> min_free_mib;
  std::optional<int> max_util_pct;
  // UUIDs of the GPUs it may not have. (Not of those that it may: one that is lost as it asks has
  // no UUID, and is to be kept for it when it returns.)
  std::vector<std::string> barred;
  Ticket within = 0;  // the claim inside which it asks; 0: not inside one
};

}  // namespace gpu_gate
