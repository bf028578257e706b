#pragma once

#include "gate/lock_dir.h"
#include "policy/line_policy.h"

namespace gpu_gate {

/// The administrator's wishes: the file `policy` in the lock directory, as it is now. It counts
/// only if it is a regular file of root's or of the directory's owner that nobody else may write.
/// Without one, or where it cannot be read, nothing is wished. Never blocks.
LinePolicy read_line_policy(const LockDir& dir);

/// Is there something of that name that does not count?
bool is_policy_ignored(const LockDir& dir);

}  // namespace gpu_gate
