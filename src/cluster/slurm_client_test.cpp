#include "cluster/slurm_client.h"

#include <gtest/gtest.h>

#include <csignal>

#include "base/clock.h"
#include "base/test_child.h"

namespace gpu_gate {
namespace {

constexpr std::chrono::seconds kLong{60};
const char* const kEnvironment[] = {"PATH=/usr/bin:/bin", "A=b", nullptr};

Result<ClientEnd> shell(const std::string& script, std::chrono::seconds limit = kLong) {
  return run_client({"/bin/sh", "-c", script}, kEnvironment, limit);
}

TEST(RunClient, TellsTheCodeAndBothStreamsApart) {
  const Result<ClientEnd> end = shell("echo out; echo err >&2; exit 7");
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code, 7);
  EXPECT_EQ(end->out, "out\n");
  EXPECT_EQ(end->err, "err\n");
  EXPECT_EQ(shell("kill -9 $$")->code, 128 + SIGKILL);
}

TEST(RunClient, TakesMoreThanAPipeHoldsOnBothStreams) {
  const Result<ClientEnd> end = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
  ASSERT_TRUE(end);
  EXPECT_EQ(end->out.size(), 1000000U);
  EXPECT_EQ(end->err.size(), 1000000U);
}

TEST(RunClient, GivesItNoInput) { EXPECT_EQ(shell("cat")->out, ""); }

TEST(RunClient, EndsACommandThatTakesTooLong) {
  const Clock::time_point began = Clock::now();
  const Result<ClientEnd> end = shell("exec sleep 1000", std::chrono::seconds(1));
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().kind, ErrorKind::gpu_state);
  EXPECT_LT(Clock::now() - began, kLong);
}

TEST(RunClient, DoesNotWaitForWhatItLeavesBehind) {
  const Result<ClientEnd> end = shell("sleep 1000 & exit 0", std::chrono::seconds(1));
  EXPECT_FALSE(end);
}

TEST(RunClient, TellsTheCodeAlsoWhereChildrenAreNotWaitedFor) {
  const ChildEnd end = in_child([] {
    ::signal(SIGCHLD, SIG_IGN);
    return std::to_string(shell("exit 7")->code);
  });
  EXPECT_EQ(end.said, "7");
}

TEST(RunClient, GivesItTheEnvironment) { EXPECT_EQ(shell("echo $A")->out, "b\n"); }

TEST(RunClient, TellsOfOneThatCannotBeExecutedAsAShellDoes) {
  EXPECT_EQ(run_client({"/nonexistent/squeue"}, kEnvironment, kLong)->code, 127);
}

TEST(RunClient, SaysWhyACommandFailedAsThatDoes) {
  EXPECT_EQ(
      shell("echo out; echo >&2; echo more >&2; echo 'a: fatal: no' >&2; exit 1")->complaint(),
      "a: fatal: no");
  EXPECT_EQ(shell("printf 'it is \\033 DOWN\\n****'; exit 1")->complaint(), "it is \\x1b DOWN");
  EXPECT_EQ(shell("exit 3")->complaint(), "exit status 3");
}

TEST(ReachSlurm, SaysWhichCommandIsMissing) {
  const char* const environment[] = {"PATH=/nonexistent", nullptr};
  const Result<SlurmClient> reached = reach_slurm(environment);
  ASSERT_FALSE(reached);
  EXPECT_EQ(reached.error().kind, ErrorKind::gpu_state);
  EXPECT_NE(reached.error().text.find("there is no srun here"), std::string::npos);
}

}  // namespace
}  // namespace gpu_gate
