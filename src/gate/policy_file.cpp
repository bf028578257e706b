#include "gate/policy_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

namespace gpu_gate {
namespace {

constexpr const char* kPolicyName = "policy";
constexpr std::size_t kMaxPolicyBytes = 65536;

bool counts(const struct stat& file, const LockDir& dir) {
  struct stat root{};
  if (!S_ISREG(file.st_mode) || (file.st_mode & (S_IWGRP | S_IWOTH)) != 0) return false;
  return file.st_uid == 0 || (::fstat(dir.root(), &root) == 0 && file.st_uid == root.st_uid);
}

/// The file if it counts.
UniqueFd open_policy(const LockDir& dir) {
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  UniqueFd fd(::openat(dir.root(), kPolicyName, kFlags));
  struct stat file{};
  if (!fd || ::fstat(fd.get(), &file) != 0 || !counts(file, dir)) return {};
  return fd;
}

}  // namespace

bool is_policy_ignored(const LockDir& dir) {
  struct stat file{};
  return ::fstatat(dir.root(), kPolicyName, &file, AT_SYMLINK_NOFOLLOW) == 0 && !open_policy(dir);
}

LinePolicy read_line_policy(const LockDir& dir) {
  const UniqueFd fd = open_policy(dir);
  if (!fd) return {};
  std::string text;
  std::array<char, 4096> part{};
  while (text.size() < kMaxPolicyBytes) {
    const ssize_t size = ::read(fd.get(), part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  return parse_line_policy(text);
}

}  // namespace gpu_gate
