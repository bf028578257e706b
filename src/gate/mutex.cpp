#include "gate/mutex.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
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
#include <utility>

#include "base/interrupter.h"
#include "base/process.h"
#include "base/umask.h"
#include "gate/names.h"

namespace gpu_gate {
namespace {

constexpr const char* kMutexName = "mutex";
constexpr mode_t kMode = 01666;  // sticky: see fifo.cpp

tl::unexpected<Error> failed(const char* call, int errnum) {
  return fail(system_error(ErrorKind::lock_file, call, kMutexName, errnum));
}

constexpr int kOpenFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

Status check_regular(const struct stat& file) {
  if (S_ISREG(file.st_mode)) return {};
  return fail(ErrorKind::lock_file, "its `mutex` is not a regular file; it belongs to " +
                                        user_name(file.st_uid) + ", who can remove it");
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

/// flock(LOCK_EX) up to the deadline, interrupted once a second. (The kernel's queue for it is fair
/// and wakes at once; polling LOCK_NB would be neither.) False: the deadline passed.
Result<bool> lock_file(int fd, std::optional<Clock::time_point> deadline, const sigset_t& ending,
                       const MutexDelay& delayed) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno != EWOULDBLOCK && errno != EINTR) return failed("flock", errno);
  constexpr std::chrono::nanoseconds kEach = std::chrono::seconds(1);
  const SignalsThrough through(ending);
  Interrupter interrupter;
  for (;;) {
    std::chrono::nanoseconds wait = kEach;
    if (deadline) wait = std::min<std::chrono::nanoseconds>(wait, *deadline - Clock::now());
    if (wait.count() <= 0) return false;
    if (Status started = interrupter.start(wait, kEach); !started) return fail(started.error());
    if (::flock(fd, LOCK_EX) == 0) return true;
    if (errno != EINTR) return failed("flock", errno);
    if (delayed) delayed(lock_holder(fd));
  }
}

constexpr std::size_t kCountersSize = 42;  // "%020ju %020ju\n"

Counters parse_counters(std::string_view text) {
  Counters counters;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto first = std::from_chars(begin, end, counters.last_ticket);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ' ') return Counters{};
  std::from_chars(first.ptr + 1, end, counters.grants);
  return counters;
}

/// As much as the file has there.
template <std::size_t Size>
std::string_view read_at(int fd, std::array<char, Size>& buffer, std::size_t offset) {
  const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

Counters read_counters(int fd) {
  std::array<char, kCountersSize> buffer{};
  return parse_counters(read_at(fd, buffer, 0));
}

ClaimLog read_log(int fd) {
  std::array<char, ClaimLog::kTextSize> buffer{};
  return ClaimLog::parse(read_at(fd, buffer, kCountersSize));
}

/// Writes all of it there. Errors (lock_file): the file system is full or failing.
Status write_at(int fd, std::string_view text, std::size_t offset) {
  const WriteSignals signals;
  ssize_t written = 0;
  do {
    written = ::pwrite(fd, text.data(), text.size(), static_cast<off_t>(offset));
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(text.size())) return {};
  Error error =
      system_error(ErrorKind::lock_file, "write", kMutexName, written < 0 ? errno : ENOSPC);
  signals.failed(error.errnum);
  return fail(std::move(error));
}

// The table of last turns, behind what else the file holds: of each user a ticket with so many
// hexadecimal digits.
constexpr std::size_t kTurnsOffset = 2304;
constexpr std::size_t kTurnsUsers = 128;
constexpr std::size_t kTurnDigits = 14;

std::size_t turn_slot(uid_t user) { return user % kTurnsUsers * kTurnDigits; }

}  // namespace

Status check_mutex(const LockDir& dir) {
  if (dir.root() < 0) return {};
  const UniqueFd fd(::openat(dir.root(), kMutexName, kOpenFlags));
  struct stat file{};
  if (!fd && errno == ENOENT) {
    return ::faccessat(dir.root(), ".", W_OK, 0) == 0 ? Status() : failed("open", errno);
  }
  if (!fd) return failed("open", errno);
  if (::fstat(fd.get(), &file) != 0) return failed("fstat", errno);
  return check_regular(file);
}

