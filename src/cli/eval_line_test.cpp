#include "cli/eval_line.h"

#include <gtest/gtest.h>

#include "base/test_child.h"

namespace gpu_gate {
namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

TEST(EvalLine, QuotesEveryValue) {
  EXPECT_EQ(export_line(Variables{{"A", "0,2"}, {"B", ""}, {"C", "it's $(x) `y` \\ \"z\""}}),
            "export A='0,2' B='' C='it'\\''s $(x) `y` \\ \"z\"'\n");
}

TEST(EvalLine, OfAFailureHasItsCode) { EXPECT_EQ(failure_line(124), "(exit 124)\n"); }

TEST(EvalLine, IsAskedForByHoldAlone) {
  EXPECT_TRUE(asks_for_export({"hold", "--export", "--pid", "x"}));
  EXPECT_TRUE(asks_for_export({"hold", "-n", "0", "--export"}));
  EXPECT_FALSE(asks_for_export({"hold", "--pid", "1"}));
  EXPECT_FALSE(asks_for_export({"run", "--", "hold", "--export"}));
  EXPECT_FALSE(asks_for_export({}));
}

TEST(FailureLineOnSignal, IsWrittenBeforeTheProcessDies) {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGXCPU, SIGSEGV}) {
    const ChildEnd end = in_child([signal]() -> std::string {
      ::signal(signal, SIG_DFL);
      const FailureLineOnSignal line;
      ::raise(signal);
      return "it lives";
    });
    EXPECT_TRUE(end.died_of(signal)) << signal;
    EXPECT_EQ(end.said, failure_line(128 + signal));
  }
}

TEST(FailureLineOnSignal, LeavesSignalsThatAreIgnoredAlone) {
  const ChildEnd end = in_child([] {
    ::signal(SIGHUP, SIG_IGN);
    const FailureLineOnSignal line;
    ::raise(SIGHUP);
    return std::string("it lives");
  });
  EXPECT_EQ(end.said, "it lives");
}

TEST(FailureLineOnSignal, IsNotWrittenAfterItsEnd) {
  const ChildEnd end = in_child([]() -> std::string {
    ::signal(SIGTERM, SIG_DFL);
    {
      const FailureLineOnSignal line;
    }
    ::raise(SIGTERM);
    return "it lives";
  });
  EXPECT_TRUE(end.died_of(SIGTERM));
  EXPECT_EQ(end.said, "");
}

TEST(ExportLine, UnsetsFirstWhatIsNotTrueAnyMore) {
  const std::vector<std::string> untrue{"B", "C"};
  EXPECT_EQ(export_line(Variables{{"A", "0"}}, untrue), "unset B C; export A='0'\n");
}

}  // namespace
}  // namespace gpu_gate
