#include "base/wait_set.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>

#include "base/test_child.h"

namespace gpu_gate {
namespace {

/// Interrupts every call of its process that sleeps, again and again, until its end.
class Interruptions {
 public:
  Interruptions() {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &before_);
    const struct itimerval soon{.it_interval = {.tv_sec = 0, .tv_usec = 1000},
                                .it_value = {.tv_sec = 0, .tv_usec = 1000}};
    ::setitimer(ITIMER_REAL, &soon, nullptr);
  }
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;
  ~Interruptions() {
    const struct itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

TEST(WaitSet, TellsWhichDescriptorWokeIt) {
  const TestPipe quiet;
  const TestPipe loud;
  ASSERT_EQ(::write(loud.write_end.get(), "x", 1), 1);
  WaitSet set;
  const WaitSet::Id silent = set.add(quiet.read_end.get(), POLLIN);
  const WaitSet::Id woke = set.add(loud.read_end.get(), POLLIN);
  ASSERT_TRUE(set.sleep());
  EXPECT_FALSE(set.fired(silent));
  EXPECT_TRUE(set.fired(woke));
}

TEST(WaitSet, HearsAHangUpWithoutAskingForEvents) {
  TestPipe pipe;
  pipe.write_end.reset();
  WaitSet set;
  const WaitSet::Id id = set.add(pipe.read_end.get(), 0);
  ASSERT_TRUE(set.sleep());
  EXPECT_TRUE(set.fired(id));
}

TEST(WaitSet, WakesAtTheEarliestTime) {
  WaitSet set;
  const WaitSet::Id none = set.add(-1, POLLIN);
  const auto now = Clock::now();
  set.until(now + std::chrono::hours(1));
  set.until(now + std::chrono::milliseconds(5));
  set.until(now + std::chrono::hours(2));
  ASSERT_TRUE(set.sleep());
  EXPECT_GE(Clock::now(), now + std::chrono::milliseconds(5));
  EXPECT_FALSE(set.fired(none));
}

TEST(WaitSet, DoesNotSleepWhenTheTimeHasPassed) {
  WaitSet set;
  set.until(Clock::now() - std::chrono::hours(1));
  EXPECT_TRUE(set.sleep());
}

TEST(WaitSet, ASignalThatIsCaughtWakesItWithNothingFired) {
  const TestPipe quiet;
  WaitSet set;
  const WaitSet::Id id = set.add(quiet.read_end.get(), POLLIN);
  const auto late = Clock::now() + std::chrono::hours(1);
  set.until(late);
  const Interruptions interruptions;
  ASSERT_TRUE(set.sleep());
  EXPECT_LT(Clock::now(), late);
  EXPECT_FALSE(set.fired(id));
}

TEST(WaitSet, WhatFiredBeforeDoesNotSeemToFireWhenASignalWakesIt) {
  const TestPipe pipe;
  ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
  WaitSet set;
  const WaitSet::Id id = set.add(pipe.read_end.get(), POLLIN);
  ASSERT_TRUE(set.sleep());
  ASSERT_TRUE(set.fired(id));
  char byte = 0;
  ASSERT_EQ(::read(pipe.read_end.get(), &byte, 1), 1);
  const Interruptions interruptions;
  ASSERT_TRUE(set.sleep());
  EXPECT_FALSE(set.fired(id));
}

TEST(WaitSet, TellsApartAnyNumberOfDescriptors) {
  const std::vector<TestPipe> pipes(100);
  WaitSet set;
  std::vector<WaitSet::Id> ids;
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    ids.push_back(set.add(pipes[i].read_end.get(), POLLIN));
    if (i % 7 == 3) {
      ASSERT_EQ(::write(pipes[i].write_end.get(), "x", 1), 1);
    }
  }
  ASSERT_TRUE(set.sleep());
  for (std::size_t i = 0; i < pipes.size(); ++i) EXPECT_EQ(set.fired(ids[i]), i % 7 == 3) << i;
}

TEST(WaitSet, ADescriptorMayBeAddedTwiceForDifferentEvents) {
  const TestPipe pipe;
  WaitSet set;
  const WaitSet::Id reading = set.add(pipe.read_end.get(), POLLIN);
  const WaitSet::Id writing = set.add(pipe.write_end.get(), POLLOUT);
  const WaitSet::Id hang_up = set.add(pipe.write_end.get(), 0);
  ASSERT_TRUE(set.sleep());
  EXPECT_FALSE(set.fired(reading));
  EXPECT_TRUE(set.fired(writing));
  EXPECT_FALSE(set.fired(hang_up));
}

TEST(WaitSet, ADescriptorThatIsClosedWakesIt) {
  TestPipe pipe;
  WaitSet set;
  const WaitSet::Id id = set.add(pipe.read_end.get(), 0);
  pipe.read_end.reset();
  ASSERT_TRUE(set.sleep());
  EXPECT_TRUE(set.fired(id));
}

TEST(WaitSet, AnEventIsToldAlsoWhereTheTimeHasPassed) {
  const TestPipe pipe;
  ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
  WaitSet set;
  const WaitSet::Id id = set.add(pipe.read_end.get(), POLLIN);
  set.until(Clock::now() - std::chrono::hours(1));
  ASSERT_TRUE(set.sleep());
  EXPECT_TRUE(set.fired(id));
}

TEST(WaitSet, APollThatFailsIsAnErrorOfTheSystemWithNothingFired) {
  const ChildEnd end = in_child([] {
    TestPipe pipe;
    pipe.write_end.reset();
    WaitSet set;
    const WaitSet::Id hung_up = set.add(pipe.read_end.get(), 0);
    for (int i = 0; i < 20; ++i) set.add(-1, POLLIN);
    if (!set.sleep() || !set.fired(hung_up)) return std::string("no hang-up");
    const struct rlimit few{.rlim_cur = 10, .rlim_max = 10};  // fewer than are polled
    ::setrlimit(RLIMIT_NOFILE, &few);
    const Status status = set.sleep();
    if (status) return std::string("it slept");
    return status.error().text + (status.error().kind == ErrorKind::system ? ", system" : "") +
           (set.fired(hung_up) ? ", fired" : "");
  });
  EXPECT_EQ(end.said, "ppoll(): Invalid argument, system");
}

}  // namespace
}  // namespace gpu_gate
