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

}  // namespace
}  // namespace gpu_gate
