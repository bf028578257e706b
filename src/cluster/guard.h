#pragma once

#include <sys/types.h>

#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gpu_gate {

/// A process beside this one that ends srun when this one has ended without doing so: by SIGKILL.
/// (PR_SET_PDEATHSIG would send a signal also to a srun that is about to start a step; see
/// give_back in cluster/step.) It has nothing open, no signal that can be caught ends it, and
/// it is not called gpu-gate.
class Guard {
 public:
  /// Starts it. Errors: system.
  static Result<Guard> over(pid_t srun);

  Guard(Guard&&) noexcept = default;
  Guard& operator=(Guard&&) noexcept = default;
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  /// srun has ended: the guard does, too.
  ~Guard();

  /// What srun is about: only then it may get a signal.
  void allow_signal(bool allowed);

 private:
  Guard(pid_t pid, UniqueFd pipe) : pid_(pid), pipe_(std::move(pipe)) {}

  pid_t pid_;
  UniqueFd pipe_;
  bool allowed_ = false;
};

}  // namespace gpu_gate
