#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

// What kind of file system the lock directory is on: a lock on one that other machines write to
// would promise what it cannot keep.
namespace gpu_gate {

/// In a few words, what this open file is on, if other machines may write to that as well; nothing
/// where it is local. A FUSE file system counts as local only if the kernel names one that is known
/// to be. `mountinfo`: proc(5), "/proc/pid/mountinfo", read only for FUSE. Errors (lock_file,
/// system): fstatfs.
Result<std::optional<std::string>> network_file_system(
    int fd, const std::string& mountinfo = "/proc/self/mountinfo");

/// By the number that statfs(2) gives. Pure.
bool is_network_type(std::uint32_t type);

/// By the name that a FUSE file system has in mountinfo: "fuse.sshfs". Pure.
bool is_local_fuse(const std::string& name);

/// A mounted file system.
struct MountedAs {
  std::string type;     // "tmpfs"; "" where mountinfo tells of none
  std::string options;  // of the file system itself: "rw,hidepid=invisible"
};

/// How the file system with this device number (st_dev) is mounted.
MountedAs mounted_as(dev_t device, const std::string& mountinfo = "/proc/self/mountinfo");

}  // namespace gpu_gate
