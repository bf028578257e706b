#include "gate/timing.h"

#include <gtest/gtest.h>

namespace gpu_gate::timing {
namespace {

TEST(Timing, TheNearerToTheFrontTheMoreOftenAWaiterLooksAtTheLine) {
  EXPECT_EQ(line_check_interval(1), kLineCheck);
  EXPECT_EQ(line_check_interval(15), kLineCheck);
  EXPECT_EQ(line_check_interval(16), 2 * kLineCheck);
  EXPECT_EQ(line_check_interval(160), 11 * kLineCheck);
}

TEST(Timing, InALongLineTheLooksAtItStayFewHoweverLongItIs) {
  for (const std::size_t length : {16U, 100U, 1000U, 10000U}) {
    double looks_a_second = 0;
    for (std::size_t place = 1; place <= length; ++place) {
      looks_a_second += 1 / std::chrono::duration<double>(line_check_interval(place)).count();
    }
    // Each place more adds less than the one before: a harmonic series.
    EXPECT_LT(looks_a_second, 26) << length;
  }
}

TEST(Timing, ATerminalIsToldTheLessOftenTheLongerTheLineIs) {
  EXPECT_EQ(tick_interval(1), seconds(1));
  EXPECT_EQ(tick_interval(16), seconds(2));
  EXPECT_EQ(tick_interval(160), seconds(11));
  EXPECT_EQ(tick_interval(100000), seconds(60));
}

TEST(Timing, AWaiterThatIsCheckedForEachTimeIsRungEachTime) {
  EXPECT_LT(kRungJustNow, kLineCheck);
  EXPECT_LT(kRungJustNow, kAnswer);
}

}  // namespace
}  // namespace gpu_gate::timing
