#pragma once

#include "gate/claims.h"

namespace gpu_gate {

/// The live claim that this process is a part of, though nothing in its environment says so
/// (env -i, sudo -i): the newest of its user's, or of anybody's for root, of which it has a
/// descriptor or whose process is an ancestor of it. 0 where there is none. Never blocks.
Ticket find_outer_claim(const Claims& claims, const std::vector<Claim>& live);

}  // namespace gpu_gate
