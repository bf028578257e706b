#include "cluster/srun_options.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

bool has_word(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST(SrunOptions, AskForOneTaskOnOneNode) {
  EXPECT_EQ(srun_options({.count = 2, .type = "", .name = "python", .note = "", .more = {}}, 9),
            (Words{"-N1", "-n1", "--gpus=2", "--unbuffered", "--chdir=/", "--error=/dev/fd/9",
                   "--job-name=python"}));
}

TEST(SrunOptions, HaveWhatWasAskedForAndTheUsersLast) {
  const Words words = srun_options({.count = 3,
                                    .type = "h100",
                                    .name = "x",
                                    .note = "my run",
                                    .nice = true,
                                    .at_once = true,
                                    .of_allocation = true,
                                    .more = {"--gpus=a100:1", "-t5"}},
                                   9);
  for (const char* word :
       {"--gpus=h100:3", "--comment=my run", "--nice", "--immediate=1", "--exact"}) {
    EXPECT_TRUE(has_word(words, word)) << word;
  }
  EXPECT_EQ(Words(words.end() - 2, words.end()), (Words{"--gpus=a100:1", "-t5"}));
}

TEST(CheckSrunOptions, LeavesToTheUserWhatGpuGateDoesNotGoBy) {
  EXPECT_TRUE(check_srun_options({}));
  EXPECT_TRUE(check_srun_options({"-p", "gpu", "-A", "lab", "-wn1", "--time=5", "--mem=8G", "-c4",
                                  "--gpus=h100:1", "--nodelist=n1", "--ntasks-per-core=1",
                                  "--exclusive", "-", "n", "-J", "x"}));
  for (const char* word :
       {"-N2", "-N", "--nodes=2", "-n", "-n4", "--ntasks=4", "--multi-prog", "-i", "--input=none",
        "-oout", "--output", "-e", "--error=x", "-l", "--label", "--pty", "-I", "--immediate=5"}) {
    const Status checked = check_srun_options({"-p", "gpu", word});
    ASSERT_FALSE(checked) << word;
    EXPECT_EQ(checked.error().kind, ErrorKind::usage);
    EXPECT_EQ(
        checked.error().text.rfind(std::string("--slurm-args: leave out '") + word + "': ", 0), 0U);
  }
}

TEST(SrunEnvironment, HasNothingThatChangesTheStreams) {
  const char* const environment[] = {"A=1",
                                     "SLURM_LABELIO=1",
                                     "SLURM_PARTITION=gpu",
                                     "SLURM_STDINMODE=none",
                                     "SLURM_EXIT_ERROR=9",
                                     nullptr};
  EXPECT_EQ(
      srun_environment(environment),
      (Words{"A=1", "SLURM_PARTITION=gpu", "SLURM_EXIT_ERROR=251", "SLURM_EXIT_IMMEDIATE=252"}));
}

}  // namespace
}  // namespace gpu_gate
