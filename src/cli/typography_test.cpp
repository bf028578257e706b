#include "cli/typography.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

TEST(AsTyped, LeavesWhatAKeyboardHas) {
  for (const Words& words : {Words{}, Words{"run", "-n", "2", "--", "x"}, Words{"--count=2"},
                             Words{"é", "it's", "'"}, Words{"a–b"}, Words{"-"}, Words{""}}) {
    EXPECT_EQ(as_typed(words), words);
  }
}

TEST(AsTyped, MakesADashOfAnyKindThatOfAnOption) {
  for (const std::string dash : {"‐", "‑", "‒", "–", "—", "―", "−", "－"}) {
    EXPECT_EQ(as_typed({dash + "n"}), Words{"-n"}) << dash;
    EXPECT_EQ(as_typed({dash + "n2"}), Words{"-n2"}) << dash;
    EXPECT_EQ(as_typed({dash + "n=2"}), Words{"-n=2"}) << dash;
    EXPECT_EQ(as_typed({dash + "count"}), Words{"--count"}) << dash;
    EXPECT_EQ(as_typed({dash + dash + "count"}), Words{"--count"}) << dash;
    EXPECT_EQ(as_typed({"-" + dash + "count"}), Words{"--count"}) << dash;
    EXPECT_EQ(as_typed({dash}), Words{"--"}) << dash;
    EXPECT_EQ(as_typed({dash + dash}), Words{"--"}) << dash;
    EXPECT_EQ(as_typed({"--min" + dash + "free"}), Words{"--min-free"}) << dash;
  }
}

TEST(AsTyped, TakesQuotationMarksAwayAndKeepsWhatTheyHoldTogether) {
  EXPECT_EQ(as_typed({"“a”"}), Words{"a"});
  EXPECT_EQ(as_typed({"“a", "b”", "c"}), (Words{"a b", "c"}));
  EXPECT_EQ(as_typed({"„a", "b“"}), Words{"a b"});
  EXPECT_EQ(as_typed({"«a»", "‘b’"}), (Words{"a", "b"}));
  EXPECT_EQ(as_typed({"“a", "b"}), Words{"a b"});
  EXPECT_EQ(as_typed({"“"}), Words{""});
}

TEST(AsTyped, LeavesTheCommandAsItIs) {
  EXPECT_EQ(as_typed({"–n", "2", "--", "–x", "“y”"}), (Words{"-n", "2", "--", "–x", "“y”"}));
  EXPECT_EQ(as_typed({"—", "–x"}), (Words{"--", "–x"}));
}

TEST(WithPlainMarks, IsForValues) {
  EXPECT_EQ(with_plain_marks("0–3"), "0-3");
  EXPECT_EQ(with_plain_marks("“0–3”"), "0-3");
  EXPECT_EQ(with_plain_marks("0-3"), "0-3");
  EXPECT_EQ(with_plain_marks(""), "");
}

}  // namespace
}  // namespace gpu_gate
