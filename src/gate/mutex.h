#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "gate/claim_log.h"
#include "gate/lock_dir.h"
#include "policy/claim.h"
#include "policy/turn_order.h"

namespace gpu_gate {

/// Two numbers that the file `mutex` keeps from one holder to the next. Everybody may write them,
/// so they are believed only as far as they are harmless.
struct Counters {
  Ticket last_ticket = 0;    // the last one given out
  std::uint64_t grants = 0;  // claims made
};

/// The mutex of a lock directory, held from construction to destruction. Catchable signals are
/// blocked meanwhile. Never sleep, read NVML or touch another file system while holding it.
class MutexGuard {
 public:
  /// `file` is locked, and outlives the guard.
  MutexGuard(UniqueFd& file, std::unique_ptr<SignalBlock> block);
  MutexGuard(MutexGuard&& other) noexcept;
  MutexGuard(const MutexGuard&) = delete;
  MutexGuard& operator=(const MutexGuard&) = delete;
  MutexGuard& operator=(MutexGuard&&) = delete;
  ~MutexGuard();

  /// The counters; their last ticket is one that can have been given out.
  const Counters& counters() const { return counters_; }

  /// Notes that the user has had a turn. Without room it is not noted.
  void note_turn(uid_t user, Ticket turn);

  /// Writes the counters. Errors (lock_file): the file system is full or failing.
  Status write(const Counters& counters);

  /// The same where the last of these grants is a claim on these devices. They are noted as well,
  /// so that who has just read other devices need not read them again; without room, they are not.
  Status write_claim(const Counters& counters, const std::vector<std::string>& devices);

  /// How many claims were made on the device since Mutex::peek; see ClaimLog::claims_since.
  std::optional<std::size_t> claims_since(const ClaimMark& mark, std::string_view uuid) const;

 private:
  const ClaimLog& log() const;

  UniqueFd* file_;
  std::unique_ptr<SignalBlock> block_;  // signals come after the release
  Counters counters_;
  mutable std::optional<ClaimLog> log_;  // once it was asked for
};

/// The last turns of these users, as the file `mutex` has them: a hint, since everybody may write
/// it, and users whose numbers are equal modulo 128 share one. Needs no mutex.
LastTurns read_last_turns(const LockDir& dir, const std::set<uid_t>& users);

/// Could this user lock it, or make it where there is none? Makes nothing. Errors (lock_file,
/// system).
Status check_mutex(const LockDir& dir);

/// Hears which process keeps others waiting at the mutex, as far as the kernel tells (/proc/locks).
using MutexDelay = std::function<void(std::optional<pid_t> holder)>;

/// The file `mutex` of a lock directory.
class Mutex {
 public:
  explicit Mutex(const LockDir& dir) : dir_(dir) {}

  /// How far claims have been counted, without the mutex. A claim that is counted by then can be
  /// seen by then.
  ClaimMark peek();

  /// Takes the mutex; nothing if the deadline passes first. Blocks until it is free; calls
  /// `delayed` once a second meanwhile (holding nothing), and lets the signals in `ending` through,
  /// should the caller have blocked them. Errors: lock_file, system; replaced where the directory
  /// was removed or replaced.
  Result<std::optional<MutexGuard>> lock(std::optional<Clock::time_point> deadline,
                                         const sigset_t& ending, const MutexDelay& delayed);

 private:
  Status open();
  bool is_current() const;

  const LockDir& dir_;
  UniqueFd file_;
  struct stat opened_{};  // of the file
};

}  // namespace gpu_gate
