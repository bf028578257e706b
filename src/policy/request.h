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
  std::vector<std::string> allowed;  // UUIDs of the GPUs it may have
  bool any_card =
      false;          // it may have all, also those that `allowed` lacks as they are lost for now
  Ticket within = 0;  // the claim inside which it asks; 0: not inside one
};

}  // namespace gpu_gate