LastTurns read_last_turns(const LockDir& dir, const std::set<uid_t>& users) {
  const UniqueFd file(
      ::openat(dir.root(), kMutexName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  std::array<char, kTurnsUsers * kTurnDigits> table{};
  if (!file || ::pread(file.get(), table.data(), table.size(), kTurnsOffset) <= 0) return {};
  LastTurns turns;
  for (const uid_t user : users) {
    const char* slot = table.data() + turn_slot(user);
    Ticket turn = 0;
    std::from_chars(slot, slot + kTurnDigits, turn, 16);
    if (turn <= highest_plausible_ticket()) turns[user] = turn;
  }
  return turns;
}

MutexGuard::MutexGuard(UniqueFd& file, std::unique_ptr<SignalBlock> block)
    : file_(&file), block_(std::move(block)), counters_(read_counters(file.get())) {
  if (counters_.last_ticket == 0 || counters_.last_ticket > highest_plausible_ticket()) {
    counters_.last_ticket = first_ticket();
  }
}

MutexGuard::MutexGuard(MutexGuard&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)),
      block_(std::move(other.block_)),
      counters_(other.counters_),
      log_(other.log_) {}

MutexGuard::~MutexGuard() {
  // Closing lets go of it too, should the kernel refuse the one way.
  if (file_ != nullptr && ::flock(file_->get(), LOCK_UN) != 0) file_->reset();
}

void MutexGuard::note_turn(uid_t user, Ticket turn) {
  std::array<char, kTurnDigits + 1> text{};
  std::snprintf(text.data(), text.size(), "%014jx", static_cast<std::uintmax_t>(turn));
  const WriteSignals signals;
  if (::pwrite(file_->get(), text.data(), kTurnDigits,
               static_cast<off_t>(kTurnsOffset + turn_slot(user))) < 0) {
    signals.failed(errno);
  }
}

Status MutexGuard::write(const Counters& counters) {
  // A fixed width, so that a shorter number never leaves the rest of a longer one.
  std::array<char, kCountersSize + 1> text{};
  std::snprintf(text.data(), text.size(), "%020ju %020ju\n",
                static_cast<std::uintmax_t>(counters.last_ticket),
                static_cast<std::uintmax_t>(counters.grants));
  if (Status written = write_at(file_->get(), {text.data(), kCountersSize}, 0); !written) {
    return written;
  }
  counters_ = counters;
  return {};
}

// Where only one of the two can be written they do not agree, and everybody reads anew.
Status MutexGuard::write_claim(const Counters& counters, const std::vector<std::string>& devices) {
  ClaimLog noted = log();
  noted.note(devices, counters.grants, counters.last_ticket);
  if (write_at(file_->get(), noted.text(), kCountersSize)) log_ = noted;
  return write(counters);
}

std::optional<std::size_t> MutexGuard::claims_since(const ClaimMark& mark,
                                                    std::string_view uuid) const {
  if (counters_.grants == mark.grants) return 0;
  return log().claims_since(mark, counters_.grants, uuid);
}

const ClaimLog& MutexGuard::log() const {
  if (!log_) log_ = read_log(file_->get());
  return *log_;
}

/// Opens the file, and makes it if it is missing, writable for all. The plain open comes first:
/// with O_CREAT the kernel refuses another user's file in a sticky directory (fs.protected_regular,
/// proc(5)).
Status Mutex::open() {
  constexpr int kMaxTries = 100;  // it may be removed and made again by others at the same time
  for (int tries = 0; tries < kMaxTries; ++tries) {
    UniqueFd fd(::openat(dir_.root(), kMutexName, kOpenFlags));
    if (!fd && errno == ENOENT) {
      const NoUmask exact_mode;
      fd = UniqueFd(::openat(dir_.root(), kMutexName, kOpenFlags | O_CREAT | O_EXCL, kMode));
      if (!fd && errno == EEXIST) continue;
      if (!fd && errno == ENOENT) return fail(ErrorKind::replaced, "");
    }
    if (!fd) return failed("open", errno);
    if (::fstat(fd.get(), &opened_) != 0) return failed("fstat", errno);
    if (Status regular = check_regular(opened_); !regular) return regular;
    dir_.take_over(fd.get(), kMode);
    file_ = std::move(fd);
    return {};
  }
  return failed("open", EAGAIN);
}

/// Is this still the file that the path names? A lock on a removed file holds nobody off.
bool Mutex::is_current() const {
  struct stat named{};
  return ::fstatat(dir_.root(), kMutexName, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         opened_.st_ino == named.st_ino && opened_.st_dev == named.st_dev;
}

ClaimMark Mutex::peek() {
  if (!file_ && !open()) return {};
  std::array<char, kCountersSize + ClaimLog::kTextSize> buffer{};
  const std::string_view text = read_at(file_.get(), buffer, 0);
  const Counters counters = parse_counters(text.substr(0, kCountersSize));
  const ClaimLog::Ends log =
      ClaimLog::parse_ends(text.substr(std::min(text.size(), kCountersSize)));
  // A claim may be noted and not counted yet, and then the log tells of itself. Where the last one
  // could not be noted, its ticket is no higher than this.
  return {.grants = counters.grants,
          .noted = log.noted,
          .last_ticket = counters.last_ticket,
          .last_claim = log.grants < counters.grants ? counters.last_ticket : log.last_claim};
}

Result<std::optional<MutexGuard>> Mutex::lock(std::optional<Clock::time_point> deadline,
                                              const sigset_t& ending, const MutexDelay& delayed) {
  for (;;) {
    if (!file_) {
      if (Status opened = open(); !opened) return fail(opened.error());
    }
    const Result<bool> locked = lock_file(file_.get(), deadline, ending, delayed);
    if (!locked) return fail(locked.error());
    if (!*locked) return std::nullopt;
    auto block = std::make_unique<SignalBlock>(catchable_signals());
    if (is_current()) {
      MutexGuard guard(file_, std::move(block));
      if (!dir_.is_current()) return fail(ErrorKind::replaced, "");
      return guard;
    }
    file_.reset();
  }
}

}  // namespace gpu_gate
