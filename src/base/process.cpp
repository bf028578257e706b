#include "base/process.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/unique_fd.h"

namespace gpu_gate {

std::optional<std::string> read_small_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return std::nullopt;
  std::string text(limit, '\0');
  std::size_t size = 0;
  while (size < limit) {
    const ssize_t got = ::read(fd.get(), text.data() + size, limit - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

std::optional<ProcessIdentity> process_identity(pid_t pid, const std::string& proc) {
  const std::string folder = proc + "/" + std::to_string(pid);
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0) return std::nullopt;
  const std::optional<std::string> text = read_small_file(folder + "/stat", 4096);
  if (!text) return std::nullopt;
  // The name (field 2) is in brackets and may itself hold brackets and spaces: count after the
  // last.
  std::size_t at = text->rfind(')');
  if (at == std::string::npos || at + 2 >= text->size()) return std::nullopt;
  const char state = (*text)[at + 2];
  if (state == 'Z' || state == 'X') return std::nullopt;
  constexpr int kFieldsFromStateToStart = 19;  // proc(5): state is field 3, starttime field 22
  at += 2;
  for (int i = 0; i < kFieldsFromStateToStart; ++i) {
    at = text->find(' ', at);
    if (at == std::string::npos) return std::nullopt;
    ++at;
  }
  ProcessIdentity identity{pid, 0, info.st_uid};
  std::from_chars(text->data() + at, text->data() + text->size(), identity.start_ticks);
  return identity;
}

std::string process_command(pid_t pid, std::size_t limit, const std::string& proc) {
  const std::string folder = proc + "/" + std::to_string(pid);
  std::string words = read_small_file(folder + "/cmdline", limit).value_or("");
  while (!words.empty() && words.back() == '\0') words.pop_back();
  std::replace(words.begin(), words.end(), '\0', ' ');
  if (!words.empty()) return words;
  std::string name = read_small_file(folder + "/comm", 64).value_or("");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name.empty() ? name : "[" + name + "]";
}

std::uint64_t pid_namespace() {
  struct stat info{};
  return ::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

std::string user_name(uid_t uid) {
  const struct passwd* entry = ::getpwuid(uid);
  return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

}  // namespace gpu_gate
