#include "gate/fifo.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <string_view>

#include "base/signals.h"
#include "base/umask.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

// The sticky bit on a file asks cleaners of temporary files to leave it alone (XDG Base Directory
// Specification; tmpfiles.d(5)).
constexpr mode_t kHeldMode = 01644;
constexpr mode_t kBellMode = 01622;
constexpr std::string_view kRing = "ll";  // for "look"
constexpr char kAsk = 'a';                // for "awake?"
constexpr char kNext = 'n';               // for "next"

/// Makes a FIFO whose final mode does not depend on the umask, and opens it. Nobody else can open
/// it before its mode is set, and then it already has its writer.
Result<UniqueFd> create_fifo(int dir, const std::string& name, mode_t mode) {
  {
    const NoUmask exact_mode;
    if (::mkfifoat(dir, name.c_str(), 0600) != 0) {
      return fail(system_error(ErrorKind::lock_file, "mkfifo", name, errno));
    }
  }
  const auto undo = [&](const char* call) {
    Error error = system_error(ErrorKind::lock_file, call, name, errno);
    ::unlinkat(dir, name.c_str(), 0);
    return fail(std::move(error));
  };
  // O_RDWR never blocks on a FIFO under Linux (fifo(7)) and makes this process reader and writer.
  UniqueFd fd(::openat(dir, name.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return undo("open");
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return undo("fstat");
  if (!S_ISFIFO(info.st_mode) || info.st_uid != ::geteuid()) {
    errno = EEXIST;  // somebody put another file in its place
    return undo("open");
  }
  if (::fchmod(fd.get(), mode) != 0) return undo("fchmod");
  // One page instead of sixteen: all pipes of a user together may have 16384, beyond which new ones
  // get two, or none (pipe(7), /proc/sys/fs/pipe-user-pages-soft and -hard). Where the kernel
  // refuses, it is as large as before.
  ::fcntl(fd.get(), F_SETPIPE_SZ, 1);
  return fd;
}

/// Is an errno of open() about this one file (gone, alien, not ours to read), not about us?
bool about_the_file(int errnum) {
  switch (errnum) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EACCES:
    case EPERM:
    case ENXIO:
    case ENODEV:
    case EISDIR:
    case ETXTBSY:
      return true;
    default:
      return false;
  }
}

/// Opens a bell for writing; nothing where nobody reads it. The write end is closed at once after
/// use, so that it never keeps the bell alive.
Result<UniqueFd> open_bell(int dir, const std::string& name) {
  UniqueFd fd(::openat(dir, name.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && !about_the_file(errno)) {
    return fail(system_error(ErrorKind::lock_file, "open", name, errno));
  }
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISFIFO(info.st_mode)) return UniqueFd();
  return fd;
}

int bytes_in(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : 0;
}

/// The time of the last write is a FIFO's modification time (fs/pipe.c, pipe_write).
BellState state_of(int fd) {
  BellState state;
  state.pending = bytes_in(fd) > 0;
  struct stat info{};
  struct timespec now{};
  if (::fstat(fd, &info) == 0 && ::clock_gettime(CLOCK_REALTIME, &now) == 0) {
    state.in_driver = (info.st_mode & S_IXUSR) != 0;
    state.age = std::chrono::seconds(now.tv_sec - info.st_mtim.tv_sec) +
                std::chrono::nanoseconds(now.tv_nsec - info.st_mtim.tv_nsec);
  }
  return state;
}

/// The same of another's bell. A time in the future, where the clock was set back, becomes now, or
/// it would be young until the clock is there again. (Who may write to a file may do that.)
BellState state_of_others(int fd) {
  BellState state = state_of(fd);
  if (state.age.count() < 0) {
    ::futimens(fd, nullptr);
    state.age = {};
  }
  return state;
}

void write_to_bell(int fd, std::string_view bytes) {
  const WriteSignals signals;  // its reader may end between the open and the write
  if (::write(fd, bytes.data(), bytes.size()) < 0) signals.failed(errno);
}

}  // namespace

