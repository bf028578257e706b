#include "job/command.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/printable.h"

namespace gpu_gate {
namespace {

// Scripts use 3 to 9, 200 to 255 (flock(1), shells), 300 and 999; a soft limit of 1024 leaves room.
constexpr int kFirstDescriptor = 720;
constexpr std::size_t kMaxReserved = 1024;

/// 0 if the file can be executed, else the errno that says why not.
int executable_errno(const std::string& file) {
  struct stat info{};
  if (::stat(file.c_str(), &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return S_ISDIR(info.st_mode) ? EISDIR : EACCES;
  return ::faccessat(AT_FDCWD, file.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

bool is_missing(int errnum) { return errnum == ENOENT || errnum == ENOTDIR; }

Error cannot_run(const std::string& name, int errnum) {
  if (is_missing(errnum))
    return Error{.kind = ErrorKind::not_found,
                 .text = printable(name) + ": command not found",
                 .errnum = errnum};
  return Error{.kind = ErrorKind::not_executable,
               .text = printable(name) + ": " + std::strerror(errnum),
               .errnum = errnum};
}

}  // namespace

Result<std::string> find_command(const std::string& name, const char* path) {
  if (name.find('/') != std::string::npos) {
    if (const int errnum = executable_errno(name); errnum != 0)
      return fail(cannot_run(name, errnum));
    return name;
  }
  if (name.empty()) return fail(ErrorKind::not_found, "'': command not found");
  // Without PATH execvp(3) searches these.
  std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";
  int refused = 0;
  for (;;) {
    const auto colon = rest.find(':');
    std::string file(rest.substr(0, colon));
    file += file.empty() ? "./" : "/";  // an empty entry is the current directory
    file += name;
    const int errnum = executable_errno(file);
    if (errnum == 0) return file;
    if (!is_missing(errnum)) refused = errnum;
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return fail(cannot_run(name, refused != 0 ? refused : ENOENT));
}

void reserve_descriptors(std::size_t count) {
  // Any open descriptor can be duplicated; standard error is open (cli/cli.cpp).
  const auto last = static_cast<int>(std::min<std::size_t>(count, kMaxReserved)) - 1;
  UniqueFd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, kFirstDescriptor + last));
}

Status hand_over(std::vector<UniqueFd>& held) {
  for (UniqueFd& fd : held) {
    // fcntl(F_DUPFD) gives the lowest free number from here on, without close-on-exec.
    int inherited = ::fcntl(fd.get(), F_DUPFD, kFirstDescriptor);
    struct rlimit limit{};
    if (inherited < 0 && ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > held.size()) {
      inherited = ::fcntl(fd.get(), F_DUPFD, static_cast<int>(limit.rlim_cur - held.size()));
    }
    if (inherited >= 0) {
      fd.reset(inherited);
    } else if (::fcntl(fd.get(), F_SETFD, 0) < 0) {  // its own number, then
      return fail(system_error(ErrorKind::system, "fcntl", "F_SETFD", errno));
    }
  }
  return {};
}

std::vector<char*> argument_list(const std::vector<std::string>& words) {
  std::vector<char*> list;
  list.reserve(words.size() + 1);
  for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

Error exec_command(const std::string& file, const std::vector<std::string>& words,
                   const std::vector<std::string>& environment) {
  const std::vector<char*> argv = argument_list(words);
  const std::vector<char*> envp = argument_list(environment);
  ::execve(file.c_str(), argv.data(), envp.data());
  if (errno == ENOEXEC) {
    std::vector<std::string> shell{"/bin/sh", file};
    shell.insert(shell.end(), words.begin() + 1, words.end());
    const std::vector<char*> shell_argv = argument_list(shell);
    ::execve("/bin/sh", shell_argv.data(), envp.data());
  }
  const int errnum = errno;
  if (is_missing(errnum) && executable_errno(file) == 0) {
    return Error{.kind = ErrorKind::not_found,
                 .text = printable(file) + ": its interpreter is missing",
                 .errnum = errnum};
  }
  return cannot_run(file, errnum);
}

}  // namespace gpu_gate
