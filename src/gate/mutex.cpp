#include "gate/mutex.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/process.h"
#include "base/umask.h"

namespace gpu_gate {
namespace {

constexpr const char* kName = "mutex";

tl::unexpected<Error> failed(const char* call, const LockDir& dir, int errnum) {
  return fail(
      explain_lock_error(system_error(ErrorKind::lock_dir, call, kName, errnum), dir.path()));
}

/// Opens the file and makes it if it is missing, writable for all. The plain open comes first: with
/// O_CREAT the kernel refuses another user's file in a sticky directory (fs.protected_regular,
/// proc(5)).
Result<UniqueFd> open_file(const LockDir& dir) {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  constexpr int kTries = 100;  // it may be removed and made again by others at the same time
  for (int tries = 0; tries < kTries; ++tries) {
    UniqueFd fd(::openat(dir.root(), kName, kFlags));
    if (!fd && errno == ENOENT) {
      const NoUmask exact_mode;
      fd = UniqueFd(::openat(dir.root(), kName, kFlags | O_CREAT | O_EXCL, 01666));
      if (!fd && errno == EEXIST) continue;
      if (!fd && errno == ENOENT) return fail(Error{ErrorKind::replaced, "", 0});
    }
    if (!fd) return failed("open", dir, errno);
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0) return failed("fstat", dir, errno);
    if (!S_ISREG(info.st_mode)) {
      return fail(explain_lock_error(Error{ErrorKind::lock_dir,
                                           "its file `mutex` is not a regular file; " +
                                               user_name(info.st_uid) + " or root can remove it",
                                           0},
                                     dir.path()));
    }
    return fd;
  }
  return failed("open", dir, EAGAIN);
}

/// Is this still the file that the path names? A lock on a removed file holds nobody off.
bool is_current(const LockDir& dir, int fd) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(fd, &opened) == 0 &&
         ::fstatat(dir.root(), kName, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/// The process that took the flock on this file, from /proc/locks (proc(5)):
/// "1: FLOCK  ADVISORY  WRITE 4242 fe:00:131 0 EOF"; READ for a shared one, which keeps us out as
/// well.
std::optional<pid_t> lock_holder(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return std::nullopt;
  std::array<char, 64> wanted{};
  std::snprintf(wanted.data(), wanted.size(), " %02x:%02x:%ju ", major(info.st_dev),
                minor(info.st_dev), static_cast<std::uintmax_t>(info.st_ino));
  std::FILE* file = std::fopen("/proc/locks", "re");
  if (file == nullptr) return std::nullopt;
  std::optional<pid_t> holder;
  char line[256];
  while (!holder && std::fgets(line, sizeof line, file) != nullptr) {
    // A line with "->" behind the number is one that waits.
    const char* taken = std::strstr(line, ": FLOCK ");
    const char* mode = taken != nullptr ? std::strstr(taken, " WRITE ") : nullptr;
    if (taken != nullptr && mode == nullptr) mode = std::strstr(taken, " READ ");
    if (mode == nullptr || std::strstr(mode, wanted.data()) == nullptr) continue;
    char* end = nullptr;
    const auto pid = std::strtol(std::strchr(mode + 1, ' '), &end, 10);
    if (pid > 0 && end != nullptr && *end == ' ') holder = static_cast<pid_t>(pid);
  }
  std::fclose(file);
  return holder;
}

/// Interrupts a blocking flock(2) once a second, by a signal to this thread that only does that.
/// The kernel's queue for flock is fair and wakes at once; polling LOCK_NB would be neither.
class Ticker {
 public:
  explicit Ticker(sigset_t let_through) {
    struct sigaction action{};
    action.sa_handler = [](int) {};  // without SA_RESTART: flock returns EINTR
    ::sigaction(kSignal, &action, &before_);
    struct sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = kSignal;
    event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
    made_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    ::sigaddset(&let_through, kSignal);
    ::sigprocmask(SIG_UNBLOCK, &let_through, &mask_);
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  ~Ticker() {
    if (made_) ::timer_delete(timer_);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
    ::sigaction(kSignal, &before_, nullptr);
  }

  /// First tick after `first`, then one a second (a tick just before flock begins would be missed).
  bool start(std::chrono::nanoseconds first) {
    if (!made_) return false;
    const auto ns = std::max<std::chrono::nanoseconds::rep>(first.count(), 1000000);
    const struct itimerspec when{{1, 0}, {ns / 1000000000, ns % 1000000000}};
    return ::timer_settime(timer_, 0, &when, nullptr) == 0;
  }

 private:
  static constexpr int kSignal = SIGALRM;
  timer_t timer_{};
  bool made_ = false;
  struct sigaction before_{};
  sigset_t mask_{};
};

/// flock(LOCK_EX) up to the deadline. False: the deadline passed.
Result<bool> lock_file(const LockDir& dir, int fd, std::optional<Clock::time_point> deadline,
                       const sigset_t& ending, const MutexDelay& delayed) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno != EWOULDBLOCK && errno != EINTR) return failed("flock", dir, errno);
  Ticker ticker(ending);
  for (;;) {
    std::chrono::nanoseconds wait = std::chrono::seconds(1);
    if (deadline) wait = std::min<std::chrono::nanoseconds>(wait, *deadline - Clock::now());
    if (wait.count() <= 0) return false;
    if (!ticker.start(wait)) return failed("timer_create", dir, errno);
    if (::flock(fd, LOCK_EX) == 0) return true;
    if (errno != EINTR) return failed("flock", dir, errno);
    if (delayed) delayed(lock_holder(fd));
  }
}

Counters parse_counters(int fd) {
  std::array<char, 64> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size() - 1, 0);
  Counters counters;
  if (size <= 0) return counters;
  const char* end = text.data() + size;
  const auto first = std::from_chars(text.data(), end, counters.last_ticket);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ' ') return Counters{};
  std::from_chars(first.ptr + 1, end, counters.grants);
  return counters;
}

}  // namespace

Counters MutexGuard::read() const { return parse_counters(file_.get()); }

Status MutexGuard::write(const Counters& counters) const {
  // A fixed width, so that a shorter number never leaves the rest of a longer one.
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%020ju %020ju\n",
                                 static_cast<std::uintmax_t>(counters.last_ticket),
                                 static_cast<std::uintmax_t>(counters.grants));
  ssize_t written = 0;
  do {
    written = ::pwrite(file_.get(), text.data(), static_cast<std::size_t>(size), 0);
  } while (written < 0 && errno == EINTR);
  if (written == size) return {};
  return fail(system_error(ErrorKind::lock_dir, "write", kName, written < 0 ? errno : ENOSPC));
}

Result<MutexGuard> lock_mutex(const LockDir& dir, std::optional<Clock::time_point> deadline,
                              const sigset_t& ending, const MutexDelay& delayed) {
  for (;;) {
    Result<UniqueFd> file = open_file(dir);
    if (!file) return fail(file.error());
    const Result<bool> locked = lock_file(dir, file->get(), deadline, ending, delayed);
    if (!locked) return fail(locked.error());
    if (!*locked) return fail(ErrorKind::timed_out, "");
    auto block = std::make_unique<SignalBlock>(catchable_signals());
    if (!is_current(dir, file->get())) continue;
    if (!dir.is_current()) return fail(Error{ErrorKind::replaced, "", 0});
    return MutexGuard(std::move(*file), std::move(block));
  }
}

Counters peek_counters(const LockDir& dir) {
  const UniqueFd fd(
      ::openat(dir.root(), kName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  return fd ? parse_counters(fd.get()) : Counters{};
}

}  // namespace gpu_gate
