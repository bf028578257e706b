#include "base/process.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <map>

#include "base/folder.h"

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

// Fields of /proc/<pid>/stat (proc(5)), counted from the state on, which is the third.
constexpr int kParent = 1;
constexpr int kSession = 3;
constexpr int kProcessFlags = 6;
constexpr int kThreads = 17;
constexpr int kStart = 19;

/// The line of a process or thread in proc(5), from its folder, from the third field on: the name
/// before may itself hold brackets and spaces. "" where it is gone or hidden.
std::string stat_from_state(const std::string& folder) {
  const std::string text = read_small_file(folder + "/stat", 4096).value_or("");
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

std::string folder_of(pid_t pid, const std::string& proc) {
  return proc + "/" + std::to_string(pid);
}

/// Has the thread with this line ended, or begun to end?
bool is_ending(const std::string& stat) {
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING in include/linux/sched.h of the kernel
  return stat.empty() || stat[0] == 'Z' || stat[0] == 'X' ||
         (stat_number(stat, kProcessFlags) & kExiting) != 0;
}

/// Is there a thread that has not begun to end? Where they cannot be listed, for all one knows.
bool any_thread_lives(const std::string& folder) {
  const std::string tasks = folder + "/task";
  const FolderNames threads = names_in_folder(tasks);
  if (threads.names.empty() && threads.errnum != 0) return threads.errnum != ENOENT;
  return std::any_of(threads.names.begin(), threads.names.end(), [&](const std::string& thread) {
    return !is_ending(stat_from_state(tasks + "/" + thread));
  });
}

/// Of a process with this line of its first thread, which may end before the others.
bool all_end(const std::string& stat, const std::string& folder) {
  return is_ending(stat) && (stat_number(stat, kThreads) <= 1 || !any_thread_lives(folder));
}

bool hidden_process_lives(pid_t pid) {
  if (::kill(pid, 0) != 0 && errno == ESRCH) return false;
  return !pidfd_tells_end(pid);
}

}  // namespace

std::optional<ProcessIdentity> process_identity(pid_t pid, const std::string& proc) {
  struct stat info{};
  const std::string folder = folder_of(pid, proc);
  if (::stat(folder.c_str(), &info) != 0) return std::nullopt;
  const std::string stat = stat_from_state(folder);
  if (stat.empty() || stat[0] == 'Z' || stat[0] == 'X') return std::nullopt;
  return ProcessIdentity{.pid = pid, .start_ticks = stat_number(stat, kStart), .uid = info.st_uid};
}

bool process_lives(pid_t pid, std::uint64_t start_ticks, const std::string& proc) {
  const std::string folder = folder_of(pid, proc);
  const std::string stat = stat_from_state(folder);
  if (stat.empty()) return hidden_process_lives(pid);
  return stat_number(stat, kStart) == start_ticks && !all_end(stat, folder);
}

bool has_ended(pid_t pid, const std::string& proc) {
  const std::string folder = folder_of(pid, proc);
  const std::string stat = stat_from_state(folder);
  return !stat.empty() && all_end(stat, folder);
}

bool may_be_process_of(uid_t uid, pid_t pid, const std::string& proc) {
  const std::string stat = stat_from_state(folder_of(pid, proc));
  if (stat.empty()) return true;
  const auto is_of_user = [&](std::uint64_t other) {
    struct stat info{};
    return ::stat(folder_of(static_cast<pid_t>(other), proc).c_str(), &info) == 0 &&
           info.st_uid == uid;
  };
  const std::uint64_t parent = stat_number(stat, kParent);
  const std::uint64_t leader = stat_number(stat, kSession);
  if (is_of_user(static_cast<std::uint64_t>(pid)) || is_of_user(parent) || is_of_user(leader)) {
    return true;
  }
  // A daemon leads its own session, and a thread of the kernel is in none.
  return parent == 1 && leader != 0 &&
         ::access(folder_of(static_cast<pid_t>(leader), proc).c_str(), F_OK) != 0;
}

