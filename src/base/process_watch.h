#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace gpu_gate {

/// Tells when another process ends: by a pidfd or, where the kernel gives none (before Linux 5.3,
/// or a seccomp filter is in the way), by a timer that makes one look at it once a second.
class ProcessWatch {
 public:
  /// Nothing where there is no such process. Errors: system.
  static Result<std::optional<ProcessWatch>> open(pid_t pid);

  /// Poll it for POLLIN.
  int fd() const { return fd_.get(); }

  /// To be asked when the descriptor has woken the caller: has the process ended? Where that cannot
  /// be told it has not.
  bool ended() const;

  /// The errno for which there is no pidfd; 0 where there is one.
  int errnum() const { return errnum_; }

 private:
  ProcessWatch(pid_t pid, UniqueFd fd, int errnum);

  pid_t pid_;
  UniqueFd fd_;
  int errnum_;
  std::uint64_t start_ticks_ = 0;  // 0: it could not be told
};

}  // namespace gpu_gate
