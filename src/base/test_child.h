#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "base/unique_fd.h"

namespace gpu_gate {

struct TestPipe {
  TestPipe() {
    std::array<int, 2> ends{-1, -1};
    EXPECT_EQ(::pipe(ends.data()), 0);
    read_end = UniqueFd(ends[0]);
    write_end = UniqueFd(ends[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

/// What became of a child process: what it said on its standard output, and waitpid(2)'s status.
struct ChildEnd {
  std::string said;
  int status = 0;

  bool exited(int code) const { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
  bool died_of(int signal) const { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }
};

/// Everything up to the end of the file.
inline std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

/// Runs `body` in a child process, where it may change limits, signals and descriptors, and may end
/// the process or become another program. The text that it returns, if it does, is said.
template <class Body>
ChildEnd in_child(Body body) {
  TestPipe pipe;
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe.write_end.get(), STDOUT_FILENO);
    pipe.read_end.reset();
    pipe.write_end.reset();
    // An exception ends the child here, and does not make it go on with the parent's tests.
    const std::string said = [&]() noexcept { return body(); }();
    const ssize_t written = ::write(STDOUT_FILENO, said.data(), said.size());
    ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 99);
  }
  EXPECT_GT(child, 0);
  pipe.write_end.reset();
  ChildEnd end{.said = read_all(pipe.read_end.get())};
  EXPECT_EQ(::waitpid(child, &end.status, 0), child);
  return end;
}

}  // namespace gpu_gate
