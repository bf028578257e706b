#include "gate/backoff.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

/// From `passed` after the release to the next look.
nanoseconds interval(nanoseconds passed) {
  const Clock::time_point release{seconds(1000)};
  Backoff backoff;
  backoff.start(release);
  const auto next = backoff.next(release + passed);
  return next ? *next - (release + passed) : nanoseconds(-1);
}

TEST(Backoff, LooksAfterHalfTheTimeThatHasPassed) {
  EXPECT_EQ(interval(milliseconds(10)), milliseconds(5));
  EXPECT_EQ(interval(milliseconds(60)), milliseconds(30));
}

TEST(Backoff, BeginsWithAMillisecond) {
  EXPECT_EQ(interval(nanoseconds(0)), milliseconds(1));
  EXPECT_EQ(interval(milliseconds(1)), milliseconds(1));
}

TEST(Backoff, IsAtMostFortyMillisecondsForFiveSeconds) {
  EXPECT_EQ(interval(milliseconds(80)), milliseconds(40));
  EXPECT_EQ(interval(milliseconds(4999)), milliseconds(40));
}

TEST(Backoff, IsAQuarterOfASecondUpToThirtySeconds) {
  EXPECT_EQ(interval(seconds(5)), milliseconds(250));
  EXPECT_EQ(interval(milliseconds(29999)), milliseconds(250));
}

TEST(Backoff, LeavesTheRestToThePoll) { EXPECT_EQ(interval(seconds(30)), nanoseconds(-1)); }

TEST(Backoff, DoesNothingBeforeARelease) { EXPECT_FALSE(Backoff().next(Clock::time_point{})); }

TEST(Backoff, EndsWhenItIsStoppedAndBeginsAnewWithTheNextRelease) {
  const Clock::time_point release{seconds(1000)};
  Backoff backoff;
  backoff.start(release);
  backoff.stop();
  EXPECT_FALSE(backoff.next(release));
  backoff.start(release + seconds(60));
  EXPECT_EQ(backoff.next(release + seconds(60)), release + seconds(60) + milliseconds(1));
}

/// A release is noticed at most half as late as it already is, or 40 ms late.
TEST(Backoff, CatchesADrainThatTakesAnyTimeUpToFiveSeconds) {
  const Clock::time_point release{seconds(1000)};
  for (milliseconds drain{1}; drain < seconds(5); drain += milliseconds(37)) {
    Backoff backoff;
    backoff.start(release);
    Clock::time_point look = release;
    int looks = 0;
    while (look < release + drain && looks < 1000) {
      look = *backoff.next(look);
      ++looks;
    }
    EXPECT_LE(look - (release + drain), milliseconds(41)) << drain.count();
    EXPECT_LT(looks, 150) << drain.count();
  }
}

TEST(Backoff, ANewReleaseBeginsAnewWithoutAStop) {
  const Clock::time_point release{seconds(1000)};
  const Clock::time_point next{seconds(1010)};
  Backoff backoff;
  backoff.start(release);
  EXPECT_EQ(backoff.next(next), next + milliseconds(250));
  backoff.start(next);
  EXPECT_EQ(backoff.next(next), next + milliseconds(1));
}

TEST(Backoff, OneThatRanOutBeginsAnewWithTheNextRelease) {
  const Clock::time_point release{seconds(1000)};
  Backoff backoff;
  backoff.start(release);
  const Clock::time_point next = release + std::chrono::hours(1);
  EXPECT_FALSE(backoff.next(next));
  backoff.start(next);
  EXPECT_TRUE(backoff.next(next));
}

}  // namespace
}  // namespace gpu_gate
