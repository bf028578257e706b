#include "cluster/client.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/env.h"
#include "base/printable.h"
#include "base/unique_fd.h"
#include "base/wait_set.h"

namespace gpu_gate {
namespace {

constexpr std::chrono::seconds kPingLimit{4};
constexpr std::size_t kMostOutput = std::size_t{512} << 20;

struct OutputPipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<OutputPipe> output_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(system_error(ErrorKind::system, "pipe", "", errno));
  }
  return OutputPipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

Error no_such_client(const std::string& name, int errnum) {
  const std::string what = errnum == ENOENT ? "there is no Slurm here: no " + name + " in PATH"
                                            : "cannot run " + name + ": " + std::strerror(errnum);
  return {.kind = ErrorKind::gpu_state,
          .text = what +
                  "; go to a machine from which jobs are submitted, or load the module for "
                  "Slurm",
          .errnum = errnum};
}

Result<pid_t> spawn(const std::vector<std::string>& words, int out, int err) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = 0;
  const int problem = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (problem == 0) return pid;
  if (problem == EAGAIN || problem == ENOMEM) {
    return fail(system_error(ErrorKind::system, "posix_spawn", words[0], problem));
  }
  return fail(no_such_client(words[0], problem));
}

/// Reads what is there; at the end of the file the descriptor is closed.
void read_part(UniqueFd& fd, std::string& text) {
  std::array<char, 65536> part{};
  const ssize_t got = ::read(fd.get(), part.data(), part.size());
  if (got > 0) text.append(part.data(), static_cast<std::size_t>(got));
  if (got == 0 || (got < 0 && errno != EINTR)) fd.reset();
}

/// Until both streams have ended. False where the time is over before.
Result<bool> read_both(OutputPipe& out, OutputPipe& err, ClientEnd& end, Clock::time_point until) {
  while (out.read_end || err.read_end) {
    if (Clock::now() >= until) return false;
    if (end.out.size() + end.err.size() > kMostOutput) return false;
    WaitSet set;
    const WaitSet::Id from_out = set.add(out.read_end.get(), POLLIN);
    const WaitSet::Id from_err = set.add(err.read_end.get(), POLLIN);
    set.until(until);
    if (Status slept = set.sleep(); !slept) return fail(slept.error());
    if (set.fired(from_out)) read_part(out.read_end, end.out);
    if (set.fired(from_err)) read_part(err.read_end, end.err);
  }
  return true;
}

/// As long as it lives, children can be waited for, also where the program was started with SIGCHLD
/// ignored: the kernel then drops what became of them.
class ChildrenLast {
 public:
  ChildrenLast() {
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &usual, &before_);
  }
  ChildrenLast(const ChildrenLast&) = delete;
  ChildrenLast& operator=(const ChildrenLast&) = delete;
  ~ChildrenLast() { ::sigaction(SIGCHLD, &before_, nullptr); }

 private:
  struct sigaction before_{};
};

int code_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

std::string ClientEnd::complaint() const {
  const std::string_view text = err.empty() ? out : err;
  const std::size_t begin = text.find_first_not_of(" \n");
  if (begin == std::string_view::npos) return "exit status " + std::to_string(code);
  if (err.empty()) return printable(text.substr(begin, text.find('\n', begin) - begin));
  const std::size_t end = text.find_last_not_of(" \n");
  const std::size_t before = text.rfind('\n', end);  // npos + 1 is 0
  return printable(text.substr(before + 1, end - before));
}

Result<ClientEnd> run_client(const std::vector<std::string>& words, std::chrono::seconds limit) {
  Result<OutputPipe> out = output_pipe();
  if (!out) return fail(out.error());
  Result<OutputPipe> err = output_pipe();
  if (!err) return fail(err.error());
  const Clock::time_point until = Clock::now() + limit;
  const ChildrenLast children_last;
  const Result<pid_t> pid = spawn(words, out->write_end.get(), err->write_end.get());
  if (!pid) return fail(pid.error());
  out->write_end.reset();
  err->write_end.reset();
  ClientEnd end;
  const Result<bool> read = read_both(*out, *err, end, until);
  if (!read || !*read) ::kill(*pid, SIGKILL);
  end.code = code_of(*pid);
  if (!read) return fail(read.error());
  if (*read) return end;
  return fail(ErrorKind::gpu_state,
              words[0] + " has not answered within " + std::to_string(limit.count()) +
                  " s: Slurm's controller may be busy, or away; try again, or see scontrol ping");
}

Status reach_slurm(const char* const* environment) {
  if (const auto file = env_setting(environment, env::kSlurmConf)) {
    if (::access(file->c_str(), R_OK) != 0) {
      return fail(ErrorKind::gpu_state,
                  "Slurm cannot be asked: SLURM_CONF names " + printable(*file) + ": " +
                      std::strerror(errno) +
                      "; unset SLURM_CONF, or set it to the cluster's slurm.conf");
    }
  }
  const Result<ClientEnd> ping = run_client({"scontrol", "ping"}, kPingLimit);
  if (!ping) return fail(ping.error());
  if (ping->code == 0) return {};
  return fail(ErrorKind::gpu_state, "Slurm cannot be asked (scontrol ping): " + ping->complaint() +
                                        "; try again later, or ask who keeps the cluster");
}

}  // namespace gpu_gate
