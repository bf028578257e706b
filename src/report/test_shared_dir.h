#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/test_folder.h"
#include "gate/claims.h"
#include "gate/line.h"
#include "gate/lock_dir.h"
#include "gate/mutex.h"

// Folders on disk for unit tests: a lock directory with claims and waiters in it, and a /proc.
namespace gpu_gate {

/// A job of this name that cannot be seen from here.
inline Owner unseen_job(const std::string& name) {
  Owner owner = this_process({name});
  ++owner.pid_namespace;
  return owner;
}

/// A lock directory, in which this process makes claims and stands in line as often as it likes.
class SharedDir {
 public:
  const LockDir& dir() const { return dir_; }
  Claims claims() const { return Claims(dir_); }
  std::vector<Claim> live() const { return claims().scan().value().live; }

  NewClaim claim(const ClaimRecord& record) {
    MutexGuard guard = lock();
    return claims().make(guard, claims().scan().value(), record).value();
  }
  NewClaim claim(const std::vector<std::string>& uuids, const Owner& owner) {
    return claim({.owner = owner, .devices = uuids});
  }

  OwnPlace join(const Owner& owner, const Request& request) {
    MutexGuard guard = lock();
    const Line line(dir_);
    const Ahead ahead = line.ahead_of({.ticket = 0, .within = request.within}).value();
    return line.join(guard, ahead.last_ticket, {.owner = owner, .request = request}).value();
  }

  std::string claim_record_path(Ticket ticket) const {
    return dir_.path() + "/claims/" + claim_record_name(ticket);
  }
  std::string claim_path(const std::string& uuid, Ticket ticket) const {
    return dir_.path() + "/claims/" + claim_name({.uuid = uuid, .ticket = ticket});
  }
  /// As if the last claim had come or gone so many seconds ago.
  void age_claims(std::int64_t seconds) const {
    const struct timespec then{.tv_sec = std::time(nullptr) - seconds, .tv_nsec = 0};
    const struct timespec times[2] = {then, then};
    EXPECT_EQ(::futimens(dir_.claims(), times), 0);
  }
  std::string waiter_record_path(const Place& place) const {
    return dir_.path() + "/queue/" + record_name(place);
  }

 private:
  static LockDirPaths paths_in(const std::string& folder) {
    LockDirPaths paths;
    paths.chosen = folder + "/gpu-gate";
    return paths;
  }

  MutexGuard lock() {
    sigset_t none;
    ::sigemptyset(&none);
    return std::move(*mutex_.lock({}, none, {}).value());
  }

  TestFolder folder_;
  LockDir dir_ = std::move(*LockDir::open(paths_in(folder_.path())));
  Mutex mutex_{dir_};
};

/// A folder in the form of proc(5), as far as a process's parent can be told from it.
class ScratchProc {
 public:
  const std::string& path() const { return folder_.path(); }

  void add(pid_t pid, pid_t parent, const std::string& name = "x") const {
    const std::string process = path() + "/" + std::to_string(pid);
    std::filesystem::create_directory(process);
    std::ofstream(process + "/stat") << pid << " (" << name << ") S " << parent << " 1 1 0 -1";
  }

 private:
  TestFolder folder_;
};

}  // namespace gpu_gate
