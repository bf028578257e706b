#pragma once

#include <sys/types.h>

#include <limits>
#include <string>
#include <vector>

#include "gpu/vendor.h"
#include "policy/claim.h"
#include "policy/criteria.h"

namespace gpu_gate {

/// As a count: however many devices there are.
constexpr int kEveryDevice = std::numeric_limits<int>::max();

/// What a waiter wants of the machine: all that others must know to decide whose turn it is.
struct Request {
  Criteria criteria;
  // UUIDs of the devices it may not have. (Not of those that it may: one that is lost as it asks
  // has no UUID, and is to be kept for it when it returns.)
  std::vector<std::string> barred;
  // UUIDs of all that it may have, where a device that it may not have has none at the moment: when
  // that one returns it is not to be taken for one more.
  std::optional<std::vector<std::string>> allowed = std::nullopt;
  Ticket within = 0;               // the claim inside which it asks; 0: not inside one
  Vendor vendor = Vendor::nvidia;  // whose devices it wants
  std::optional<std::int64_t> outer_share_mib =
      std::nullopt;  // where that is a share, all there is to have
  // Processes that are no strangers to it: of the process that it asks for, where that one computes
  // already. Known only to itself; nothing where it asks for none.
  std::optional<std::vector<pid_t>> own = std::nullopt;
};

}  // namespace gpu_gate
