#include "base/wait_set.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

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

TEST(WaitSet, TellsWhichDescriptorWokeIt) {
  const Pipe quiet;
  const Pipe loud;
  ASSERT_EQ(::write(loud.write_end.get(), "x", 1), 1);
  WaitSet set;
  const WaitSet::Id silent = set.add(quiet.read_end.get(), POLLIN);
  const WaitSet::Id woke = set.add(loud.read_end.get(), POLLIN);
  ASSERT_TRUE(set.sleep());
  EXPECT_FALSE(set.fired(silent));
  EXPECT_TRUE(set.fired(woke));
}

TEST(WaitSet, HearsAHangUpWithoutAskingForEvents) {
  Pipe pipe;
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

}  // namespace
}  // namespace gpu_gate