PidFd open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int errnum = fd ? 0 : errno;
  return {.fd = std::move(fd), .errnum = errnum};
}

char process_state(pid_t pid, const std::string& proc) {
  const std::string stat = stat_from_state(folder_of(pid, proc));
  return stat.empty() ? '\0' : stat[0];
}

bool pidfd_tells_end(pid_t pid) {
  const PidFd end = open_pidfd(pid);
  if (!end.fd) return end.errnum == ESRCH;
  struct pollfd ended{.fd = end.fd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) == 1;
}

pid_t parent_of(pid_t pid, const std::string& proc) {
  return static_cast<pid_t>(stat_number(stat_from_state(folder_of(pid, proc)), kParent));
}

std::vector<pid_t> with_ancestors(pid_t pid, const std::string& proc) {
  constexpr std::size_t kMost = 256;
  std::vector<pid_t> line;
  while (pid > 0 && line.size() < kMost) {
    line.push_back(pid);
    pid = pid == 1 ? 0 : parent_of(pid, proc);
  }
  return line;
}

bool descends_from(pid_t pid, pid_t ancestor, const std::string& proc) {
  const std::vector<pid_t> line = with_ancestors(pid, proc);
  return ancestor > 1 && std::find(line.begin(), line.end(), ancestor) != line.end();
}

std::vector<FileId> files_written_by(pid_t pid,
                                     const std::function<bool(std::string_view name)>& is_wanted,
                                     const std::string& proc) {
  const std::string folder = folder_of(pid, proc) + "/fd/";
  std::vector<FileId> files;
  for (const std::string& descriptor : names_in_folder(folder).names) {
    const std::string link = folder + descriptor;
    struct stat file{};
    if (::lstat(link.c_str(), &file) != 0 || (file.st_mode & S_IWUSR) == 0) continue;
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
    const std::string_view path(target.data(),
                                static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    if (!is_wanted(path.substr(path.rfind('/') + 1)) || ::stat(link.c_str(), &file) != 0) continue;
    files.emplace_back(file.st_dev, file.st_ino);
  }
  return files;
}

std::string process_name(pid_t pid, const std::string& proc) {
  std::string name = read_small_file(proc + "/" + std::to_string(pid) + "/comm", 64).value_or("");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

std::string process_command(pid_t pid, std::size_t limit, const std::string& proc) {
  const std::string folder = folder_of(pid, proc);
  std::string words = read_small_file(folder + "/cmdline", limit).value_or("");
  while (!words.empty() && words.back() == '\0') words.pop_back();
  std::replace(words.begin(), words.end(), '\0', ' ');
  if (!words.empty()) return words;
  const std::string name = process_name(pid, proc);
  return name.empty() ? name : "[" + name + "]";
}

// The words of a new program lie one behind another, and then its environment (exec_binprm in
// fs/exec.c of the kernel).
void show_command(std::string_view command) {
  char* const begin = program_invocation_name;
  char* const end = environ != nullptr ? *environ : nullptr;
  constexpr std::ptrdiff_t kMostBytes = 1 << 22;
  if (end <= begin || end - begin > kMostBytes) return;
  std::fill(begin, end, '\0');
  std::copy_n(command.begin(), std::min<std::ptrdiff_t>(std::ssize(command), end - begin - 1),
              begin);
}

std::uint64_t pid_namespace() {
  static const std::uint64_t number = [] {
    struct stat info{};
    return ::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
  }();
  return number;
}

std::string user_name(uid_t uid) {
  static std::map<uid_t, std::string> known;
  if (const auto name = known.find(uid); name != known.end()) return name->second;
  errno = 0;
  const struct passwd* entry = ::getpwuid(uid);
  const bool answered = entry != nullptr || errno == 0 || errno == ENOENT || errno == ESRCH;
  const std::string name = entry != nullptr ? entry->pw_name : std::to_string(uid);
  if (answered) known.emplace(uid, name);
  return name;
}

}  // namespace gpu_gate
