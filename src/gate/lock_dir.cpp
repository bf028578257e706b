#include "gate/lock_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "base/printable.h"
#include "base/process.h"
#include "base/umask.h"
#include "gate/file_system.h"

namespace gpu_gate {
namespace {

constexpr mode_t kDirMode = 01777;
constexpr const char* kClaims = "claims";

/// The directory that it is in: "/a" of "/a/b/".
std::string parent_of_path(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  path.resize(std::max<std::size_t>(path.rfind('/'), 1));
  return path;
}

constexpr const char* kOwnDir = "set GPU_GATE_LOCK_DIR to a local directory that you may write to";

/// What helps, in words and as a line to paste ("": another directory).
struct Remedy {
  std::string words;
  std::string line;
};

/// Where this user was refused: opening it to all helps where it is there and not open.
Remedy remedy_for_denied(const std::string& denied) {
  struct stat info{};
  if (::stat(denied.c_str(), &info) != 0) return {.words = std::string("; ") + kOwnDir, .line = ""};
  Remedy remedy{.words = "; it belongs to " + user_name(info.st_uid) + "; ", .line = ""};
  if ((info.st_mode & kDirMode) != kDirMode) {
    remedy.words += "its owner can open it to all users (`chmod 1777`), or ";
    remedy.line = "sudo chmod 1777 " + shell_word(printable(denied));
  }
  remedy.words += kOwnDir;
  return remedy;
}

/// `path`: of the lock directory. `denied`: what this user may not use.
Remedy remedy_for(int errnum, const std::string& path, const std::string& denied) {
  switch (errnum) {
    case EACCES:
    case EPERM:
      return remedy_for_denied(denied);
    case EROFS:
      return {.words = std::string("; it is mounted read-only: mount it to be written to, or ") +
                       kOwnDir,
              .line = "sudo mount -o remount,rw \"$(findmnt -no TARGET -T " +
                      shell_word(printable(path)) + ")\""};
    case ENOSPC:
    case EDQUOT:
      return {.words = std::string("; free some space, or ") + kOwnDir, .line = ""};
    case ENOENT:
      return {.words = "; make its parent directory first",
              .line = "mkdir -p " + shell_word(printable(parent_of_path(path)))};
    default:
      return {.words = std::string("; ") + kOwnDir, .line = ""};
  }
}

constexpr const char* kUnusable = "cannot use the lock directory";

/// Says which directory an error is about and what helps.
Error explained(Error error, const std::string& path, const std::string& denied) {
  Remedy remedy = remedy_for(error.errnum, path, denied);
  error.kind = ErrorKind::lock_dir;
  error.diagnosis = {.what = error.text, .remedy = std::move(remedy.line)};
  error.text = std::string(kUnusable) + " " + printable(path) + ": " + error.text + remedy.words;
  return error;
}

/// A failed call on the directory, or on one inside it.
tl::unexpected<Error> unusable(const char* call, const std::string& path, int errnum,
                               const std::string& inside = "") {
  const std::string file = path + inside;
  Error error = system_error(ErrorKind::lock_file, call, file, errnum);
  if (error.kind != ErrorKind::lock_file) return fail(std::move(error));
  const bool is_there = ::access(file.c_str(), F_OK) == 0;
  return fail(explained(std::move(error), path, is_there ? file : path));
}

/// mkdir with exactly kDirMode.
bool make_dir(int at, const char* path) {
  const NoUmask exact_mode;
  return ::mkdirat(at, path, kDirMode) == 0;
}

/// Opens a directory inside the lock directory; nothing where it is missing and not to be made.
Result<UniqueFd> open_part(int root, const std::string& path, const char* name, bool make) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  const std::string inside = std::string("/") + name;
  UniqueFd part(::openat(root, name, kFlags));
  if (!part && errno == ENOENT) {
    if (!make) return UniqueFd();
    if (!make_dir(root, name) && errno != EEXIST) return unusable("mkdir", path, errno, inside);
    part = UniqueFd(::openat(root, name, kFlags));
  }
  if (!part) return unusable("open", path, errno, inside);
  return part;
}

}  // namespace

