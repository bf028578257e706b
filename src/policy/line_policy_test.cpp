#include "policy/line_policy.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

TEST(LinePolicy, WithoutAFileItIsTurnsAndNoLimit) {
  const LinePolicy policy = parse_line_policy("");
  EXPECT_EQ(policy.order, LineOrder::turns);
  EXPECT_FALSE(policy.max_per_user);
  EXPECT_TRUE(policy.unread.empty());
}

TEST(LinePolicy, ReadsItsKeys) {
  const LinePolicy policy = parse_line_policy("order = arrival\nmax-per-user=3\n");
  EXPECT_EQ(policy.order, LineOrder::arrival);
  EXPECT_EQ(policy.max_per_user, 3);
}

TEST(LinePolicy, SpacesAndCommentsDoNotMatter) {
  const LinePolicy policy =
      parse_line_policy("# ours\n\n  max-per-user\t =  2   # two\r\n\torder=arrival#x\n   \n");
  EXPECT_EQ(policy.order, LineOrder::arrival);
  EXPECT_EQ(policy.max_per_user, 2);
  EXPECT_TRUE(policy.unread.empty());
}

TEST(LinePolicy, TheLastLineNeedsNoEnd) {
  EXPECT_EQ(parse_line_policy("max-per-user = 2").max_per_user, 2);
}

TEST(LinePolicy, TheLastGoodLineOfAKeyHolds) {
  const LinePolicy policy = parse_line_policy(
      "max-per-user = 2\nmax-per-user = 4\nmax-per-user = none\norder = arrival\norder = turns\n");
  EXPECT_EQ(policy.max_per_user, 4);
  EXPECT_EQ(policy.order, LineOrder::turns);
}

TEST(LinePolicy, WhatCannotBeReadIsIgnoredAndTold) {
  for (const char* line :
       {"order", "order = fair", "order turns", "Order = turns", "max-per-user = 0",
        "max-per-user = -1", "max-per-user = 2 GPUs", "max-per-user = 99999999999",
        "max-per-user =", "= 2", "max_per_user = 2", "order = arrival arrival"}) {
    const LinePolicy policy = parse_line_policy(std::string(line) + "\n");
    EXPECT_EQ(policy.unread, std::vector<std::string>{line});
    EXPECT_EQ(policy.order, LineOrder::turns) << line;
    EXPECT_FALSE(policy.max_per_user) << line;
  }
}

}  // namespace
}  // namespace gpu_gate
