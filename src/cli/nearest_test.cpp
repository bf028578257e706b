#include "cli/nearest.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

TEST(Nearest, ForgivesOneSlipOfAShortWord) {
  const Words known{"run", "wait", "hold", "status"};
  EXPECT_EQ(nearest("rnu", known), "run") << "swapped";
  EXPECT_EQ(nearest("wat", known), "wait") << "left out";
  EXPECT_EQ(nearest("holld", known), "hold") << "put in";
  EXPECT_EQ(nearest("stetus", known), "status") << "changed";
}

TEST(Nearest, ForgivesASlipForEveryThreeLetters) {
  EXPECT_EQ(nearest("abcxyf", {"abcdef"}), "abcdef");
  EXPECT_EQ(nearest("abxxxf", {"abcdef"}), "");
  EXPECT_EQ(nearest("ax", {"ay"}), "") << "a word of two letters has none to spare";
}

TEST(Nearest, TakesAnAbbreviationBeforeASlip) {
  EXPECT_EQ(nearest("mem", {"men", "min-free-mem"}), "min-free-mem");
}

TEST(Nearest, TakesTheShorterOfTwoThatAreAbbreviatedTheSame) {
  EXPECT_EQ(nearest("st", {"start-all", "start"}), "start");
}

TEST(Nearest, TakesTheFirstOfTwoThatAreAsNear) {
  EXPECT_EQ(nearest("cot", {"cat", "cut"}), "cat");
  EXPECT_EQ(nearest("cot", {"cut", "cat"}), "cut");
}

TEST(Nearest, IgnoresDashesInFrontAndCapitals) {
  EXPECT_EQ(nearest("-Count", {"--count"}), "--count");
  EXPECT_EQ(nearest("count", {"--count"}), "--count");
  EXPECT_EQ(nearest("---COUNT", {"--count"}), "--count");
}

TEST(Nearest, IsNothingForAWordThatSaysNothing) {
  for (const char* word : {"", "-", "--", "-------", "x", "--x"}) {
    EXPECT_EQ(nearest(word, {"x-ray", "exec"}), "") << word;
  }
  EXPECT_EQ(nearest("run", {}), "");
}

TEST(Nearest, IsNothingForAWordThatIsFar) {
  for (const char* word : {"exec", "python", "nvidia-smi", "\xff\xfe\xfd", "日本"}) {
    EXPECT_EQ(nearest(word, {"run", "wait", "hold", "status", "help"}), "") << word;
  }
}

TEST(Nearest, TakesNoTimeOverAWordThatIsTooLong) {
  EXPECT_EQ(nearest(std::string(1'000'000, 'x'), {"xx"}), "");
  EXPECT_EQ(nearest(std::string(40, 'x'), {std::string(40, 'x')}), std::string(40, 'x'));
  EXPECT_EQ(nearest(std::string(41, 'x'), {std::string(41, 'x')}), "");
}

}  // namespace
}  // namespace gpu_gate