Result<LockDir> LockDir::open_at(const std::string& path, bool make, bool follow) {
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
  LockDir dir;
  dir.path_ = path;
  dir.root_ = UniqueFd(::open(path.c_str(), flags));
  if (!dir.root_ && errno == ENOENT) {
    if (!make) return dir;
    if (!make_dir(AT_FDCWD, path.c_str()) && errno != EEXIST) return unusable("mkdir", path, errno);
    dir.root_ = UniqueFd(::open(path.c_str(), flags));
  }
  if (!dir.root_) return unusable("open", path, errno);

  if (::fstat(dir.root_.get(), &dir.opened_) != 0) return unusable("fstat", path, errno);
  const Result<std::optional<std::string>> network = network_file_system(dir.root_.get());
  if (!network) return fail(explain_lock_error(network.error(), path));
  if (*network) {
    const std::string what = "it is on " + **network + ", which other machines share";
    return fail({.kind = ErrorKind::lock_dir,
                 .text = std::string(kUnusable) + " " + printable(path) + ": " + what +
                         "; set GPU_GATE_LOCK_DIR to a local directory",
                 .diagnosis = {.what = what, .remedy = ""}});
  }
  for (auto [part, name] : {std::pair(&dir.queue_, "queue"), std::pair(&dir.claims_, kClaims)}) {
    Result<UniqueFd> opened = open_part(dir.root_.get(), path, name, make);
    if (!opened) return fail(opened.error());
    if (make) dir.take_over(opened->get(), kDirMode);
    *part = std::move(*opened);
  }
  return dir;
}

namespace {

bool writable_by_all(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && (info.st_mode & S_IWOTH) != 0;
}

std::string in_shared(const std::string& parent) { return parent + "/gpu-gate"; }

/// Where the lock directory may be if the user has not chosen one.
std::vector<std::string> default_places(const LockDirPaths& paths) {
  std::vector<std::string> places{paths.administered};
  std::transform(paths.shared.begin(), paths.shared.end(), std::back_inserter(places), in_shared);
  return places;
}

struct Candidate {
  std::string path;
  bool follow = false;  // a link is followed only where the user or the administrator named it
  bool last_resort = false;
};

Result<Candidate> choose_place(const LockDirPaths& paths) {
  if (paths.chosen) {
    if (paths.chosen->starts_with('/')) return Candidate{.path = *paths.chosen, .follow = true};
    return fail(ErrorKind::usage,
                "GPU_GATE_LOCK_DIR: '" + printable(*paths.chosen) +
                    "' is not an absolute path: there would be a line for each working directory; "
                    "begin it with /");
  }
  struct stat info{};
  if (::stat(paths.administered.c_str(), &info) == 0)
    return Candidate{.path = paths.administered, .follow = true};
  for (const std::string& parent : paths.shared) {
    if (!writable_by_all(parent)) continue;
    return Candidate{.path = in_shared(parent), .last_resort = parent == paths.shared.back()};
  }
  const std::string what =
      "there is no " + paths.administered + ", and no other directory that all users may write to";
  return fail({.kind = ErrorKind::lock_dir,
               .text = std::string(kUnusable) + ": " + what + "; set GPU_GATE_LOCK_DIR",
               .diagnosis = {.what = what, .remedy = ""}});
}

}  // namespace

Result<LockDir> LockDir::open_chosen(const LockDirPaths& paths, bool make) {
  const Result<Candidate> candidate = choose_place(paths);
  if (!candidate) return fail(candidate.error());
  Result<LockDir> dir = open_at(candidate->path, make, candidate->follow);
  if (!dir) return dir;
  dir->is_last_resort_ = candidate->last_resort;
  dir->paths_ = paths;
  if (paths.chosen) return dir;
  const std::vector<std::string> places = default_places(paths);
  std::copy_if(places.begin(), places.end(), std::back_inserter(dir->other_places_),
               [&](const std::string& place) { return place != candidate->path; });
  return dir;
}

