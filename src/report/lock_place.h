#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "gate/lock_dir.h"
#include "policy/line_policy.h"
#include "report/usage.h"

namespace gpu_gate {

/// A live claim in a lock directory that is not the one in use.
struct ClaimElsewhere {
  std::string path;  // of the directory
  Claimant claimant;
};

/// What there is to know of the lock directory: which one is used, and what is wrong with it.
struct LockPlace {
  std::string path;  // "" where there is no place for one
  LockDirPaths paths;
  bool exists = false;
  std::string owner;        // where it exists
  mode_t mode = 0;          // likewise, with the sticky bit
  std::string file_system;  // its type: "tmpfs"; "" if unknown
  bool on_root = false;     // on the file system of /, or would be
  Status usable = {};       // why this user cannot use it (lock_dir, usage)
  bool last_resort = false;
  bool policy_ignored = false;  // its policy file does not count
  LinePolicy policy = {};
  std::vector<ClaimElsewhere> elsewhere;  // the oldest of each other default place
};

/// Looks, and makes nothing. Errors: system.
Result<LockPlace> look_at_lock_dir(const LockDirPaths& paths);

}  // namespace gpu_gate
