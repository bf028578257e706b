#include "report/trend.h"

#include <gtest/gtest.h>

#include "report/test_board.h"

namespace gpu_gate {
namespace {

Clock::time_point at_second(int second) { return Clock::time_point(std::chrono::seconds(second)); }

Board busy_board(std::optional<int> busy_pct, std::int64_t free_mib = 45468) {
  Device device = card(0, free_mib);
  device.utilization_pct = busy_pct;
  return {.rows = {board_row(device)}, .waiters = {}, .holders = {}};
}

TEST(Trends, KnowNothingBeforeTheFirstLook) {
  EXPECT_EQ(Trends(std::chrono::seconds(5)).last("GPU-0", 2), (std::vector<TrendStep>(2)));
}

TEST(Trends, HaveTheMeanLoadOfEachStepAndItsLastMemory) {
  Trends trends(std::chrono::seconds(5));
  trends.note(busy_board(10), at_second(5));
  trends.note(busy_board(30), at_second(9));
  trends.note(busy_board(100, 22434), at_second(10));
  const std::vector<TrendStep> steps = trends.last("GPU-0", 3);
  EXPECT_EQ(steps[0], TrendStep());
  EXPECT_EQ(steps[1], (TrendStep{.busy_pct = 20, .used_pct = 0}));
  EXPECT_EQ(steps[2], (TrendStep{.busy_pct = 100, .used_pct = 50}));
}

TEST(Trends, LeaveAGapWhereNobodyLookedOrTheDriverToldNothing) {
  Trends trends(std::chrono::seconds(5));
  trends.note(busy_board(10), at_second(0));
  trends.note(busy_board({}), at_second(15));
  const std::vector<TrendStep> steps = trends.last("GPU-0", 4);
  EXPECT_EQ(steps[0].busy_pct, 10);
  EXPECT_EQ(steps[1], TrendStep());
  EXPECT_EQ(steps[2], TrendStep());
  EXPECT_EQ(steps[3], (TrendStep{.busy_pct = {}, .used_pct = 0}));
}

TEST(Trends, LeaveAGapWhereTheDriverIsAway) {
  Trends trends(std::chrono::seconds(5));
  Board board = busy_board(10);
  board.rows[0].device.health = Health::unreadable;
  trends.note(board, at_second(0));
  EXPECT_EQ(trends.last("GPU-0", 1).front(), TrendStep());
}

TEST(Trends, ForgetADeviceThatIsGoneAndStepsThatNobodyWillSee) {
  Trends trends(std::chrono::seconds(5));
  for (int i = 0; i < 1000; ++i) trends.note(busy_board(50), at_second(5 * i));
  EXPECT_FALSE(trends.last("GPU-0", 500).front().busy_pct);
  EXPECT_TRUE(trends.last("GPU-0", 100).front().busy_pct);
  trends.note({}, at_second(5000));
  EXPECT_EQ(trends.last("GPU-0", 2), (std::vector<TrendStep>(2)));
}

}  // namespace
}  // namespace gpu_gate
