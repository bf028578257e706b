#include "gate/fifo.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace gpu_gate {
namespace {

class Fifo : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "gpu-gate-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    dir_ = UniqueFd(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  bool held(const char* name) { return open_if_held(dir_.get(), name).value().has_value(); }
  std::string folder_;
  UniqueFd dir_;
};

bool hung_up(int fd, int timeout_ms) {
  struct pollfd wait{fd, 0, 0};
  return ::poll(&wait, 1, timeout_ms) == 1 && (wait.revents & POLLHUP) != 0;
}

TEST_F(Fifo, IsHeldAsLongAsItsDescriptorIsOpen) {
  UniqueFd lock = create_held_fifo(dir_.get(), "a").value();
  EXPECT_TRUE(held("a"));
  lock.reset();
  EXPECT_FALSE(held("a"));
}

TEST_F(Fifo, ItsEndWakesWhoSleepsOnIt) {
  UniqueFd lock = create_held_fifo(dir_.get(), "a").value();
  std::optional<HeldFifo> seen = open_if_held(dir_.get(), "a").value();
  ASSERT_TRUE(seen);
  EXPECT_FALSE(hung_up(seen->read_end.get(), 0));
  lock.reset();
  EXPECT_TRUE(hung_up(seen->read_end.get(), 10000));
}

TEST_F(Fifo, IsHeldByTheLastProcessThatInheritedIt) {
  int go[2];
  ASSERT_EQ(::pipe(go), 0);
  UniqueFd lock = create_held_fifo(dir_.get(), "a").value();
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    ::close(go[1]);
    ::_exit(::read(go[0], &byte, 1) >= 0 ? 0 : 1);
  }
  lock.reset();
  std::optional<HeldFifo> seen = open_if_held(dir_.get(), "a").value();
  ASSERT_TRUE(seen);
  ::kill(child, SIGKILL);
  EXPECT_TRUE(hung_up(seen->read_end.get(), 10000));
  EXPECT_FALSE(held("a"));
  ::waitpid(child, nullptr, 0);
}

TEST_F(Fifo, ModesDoNotDependOnTheUmask) {
  const mode_t before = ::umask(0777);
  UniqueFd lock = create_held_fifo(dir_.get(), "a").value();
  UniqueFd bell = create_bell(dir_.get(), "b").value();
  ::umask(before);
  struct stat info{};
  ASSERT_EQ(::fstat(lock.get(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01644U);
  ASSERT_EQ(::fstat(bell.get(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01622U);
}

TEST_F(Fifo, ANameThatIsTakenIsToldByErrno) {
  UniqueFd lock = create_held_fifo(dir_.get(), "a").value();
  EXPECT_EQ(create_held_fifo(dir_.get(), "a").error().errnum, EEXIST);
  EXPECT_TRUE(held("a"));
}

TEST_F(Fifo, WhatIsNoFifoIsNotHeld) {
  UniqueFd(::openat(dir_.get(), "file", O_CREAT | O_WRONLY, 0644));
  ASSERT_EQ(::mkdirat(dir_.get(), "folder", 0755), 0);
  ASSERT_EQ(::symlinkat("file", dir_.get(), "link"), 0);
  for (const char* name : {"file", "folder", "link", "gone"}) EXPECT_FALSE(held(name)) << name;
}

TEST_F(Fifo, ABellRemembersWhenItWasRung) {
  UniqueFd bell = create_bell(dir_.get(), "b").value();
  EXPECT_FALSE(look_at_bell(dir_.get(), "b").value()->pending);
  EXPECT_FALSE(ring(dir_.get(), "b")->pending);
  EXPECT_TRUE(look_at_bell(dir_.get(), "b").value()->pending);
  EXPECT_TRUE(ring(dir_.get(), "b")->pending);
  answer_bell(bell.get());
  EXPECT_FALSE(look_at_bell(dir_.get(), "b").value()->pending);
}

TEST_F(Fifo, RingingAgainDoesNotMakeAPendingRingYounger) {
  UniqueFd bell = create_bell(dir_.get(), "b").value();
  ring(dir_.get(), "b");
  const BellState before = *look_at_bell(dir_.get(), "b").value();
  ::usleep(20000);  // more than the granularity of a file's time
  for (int i = 0; i < 100; ++i) ring(dir_.get(), "b");
  EXPECT_GE(look_at_bell(dir_.get(), "b").value()->age, before.age + std::chrono::milliseconds(20));
}

TEST_F(Fifo, AnAnswerEmptiesABellHoweverMuchSomebodyHasWritten) {
  UniqueFd bell = create_bell(dir_.get(), "b").value();
  {
    const UniqueFd write_end(::openat(dir_.get(), "b", O_WRONLY | O_NONBLOCK));
    const std::string noise(5000, 'a');
    ASSERT_EQ(::write(write_end.get(), noise.data(), noise.size()), 5000);
  }
  answer_bell(bell.get());
  EXPECT_FALSE(look_at_bell(dir_.get(), "b").value()->pending);
}

TEST_F(Fifo, ABellThatNobodyHearsIsNothing) {
  create_bell(dir_.get(), "b").value().reset();
  EXPECT_FALSE(ring(dir_.get(), "b"));
  EXPECT_FALSE(look_at_bell(dir_.get(), "gone").value());
}

}  // namespace
}  // namespace gpu_gate
