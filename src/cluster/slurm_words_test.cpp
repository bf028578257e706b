#include "cluster/slurm_words.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Names = std::vector<std::string>;

constexpr SlurmColumn kColumns[] = {{.name = "A", .width = 3}, {.name = "B", .width = 4}};

TEST(SlurmColumns, AreAskedForByNameAndWidth) {
  EXPECT_EQ(format_option(kColumns), "--Format=A:3,B:4");
}

TEST(SlurmColumns, AreCutByTheirWidths) {
  EXPECT_EQ(cells_of_columns("a  b   x\nabcdefgh\n\n  ", kColumns),
            (std::vector<Names>{{"a", "b"}, {"abc", "defg"}, {"", ""}, {"", ""}}));
  EXPECT_TRUE(cells_of_columns("", kColumns).empty());
}

TEST(ElapsedSeconds, AreReadWithAndWithoutDays) {
  EXPECT_EQ(elapsed_seconds("0:00"), 0);
  EXPECT_EQ(elapsed_seconds("2:03"), 123);
  EXPECT_EQ(elapsed_seconds("01:02:03"), 3723);
  EXPECT_EQ(elapsed_seconds("2-01:00:00"), 2 * 86400 + 3600);
  for (const char* text : {"", "INVALID", "N/A", "1-", "-1:00", "1:x", "1:1:1:1:1:1:1:1:1:1:1"}) {
    EXPECT_FALSE(elapsed_seconds(text)) << text;
  }
}

TEST(ExpandHosts, NamesEachHost) {
  EXPECT_EQ(expand_hosts("n1", 9), Names{"n1"});
  EXPECT_EQ(expand_hosts("n1,m", 9), (Names{"n1", "m"}));
  EXPECT_EQ(expand_hosts("gpu[01-03,07],login", 9),
            (Names{"gpu01", "gpu02", "gpu03", "gpu07", "login"}));
  EXPECT_EQ(expand_hosts("n[9-11]-ib", 9), (Names{"n9-ib", "n10-ib", "n11-ib"}));
  EXPECT_EQ(expand_hosts("r[0-1]n[1-2]", 9), (Names{"r0n1", "r0n2", "r1n1", "r1n2"}));
  EXPECT_EQ(expand_hosts("", 9), Names{});
}

TEST(ExpandHosts, IsBounded) {
  EXPECT_EQ(expand_hosts("n[0-2000000000]", 3), (Names{"n0", "n1", "n2"}));
  EXPECT_EQ(expand_hosts("a,b,c", 2), (Names{"a", "b"}));
  std::string brackets;
  for (int i = 0; i < 100000; ++i) brackets += "[1-2]";
  EXPECT_EQ(expand_hosts(brackets, 5).size(), 5U);
  EXPECT_EQ(expand_hosts("n[3-1]", 5), Names{});
  EXPECT_EQ(expand_hosts("n[1", 5), Names{"n[1"});
}

}  // namespace
}  // namespace gpu_gate
