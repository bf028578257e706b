#include "cluster/child.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/descriptors.h"
#include "base/signals.h"
#include "job/command.h"

namespace gpu_gate {
namespace {

void use_default_signals() {
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &usual, nullptr);
  const sigset_t none = set_of({});
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// In the child.
[[noreturn]] void become(const std::vector<char*>& argv, const std::vector<char*>& envp,
                         const ChildStreams& streams) {
  ::setsid();
  use_default_signals();
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const std::array<int, 3> wanted{streams.in, streams.out, streams.err};
  for (int i = 0; i < 3; ++i) {
    const int fd = wanted[static_cast<std::size_t>(i)];
    ::dup2(fd < 0 ? null : fd, i);
  }
  for (const int fd : streams.kept) ::fcntl(fd, F_SETFD, 0);
  close_others(streams.kept);
  ::execve(argv.front(), argv.data(), envp.data());
  ::_exit(127);
}

}  // namespace

Result<pid_t> start_child(const std::vector<std::string>& words,
                          const std::vector<std::string>& environment,
                          const ChildStreams& streams) {
  const std::vector<char*> argv = argument_list(words);
  const std::vector<char*> envp = argument_list(environment);
  const pid_t child = ::fork();
  if (child < 0) return fail(system_error(ErrorKind::system, "fork", "", errno));
  if (child == 0) become(argv, envp, streams);
  return child;
}

Result<Pipe> open_pipe(OwnEnd own) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(system_error(ErrorKind::system, "pipe", "", errno));
  }
  Pipe pipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
  ::fcntl(own == OwnEnd::read ? ends[0] : ends[1], F_SETFL, O_NONBLOCK);
  return pipe;
}

bool read_from(int fd, std::string& bytes) {
  constexpr std::size_t kChunk = 65536;  // a pipe's capacity (pipe(7))
  std::array<char, kChunk> chunk;        // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t got = ::read(fd, chunk.data(), chunk.size());
  if (got > 0) bytes.append(chunk.data(), static_cast<std::size_t>(got));
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

ChildStatuses::ChildStatuses() {
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &usual, &before_);
}

ChildStatuses::~ChildStatuses() { ::sigaction(SIGCHLD, &before_, nullptr); }

}  // namespace gpu_gate