Result<std::string> LockDir::chosen_path(const LockDirPaths& paths) {
  const Result<Candidate> candidate = choose_place(paths);
  if (!candidate) return fail(candidate.error());
  return candidate->path;
}

Result<LockDir> LockDir::open_existing(const LockDirPaths& paths) {
  return open_chosen(paths, false);
}

Result<LockDir> LockDir::open(const LockDirPaths& paths) { return open_chosen(paths, true); }

// What another user put there (a link, something that cannot be opened) is no place of claims.
Result<UniqueFd> LockDir::open_other_claims(std::size_t place) const {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const std::string& path = other_places_[place];
  const auto failed = [&](int errnum) -> Result<UniqueFd> {
    Error error = system_error(ErrorKind::lock_file, "open", path, errnum);
    if (error.kind == ErrorKind::lock_file) return UniqueFd();
    return fail(std::move(error));
  };
  const UniqueFd root(::open(path.c_str(), kFlags));
  if (!root) return failed(errno);
  struct stat info{};
  if (::fstat(root.get(), &info) != 0 ||
      (info.st_ino == opened_.st_ino && info.st_dev == opened_.st_dev)) {
    return UniqueFd();
  }
  const Result<std::optional<std::string>> network = network_file_system(root.get());
  if (!network || *network) return UniqueFd();
  UniqueFd claims(::openat(root.get(), kClaims, kFlags));
  if (!claims) return failed(errno);
  return claims;
}

void LockDir::take_over(int part, mode_t mode) const {
  struct stat info{};
  if (opened_.st_uid != 0 || ::geteuid() != 0 || ::fstat(part, &info) != 0 || info.st_uid == 0) {
    return;
  }
  if (::fchown(part, 0, 0) == 0) ::fchmod(part, mode);
}

namespace {

/// Is there room for one more file? tmpfs without a limit tells of no blocks at all.
bool is_full(int fd) {
  struct statvfs info{};
  if (::fstatvfs(fd, &info) != 0) return false;
  const bool root = ::geteuid() == 0;  // who may use what is kept back, too
  return (info.f_blocks > 0 && (root ? info.f_bfree : info.f_bavail) == 0) ||
         (info.f_files > 0 && (root ? info.f_ffree : info.f_favail) == 0);
}

}  // namespace

Status LockDir::check_usable() const {
  if (root_.get() < 0) {
    struct stat link{};
    if (::lstat(path_.c_str(), &link) == 0) return unusable("open", path_, ENOENT);
    if (::access(parent_of_path(path_).c_str(), W_OK | X_OK) != 0) {
      return unusable("mkdir", path_, errno);
    }
    return {};
  }
  for (const auto& [part, name] : {std::pair(queue(), "queue"), std::pair(claims(), kClaims)}) {
    const std::string inside = part < 0 ? "" : std::string("/") + name;
    if (::access((path_ + inside).c_str(), W_OK | X_OK) != 0) {
      return unusable(part < 0 ? "mkdir" : "access", path_, errno, inside);
    }
  }
  if (is_full(root_.get())) return unusable("mkfifo", path_, ENOSPC);
  return {};
}

bool LockDir::is_current() const {
  const Result<Candidate> candidate = choose_place(paths_);
  struct stat at_path{};
  return candidate && candidate->path == path_ && ::stat(path_.c_str(), &at_path) == 0 &&
         at_path.st_ino == opened_.st_ino && at_path.st_dev == opened_.st_dev;
}

Error explain_lock_error(Error error, const std::string& path) {
  if (error.kind != ErrorKind::lock_file) return error;
  return explained(std::move(error), path, path);
}

}  // namespace gpu_gate
