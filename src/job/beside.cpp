#include "job/beside.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "base/descriptors.h"
#include "base/signals.h"
#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

/// As long as it lives, orphans do not become children of this process, as they would if the caller
/// had asked for that (PR_SET_CHILD_SUBREAPER of prctl(2), which outlasts exec).
class NoAdoption {
 public:
  NoAdoption() {
    ::prctl(PR_GET_CHILD_SUBREAPER, &adopts_, 0, 0, 0);
    if (adopts_ != 0) ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }
  NoAdoption(const NoAdoption&) = delete;
  NoAdoption& operator=(const NoAdoption&) = delete;
  ~NoAdoption() {
    if (adopts_ != 0) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  }

 private:
  int adopts_ = 0;
};

/// Waits for a child to end, and leaves no sign of it: where the caller has SIGCHLD blocked, that
/// would stay pending, through exec too.
void reap(pid_t child, bool sigchld_was_pending) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (sigchld_was_pending) return;
  const sigset_t set = set_of({SIGCHLD});
  const struct timespec none{};
  ::sigtimedwait(&set, nullptr, &none);
}

constexpr int kStandard[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};

/// Goes on in a session of its own, with nothing as its standard descriptors.
void leave_session() {
  ::setsid();
  [[maybe_unused]] const int moved = ::chdir("/");  // so that no file system is kept busy
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : kStandard) {
    // Closed where /dev/null cannot be opened: somebody may wait for its end.
    if (::dup2(null, fd) < 0) ::close(fd);
  }
  if (null > STDERR_FILENO) ::close(null);
}

/// The highest niceness: the job, which begins and ends just then, goes first.
constexpr int kMildest = 19;

/// What is left to do for a child of vfork(2), whose memory is that of its parent: closes all, and
/// has a child of its own do the work. So the one process that is copied is an orphan.
[[noreturn]] void leave_to_orphan(const std::function<void()>& work) {
  close_others({});
  for (const int fd : kStandard) ::close(fd);
  if (::fork() == 0) {
    try {
      leave_session();
      ::setpriority(PRIO_PROCESS, 0, kMildest);
      work();
    } catch (...) {  // NOLINT(bugprone-empty-catch): out of memory, and nobody to tell
    }
  }
  ::_exit(0);
}

}  // namespace

void detach(std::vector<int> kept) {
  leave_session();
  close_others(std::move(kept));
}

Status start_beside(const std::function<void()>& work) {
  const NoAdoption no_adoption;
  const SignalBlock block(catchable_signals());  // which the new process inherits
  sigset_t pending;
  ::sigpending(&pending);
  // Not by fork(2): after that, each page that this process writes to is copied, and the copy of it
  // that ends at once is half of the cost.
  const pid_t between = ::vfork();  // NOLINT(bugprone-unsafe-functions)
  if (between < 0) return fail(system_error(ErrorKind::system, "vfork", "", errno));
  if (between == 0) leave_to_orphan(work);
  reap(between, ::sigismember(&pending, SIGCHLD) == 1);
  return {};
}

}  // namespace gpu_gate
