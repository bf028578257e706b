#include "cli/meant_command.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

TEST(AsProgram, LeavesAProgramAndItsArguments) {
  for (const Words& words : {Words{}, Words{"python", "x"}, Words{"./a b", "c"}, Words{"=x"},
                             Words{"1=2"}, Words{"a-b=c"}, Words{"python", "A=1"}}) {
    EXPECT_EQ(as_program(words), words);
  }
}

TEST(AsProgram, GivesVariablesToEnv) {
  EXPECT_EQ(as_program({"A=1", "B=", "python", "x"}), (Words{"env", "A=1", "B=", "python", "x"}));
  EXPECT_EQ(as_program({"export", "A=1"}), (Words{"env", "A=1", "COMMAND"}));
}

TEST(AsProgram, GivesToAShellWhatOnlyAShellHas) {
  EXPECT_EQ(as_program({"cd", "/my dir"}), (Words{"sh", "-c", "cd '/my dir' && COMMAND"}));
  EXPECT_EQ(as_program({"source", "venv/bin/activate"}),
            (Words{"bash", "-c", "source venv/bin/activate && COMMAND"}));
  EXPECT_EQ(as_program({"for", "i", "in", "1"}), (Words{"sh", "-c", "for i in 1"}));
}

TEST(AsProgram, TakesACommandInQuotesApart) {
  EXPECT_EQ(as_program({"python  train.py --lr 1"}), (Words{"python", "train.py", "--lr", "1"}));
  EXPECT_EQ(as_program({"A=1 python x"}), (Words{"env", "A=1", "python", "x"}));
  EXPECT_EQ(as_program({"cd x && y"}), (Words{"sh", "-c", "cd x && y"}));
}

std::string hint_for(const Words& command, ErrorKind kind = ErrorKind::not_found) {
  return with_hint(Error{.kind = kind, .text = ""}, command, "/nonexistent").text;
}

TEST(WithHint, SaysNothingOfWhatItDoesNotKnow) {
  for (const Words& words : {Words{"no-such-program"}, Words{""}, Words{"a\nb c"}, Words{"-x"}}) {
    EXPECT_EQ(hint_for(words), "") << words[0];
  }
  EXPECT_EQ(hint_for({"A=1", "x"}, ErrorKind::not_executable), "");
}

TEST(WithHint, SaysHowItIsRun) {
  EXPECT_EQ(hint_for({"A=1", "x"}), "; to set a variable write -- env A=1 x");
  EXPECT_EQ(hint_for({"cd", "/tmp"}), "; for a line of shell write -- sh -c 'cd /tmp && COMMAND'");
  EXPECT_EQ(hint_for({"a b"}), "; write it without quotes: -- a b");
  EXPECT_EQ(hint_for({"-n", "2"}), "; options of gpu-gate come before the `--`");
  EXPECT_EQ(hint_for({"./x.py", "1"}, ErrorKind::not_executable), "; write -- python3 ./x.py 1");
  EXPECT_EQ(hint_for({"./x.sh"}, ErrorKind::not_executable), "; write -- sh ./x.sh");
  EXPECT_TRUE(hint_for({"CUDA_VISIBLE_DEVICES=0", "x"}).ends_with("write --only"));
}

}  // namespace
}  // namespace gpu_gate
