#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "gate/line.h"
#include "gate/mutex.h"

namespace gpu_gate {

/// A request in line.
struct LiveRequest {
  Place place;
  uid_t uid = 0;  // whose
  Owner owner;    // by its record; pid 0 where it has none
};

/// All requests whose waiters live, in all lines, by ticket. Errors: lock_file, system.
Result<std::vector<LiveRequest>> live_requests(const Line& line);

/// The process that stands in line for a request: of hold that is another one than the record
/// names.
struct StandIn {
  enum class Why { found, elsewhere, hidden, no_pidfd };
  Why why = Why::hidden;  // elsewhere: in another pid namespace
  pid_t pid = 0;
  UniqueFd pidfd;  // of this very process, where found
};

/// For each of these requests. Only a process that is seen to have the place open for writing is
/// taken for the one, by a pidfd that was open before it was looked at: no other process that has
/// the same pid can be meant. Reads /proc (`proc`); blocks on nothing.
std::vector<StandIn> stand_ins(const LockDir& dir, const std::vector<LiveRequest>& requests,
                               const std::string& proc = "/proc");

/// Sends SIGTERM to the process (and SIGCONT, since a stopped one could not heed it) if it still
/// stands in line. Under the mutex nobody becomes a job, so no job ever gets the signal: a waiter
/// with a signal pending ends before it becomes the command. True: it was sent.
bool end_wait(const MutexGuard& guard, const Line& line, const Place& place,
              const StandIn& process);

}  // namespace gpu_gate
