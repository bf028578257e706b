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
  ssize_t got = 0;
  do {
    got = ::read(fd.get(), text.data(), limit);
  } while (got < 0 && errno == EINTR);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

namespace {

/// /proc/<pid>/stat (proc(5)) from the third field on: the name before may itself hold brackets and
/// spaces. "" where the process is gone or hidden.
std::string stat_from_state(pid_t pid, const std::string& proc) {
  const std::string text =
      read_small_file(proc + "/" + std::to_string(pid) + "/stat", 4096).value_or("");
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= text.size() ? std::string()
                                                                      : text.substr(name_end + 2);
}

/// The n-th number behind the state; 0 where there are fewer.
std::uint64_t stat_number(const std::string& stat, int n) {
  std::size_t at = 0;
  for (int i = 0; i < n; ++i) {
    at = stat.find(' ', at);
    if (at == std::string::npos) return 0;
    ++at;
  }
  std::uint64_t number = 0;
  std::from_chars(stat.data() + at, stat.data() + stat.size(), number);
  return number;
}

}  // namespace

std::optional<ProcessIdentity> process_identity(pid_t pid, const std::string& proc) {
  struct stat info{};
  if (::stat((proc + "/" + std::to_string(pid)).c_str(), &info) != 0) return std::nullopt;
  const std::string stat = stat_from_state(pid, proc);
  if (stat.empty() || stat[0] == 'Z' || stat[0] == 'X') return std::nullopt;
  constexpr int kStart = 19;  // proc(5): state is field 3, starttime field 22
  return ProcessIdentity{.pid = pid, .start_ticks = stat_number(stat, kStart), .uid = info.st_uid};
}

pid_t parent_of(pid_t pid, const std::string& proc) {
  return static_cast<pid_t>(stat_number(stat_from_state(pid, proc), 1));
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
