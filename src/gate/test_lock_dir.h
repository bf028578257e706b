#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "gate/claims.h"
#include "gate/fifo.h"
#include "gate/line.h"
#include "gate/lock_dir.h"
#include "gate/mutex.h"
#include "gate/record_file.h"
#include "gate/test_files.h"
#include "policy/test_machine.h"

// A lock directory for unit tests.
namespace gpu_gate {

struct TestLockDir {
  TestFolder folder;
  LockDirPaths paths{.chosen = folder / "locks"};
  LockDir dir = LockDir::open(paths).value();
  Line line{dir};
  Claims claims{dir};
  Mutex mutex{dir};

  /// Nobody else holds it.
  MutexGuard lock() { return mutex.lock(std::nullopt, sigset_t{}, nullptr).value().value(); }

  /// The counters as they stay from now on: as long as nobody has written them, the last ticket is
  /// the time.
  Counters counters() {
    MutexGuard guard = lock();
    EXPECT_TRUE(guard.write(guard.counters()));
    return guard.counters();
  }

  /// A waiter at the end of the line.
  OwnPlace join(const Request& request = wish(1)) {
    MutexGuard guard = lock();
    return line.join(guard, 0, {.owner = this_process({"waiter"}), .request = request}).value();
  }

  /// As if it were another user's.
  void give_to(const Place& place, uid_t uid) const {
    for (const std::string& name : {place_name(place), bell_name(place), record_name(place)}) {
      EXPECT_EQ(::fchownat(dir.queue(), name.c_str(), uid, gid_t(-1), AT_SYMLINK_NOFOLLOW), 0);
    }
  }

  /// The place of a waiter that has died.
  Place dead_place(const Request& request = wish(1)) { return join(request).place; }

  NewClaim claim_record(const ClaimRecord& record) {
    MutexGuard guard = lock();
    return claims.make(guard, claims.scan().value(), record).value();
  }
  NewClaim claim(const std::vector<std::string>& devices, const Owner& owner = this_process({})) {
    return claim_record({.owner = owner, .devices = devices});
  }

  std::vector<Claim> live_claims() const { return claims.scan().value().live; }

  std::string queue_path(const std::string& name) const { return dir.path() + "/queue/" + name; }
  std::string claims_path(const std::string& name) const { return dir.path() + "/claims/" + name; }

  /// How many files there are in the sub-directory.
  static std::size_t files_in(int part) { return names_in(part).value().size(); }

  bool is_rung(const Place& place) const {
    const auto bell = line.bell_state(place).value();
    return bell && bell->pending;
  }
  /// As if the bell had last been rung that long ago.
  void age_bell(const Place& place, std::chrono::seconds age) const {
    struct timespec then{};
    ::clock_gettime(CLOCK_REALTIME, &then);
    then.tv_sec -= age.count();
    const struct timespec times[] = {then, then};
    EXPECT_EQ(::utimensat(dir.queue(), bell_name(place).c_str(), times, 0), 0);
  }
  /// A ring that this waiter has left unanswered for so long that it is passed over.
  void ring_in_vain(const Place& place) const {
    line.ring_bell(place);
    age_bell(place, std::chrono::seconds(6));
  }
};

}  // namespace gpu_gate
