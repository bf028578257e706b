#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <utility>

#include "base/unique_fd.h"

// Processes for unit tests.
namespace gpu_gate {

/// How long a test waits for an event that is certain to come, before it fails.
constexpr int kPatienceMs = 10000;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    read_end = UniqueFd(ends[0]);
    write_end = UniqueFd(ends[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

/// Do these events, or a hang-up, come to the descriptor in time? With no time: are they there?
inline bool wakes(int fd, short events, int timeout_ms = kPatienceMs) {
  struct pollfd wait{.fd = fd, .events = events, .revents = 0};
  return ::poll(&wait, 1, timeout_ms) == 1;
}

/// A process that runs `body` with the means to tell its parent; killed at the latest when the test
/// ends. It has copies of all descriptors of the test, so what keeps a claim alive is to be made
/// later, or let go of in the body.
class Child {
 public:
  /// The child's end.
  class Self {
   public:
    explicit Self(int fd) : fd_(fd) {}
    void tell(std::uint64_t number) const {
      if (::write(fd_, &number, sizeof number) != sizeof number) ::_exit(1);
    }
    [[noreturn]] static void stay() {
      for (;;) ::pause();
    }

   private:
    int fd_;
  };

  template <class Body>
  explicit Child(Body body) {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      body(Self(pipe_.write_end.get()));
      ::_exit(0);
    }
    pipe_.write_end.reset();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  pid_t pid() const { return pid_; }

  /// The next number that the child tells; 0 and a failure if it ends or keeps silent instead.
  std::uint64_t hear() const {
    std::uint64_t number = 0;
    if (!wakes(pipe_.read_end.get(), POLLIN) ||
        ::read(pipe_.read_end.get(), &number, sizeof number) != sizeof number) {
      ADD_FAILURE() << "the child says nothing";
    }
    return number;
  }
  bool has_told() const { return wakes(pipe_.read_end.get(), POLLIN, 0); }

  void signal(int number) const { ::kill(pid_, number); }

  /// How it ended, as of waitpid(2).
  int wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }
  void end() {
    if (pid_ > 0) signal(SIGKILL);
    wait();
  }

 private:
  Pipe pipe_;
  pid_t pid_ = 0;
};

/// A child that only lives.
class Idler : public Child {
 public:
  Idler() : Child([](const Self&) { Self::stay(); }) {}
};

constexpr uid_t kNobody = 65534;

/// Makes a child another user, with a process that this user owns.
inline void become_nobody() {
  if (::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) {
    ::_exit(1);
  }
  // Without it /proc/<pid> would belong to root, as that of a program with changed rights.
  ::prctl(PR_SET_DUMPABLE, 1);
}

/// Skips a test that has to become another user.
#define NEEDS_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user"

}  // namespace gpu_gate
