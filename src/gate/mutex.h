#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "gate/lock_dir.h"

namespace gpu_gate {

using Clock = std::chrono::steady_clock;

/// Two numbers that the file `mutex` keeps from one holder to the next. Everybody may write them,
/// so they are believed only as far as they are harmless.
struct Counters {
  std::uint64_t last_ticket = 0;  // the last one given out
  std::uint64_t grants = 0;       // claims made: a snapshot older than the last one is stale
};

/// The mutex of a lock directory, held from construction to destruction. Catchable signals are
/// blocked meanwhile. Never sleep, read NVML or touch another file system while holding it.
class MutexGuard {
 public:
  MutexGuard(UniqueFd file, std::unique_ptr<SignalBlock> block)
      : block_(std::move(block)), file_(std::move(file)) {}

  Counters read() const;

  /// Writes the counters. Errors (exit code 5): the file system is full or failing.
  Status write(const Counters& counters) const;

 private:
  std::unique_ptr<SignalBlock> block_;  // outlives the file: signals come after the release
  UniqueFd file_;
};

/// Who keeps others waiting at the mutex, as far as the kernel tells (/proc/locks).
using MutexDelay = std::function<void(std::optional<pid_t> holder)>;

/// Takes the mutex. Blocks until it is free; calls `delayed` once a second meanwhile (holding
/// nothing), and lets the signals in `ending` through, should the caller have blocked them; ends
/// with exit code 124 at the deadline, if there is one. Errors: lock_dir; replaced where
/// the directory was removed or replaced: open it anew.
Result<MutexGuard> lock_mutex(const LockDir& dir, std::optional<Clock::time_point> deadline,
                              const sigset_t& ending, const MutexDelay& delayed);

/// The counters without the mutex: good enough to compare with later.
Counters peek_counters(const LockDir& dir);

}  // namespace gpu_gate
