#include "cluster/srun_report.h"

#include <gtest/gtest.h>

#include "cluster/srun_options.h"

namespace gpu_gate {
namespace {

SrunReport srun_that_says(const std::string& text) {
  SrunReport report;
  report.take(text);
  return report;
}

Error refused_by(const std::string& text, int status = kSrunFailed) {
  return srun_that_says(text).refusal(status);
}

TEST(SrunReport, KnowsThatItWaits) {
  SrunReport report;
  report.take("srun: job 17 queued and wai");
  EXPECT_FALSE(report.waits());
  report.take("ting for resources\n");
  EXPECT_TRUE(report.waits());
  EXPECT_EQ(report.job(), "17");
  EXPECT_FALSE(report.was_granted());
  report.take("srun: job 17 has been allocated resources\n");
  EXPECT_TRUE(report.was_granted());

  const SrunReport step = srun_that_says(
      "srun: Job 29 step creation temporarily disabled, retrying (Requested nodes are busy)\n");
  EXPECT_TRUE(step.waits());
  EXPECT_EQ(step.job(), "");
  EXPECT_TRUE(srun_that_says("srun: Step created for job 29\n").was_granted());
  EXPECT_TRUE(srun_that_says("srun: Job has been cancelled\n").was_cancelled());
}

TEST(SrunReport, TellsOfARunningCommandWhatMatters) {
  SrunReport report = srun_that_says(
      "srun: error: Node failure on n1\nsrun: error: Node failure on n1\nsrun: Force Terminated "
      "job 17\n"
      "srun: Job step aborted: Waiting up to 4 seconds for job step to finish.\n");
  EXPECT_EQ(report.news(), std::vector<std::string>{"Node failure on n1"});
  EXPECT_TRUE(report.news().empty());
  EXPECT_TRUE(report.lost_node());
  EXPECT_FALSE(report.told_end());
  SrunReport ended = srun_that_says("srun: error: n1: task 0: Exited with exit code 3\n");
  EXPECT_TRUE(ended.told_end());
  EXPECT_TRUE(ended.news().empty());
}

TEST(SrunReport, KnowsWhatTheClusterCanNeverMeet) {
  const Error never = refused_by(
      "srun: error: Unable to allocate resources: Requested node configuration is not available\n");
  EXPECT_EQ(never.kind, ErrorKind::impossible);
  EXPECT_EQ(never.text, "Slurm refuses the request: Requested node configuration is not available");
  const Error step = refused_by(
      "srun: error: Step requested gres=gpu:3 is more than the job's gres=gpu:2\n"
      "srun: error: Unable to create step for job 29: Invalid generic resource (gres) "
      "specification\n");
  EXPECT_EQ(step.kind, ErrorKind::impossible);
  EXPECT_EQ(step.text,
            "Slurm refuses the request: Invalid generic resource (gres) specification (Step "
            "requested gres=gpu:3 is "
            "more than the job's gres=gpu:2)");
}

TEST(SrunReport, KnowsThatSlurmCannotBeReached) {
  for (const char* text :
       {"srun: error: Unable to allocate resources: Unable to contact slurm controller (connect "
        "failure)\n",
        "srun: error: Unable to allocate resources: Socket timed out on send/recv operation\n",
        "srun: error: Unable to allocate resources: Protocol authentication error\n",
        "srun: fatal: Could not establish a configuration source\n",
        "srun: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
        "srun: error: fetch_config: DNS SRV lookup failed\n"
        "srun: fatal: Could not establish a configuration source\n"}) {
    EXPECT_EQ(refused_by(text).kind, ErrorKind::gpu_state) << text;
    EXPECT_TRUE(refused_by(text).text.starts_with("Slurm cannot be reached: "))
        << refused_by(text).text;
  }
}

TEST(SrunReport, KnowsOptionsThatSrunDoesNotTake) {
  const Error unknown = refused_by(
      "srun: unrecognized option '--frob'\nTry \"srun --help\" for more information\n", 255);
  EXPECT_EQ(unknown.kind, ErrorKind::usage);
  EXPECT_EQ(unknown.text,
            "srun does not take its options: unrecognized option '--frob'; look at --slurm-args");
  EXPECT_EQ(refused_by("srun: error: Invalid --time specification\n", 255).kind, ErrorKind::usage);
}

TEST(SrunReport, KnowsThatItWouldHaveToWait) {
  EXPECT_EQ(refused_by("srun: error: Unable to allocate resources: Requested nodes are busy\n",
                       kSrunWouldWait)
                .kind,
            ErrorKind::timed_out);
  EXPECT_EQ(
      refused_by("srun: error: Unable to create step for job 29: Requested nodes are busy\n").kind,
      ErrorKind::timed_out);
}

TEST(SrunReport, SaysSoWhereItKnowsNothing) {
  EXPECT_EQ(refused_by("srun: job 17 queued and waiting for resources\n", 1).kind,
            ErrorKind::system);
  EXPECT_EQ(refused_by("", 0).kind, ErrorKind::system);
  EXPECT_EQ(refused_by("", 0).text, "srun did not start the command: it ended with 0");
}

}  // namespace
}  // namespace gpu_gate
