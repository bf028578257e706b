#include "cli/text.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

TEST(HumanDuration, IsShort) {
  using std::chrono::seconds;
  EXPECT_EQ(human_duration(seconds(-3)), "0s");
  EXPECT_EQ(human_duration(seconds(59)), "59s");
  EXPECT_EQ(human_duration(seconds(60)), "1m");
  EXPECT_EQ(human_duration(seconds(3599)), "59m");
  EXPECT_EQ(human_duration(seconds(7980)), "2h13m");
  EXPECT_EQ(human_duration(seconds(7200)), "2h");
  EXPECT_EQ(human_duration(seconds(86400 * 3 + 4 * 3600)), "3d4h");
}

}  // namespace
}  // namespace gpu_gate