std::chrono::nanoseconds BellState::answer_time() const {
  return in_driver ? timing::kAnswerInDriver : timing::kAnswer;
}

// A mode that cannot be changed means five seconds instead of thirty.
InDriver::InDriver(int bell) : bell_(bell) {
  if (bell_ >= 0) ::fchmod(bell_, kBellMode | S_IXUSR);
}

InDriver::~InDriver() {
  if (bell_ >= 0) ::fchmod(bell_, kBellMode);
}

Result<UniqueFd> create_held_fifo(int dir, const std::string& name) {
  return create_fifo(dir, name, kHeldMode);
}

Result<std::optional<HeldFifo>> open_if_held(int dir, const std::string& name) {
  UniqueFd fd(::openat(dir, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    if (about_the_file(errno)) return std::nullopt;
    return fail(system_error(ErrorKind::lock_file, "open", name, errno));
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) {
    return fail(system_error(ErrorKind::lock_file, "fstat", name, errno));
  }
  if (!S_ISFIFO(info.st_mode)) return std::nullopt;
  // With a writer an empty FIFO says EAGAIN, without one it is at its end (pipe(7)).
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(fd.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  if (got < 0 && errno != EAGAIN) {
    return fail(system_error(ErrorKind::lock_file, "read", name, errno));
  }
  return HeldFifo{.read_end = std::move(fd), .owner = info.st_uid};
}

Result<UniqueFd> create_bell(int dir, const std::string& name) {
  return create_fifo(dir, name, kBellMode);
}

std::optional<BellState> ring(int dir, const std::string& name) {
  const Result<UniqueFd> opened = open_bell(dir, name);
  if (!opened || !*opened) return std::nullopt;
  const UniqueFd& fd = *opened;
  const BellState before = state_of_others(fd.get());
  // One byte may be a question, which its reader throws away as long as it is young.
  const int enough = before.pending && before.age >= timing::kQuestionIsRing ? 1 : 2;
  if (bytes_in(fd.get()) < enough) write_to_bell(fd.get(), kRing);
  return before;
}

namespace {

/// Less than a ring, which is to be heard where anything is pending.
bool write_if_empty(int dir, const std::string& name, char byte) {
  const Result<UniqueFd> opened = open_bell(dir, name);
  if (!opened || !*opened || bytes_in(opened->get()) != 0) return false;
  write_to_bell(opened->get(), {&byte, 1});
  return true;
}

}  // namespace

void ask(int dir, const std::string& name) { write_if_empty(dir, name, kAsk); }

bool tell_next(int dir, const std::string& name) { return write_if_empty(dir, name, kNext); }

Result<std::optional<BellState>> look_at_bell(int dir, const std::string& name) {
  const Result<UniqueFd> fd = open_bell(dir, name);
  if (!fd) return fail(fd.error());
  if (!*fd) return std::nullopt;
  return state_of_others(fd->get());
}

bool may_be_rung(int bell) { return bytes_in(bell) != 1; }

// What is thrown away here without a look is always less than what ring() takes for one.
Heard answer_bell(int bell) {
  // Whoever opens it can make it larger, up to this (pipe(7), /proc/sys/fs/pipe-max-size), and can
  // write faster than one reads. A ring that comes during the reading may stay.
  constexpr std::size_t kMostPending = std::size_t{1} << 20;
  std::array<char, 4096> bytes{};
  for (std::size_t done = 0; done < kMostPending;) {
    const ssize_t got = ::read(bell, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 && done == 0) return Heard::nothing;
    if (got < static_cast<ssize_t>(bytes.size())) {
      if (done != 0 || got != 1 || (bytes[0] != kAsk && bytes[0] != kNext)) return Heard::ring;
      // Asked when it has been read: until then a ring may have relied on it, if it was older.
      const std::chrono::nanoseconds age = state_of(bell).age;
      if (age.count() < 0 || age >= timing::kNoAnswer) return Heard::ring;
      return bytes[0] == kAsk ? Heard::question : Heard::next;
    }
    done += bytes.size();
  }
  return Heard::ring;
}

}  // namespace gpu_gate
