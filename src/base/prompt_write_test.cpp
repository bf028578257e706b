#include "base/prompt_write.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/test_child.h"

namespace gpu_gate {
namespace {

/// Both ends of a stream; nobody reads but the test.
struct Ends {
  UniqueFd reader;
  UniqueFd writer;
};

Ends small_pipe() {
  TestPipe pipe;
  ::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, 4096);
  return {.reader = std::move(pipe.read_end), .writer = std::move(pipe.write_end)};
}

/// The same pipe, by a description of its own.
UniqueFd never_blocking(int fd, int access) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return UniqueFd(::open(path.c_str(), access | O_NONBLOCK | O_CLOEXEC));
}

Ends socket_pair() {
  std::array<int, 2> ends{-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {.reader = UniqueFd(ends[0]), .writer = UniqueFd(ends[1])};
}

Ends pseudo_terminal() {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ::grantpt(master.get());
  ::unlockpt(master.get());
  std::array<char, 64> path{};
  ::ptsname_r(master.get(), path.data(), path.size());
  UniqueFd slave(::open(path.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  return {.reader = std::move(master), .writer = std::move(slave)};
}

/// Does the write end by itself, well before anybody could wonder why nothing happens?
PromptWrite timely(int fd, const std::string& text) {
  const auto began = Clock::now();
  const PromptWrite done = write_promptly(fd, text);
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(5));
  return done;
}

/// Until nothing more fits: the kernel empties a part of a terminal's buffer a moment later.
void fill(int fd) {
  constexpr int kSettledMs = 50;
  struct pollfd room{.fd = fd, .events = POLLOUT, .revents = 0};
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  do {
    for (const std::size_t size : {std::size_t{4096}, std::size_t{1}}) {
      while (::write(fd, std::string(size, 'x').data(), size) > 0) {
      }
    }
  } while (::poll(&room, 1, kSettledMs) == 1);
  ::fcntl(fd, F_SETFL, flags);
}

TEST(WritePromptly, WritesAllWhereThereIsRoom) {
  for (const Ends& ends : {small_pipe(), socket_pair(), pseudo_terminal()}) {
    const PromptWrite done = timely(ends.writer.get(), "some words");
    EXPECT_EQ(done.bytes, 10U);
    EXPECT_FALSE(done.full);
    std::array<char, 64> bytes{};
    EXPECT_EQ(::read(ends.reader.get(), bytes.data(), bytes.size()), 10);
  }
}

TEST(WritePromptly, WritesNothingWhereNobodyReads) {
  for (const Ends& ends : {small_pipe(), socket_pair(), pseudo_terminal()}) {
    fill(ends.writer.get());
    const PromptWrite done = timely(ends.writer.get(), "some words");
    EXPECT_EQ(done.bytes, 0U);
    EXPECT_TRUE(done.full);
  }
}

TEST(WritePromptly, WritesAPartWhereThereIsRoomForAPart) {
  for (const Ends& ends : {small_pipe(), socket_pair(), pseudo_terminal()}) {
    const PromptWrite done = timely(ends.writer.get(), std::string(4'000'000, 'x'));
    EXPECT_GT(done.bytes, 0U);
    EXPECT_LT(done.bytes, 4'000'000U);
    EXPECT_TRUE(done.full);
  }
}

TEST(WritePromptly, WritesNothingOnATerminalAfterCtrlS) {
  const Ends terminal = pseudo_terminal();
  ASSERT_EQ(::tcflow(terminal.writer.get(), TCOOFF), 0);
  EXPECT_EQ(timely(terminal.writer.get(), "some words").bytes, 0U);
  ASSERT_EQ(::tcflow(terminal.writer.get(), TCOON), 0);
  EXPECT_EQ(timely(terminal.writer.get(), "some words").bytes, 10U);
}

TEST(WritePromptly, EndsWhereAnotherWriterTakesTheRoomAfterTheQuestion) {
  // Once for each write the other makes room and takes it at once. It has no alarm of its own: the
  // handler of its signal is the process's.
  const Ends ends = small_pipe();
  const UniqueFd reader = never_blocking(ends.reader.get(), O_RDONLY);
  const UniqueFd writer = never_blocking(ends.writer.get(), O_WRONLY);
  constexpr int kEnd = -1;
  std::atomic<int> round{0};
  std::thread other([&] {
    std::array<char, 4096> bytes{};
    for (int seen = 0; seen != kEnd; seen = round) {
      [[maybe_unused]] const ssize_t taken = ::read(reader.get(), bytes.data(), bytes.size());
      [[maybe_unused]] const ssize_t written = ::write(writer.get(), bytes.data(), bytes.size());
      const auto start = Clock::now();
      while (round == seen && Clock::now() - start < std::chrono::seconds(10)) {
      }
    }
  });
  // Until a write had to be interrupted: one that ends by itself takes microseconds.
  bool was_interrupted = false;
  const auto deadline = Clock::now() + std::chrono::minutes(1);
  while (!was_interrupted && Clock::now() < deadline) {
    ++round;
    const auto start = Clock::now();
    was_interrupted =
        timely(ends.writer.get(), "x").full && Clock::now() - start > std::chrono::milliseconds(5);
  }
  round = kEnd;
  other.join();
  EXPECT_TRUE(was_interrupted);
}

TEST(WritePromptly, SaysWhereNothingWillEverBeTaken) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_FALSE(timely(full.get(), "x").full);
  Ends ends = small_pipe();
  ends.reader.reset();
  EXPECT_FALSE(timely(ends.writer.get(), "x").full);
}

TEST(WritePromptly, ChangesNoFlagOfTheDescriptorAndNoSignal) {
  const Ends ends = small_pipe();
  const int flags = ::fcntl(ends.writer.get(), F_GETFL);
  sigset_t mask_before;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask_before);
  struct sigaction before{};
  ::sigaction(SIGURG, nullptr, &before);
  fill(ends.writer.get());
  timely(ends.writer.get(), "x");
  EXPECT_EQ(::fcntl(ends.writer.get(), F_GETFL), flags);
  struct sigaction after{};
  ::sigaction(SIGURG, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    EXPECT_EQ(::sigismember(&mask, signal), ::sigismember(&mask_before, signal)) << signal;
  }
}

}  // namespace
}  // namespace gpu_gate
