#include "cli/wrap.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Lines = std::vector<std::string>;

TEST(Wrap, BreaksBetweenWords) {
  EXPECT_EQ(wrapped("", 5), Lines{});
  EXPECT_EQ(wrapped("ab cd", 5), Lines{"ab cd"});
  EXPECT_EQ(wrapped("ab cd", 4), (Lines{"ab", "cd"}));
  EXPECT_EQ(wrapped("  ab   cd ", 9), Lines{"ab cd"});
  EXPECT_EQ(wrapped("a longer-than-that b", 6), (Lines{"a", "longer-than-that", "b"}));
}

TEST(Wrap, HasNoEmptyLineAndNoneForSpaces) {
  EXPECT_EQ(wrapped("   ", 5), Lines{});
  EXPECT_EQ(wrapped("ab", 0), Lines{"ab"});
  EXPECT_EQ(wrapped("toolong a", 3), (Lines{"toolong", "a"}));
}

TEST(Wrap, FillsEachLineAsFarAsItGoes) {
  EXPECT_EQ(wrapped("a b c d e", 3), (Lines{"a b", "c d", "e"}));
  EXPECT_EQ(wrapped("aaa bb c", 6), (Lines{"aaa bb", "c"}));
}

TEST(Wrap, LosesNoWordAndKeepsTheirOrder) {
  const std::string paragraph = "one two  three four five sixteen and a rather-long-one to end";
  for (std::size_t width = 1; width < 70; ++width) {
    std::string joined;
    for (const std::string& line : wrapped(paragraph, width)) {
      EXPECT_TRUE(line.size() <= width || line.find(' ') == std::string::npos) << line;
      joined += (joined.empty() ? "" : " ") + line;
    }
    EXPECT_EQ(joined, "one two three four five sixteen and a rather-long-one to end");
  }
}

}  // namespace
}  // namespace gpu_gate
