#include "cluster/step_script.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "base/test_child.h"
#include "base/test_folder.h"

namespace gpu_gate {
namespace {

const std::string kStart = "\036gpu-gate\037start\03717\0370\037n1\0370,2\037GPU-a,GPU-c\n";

TEST(StepErrors, TellTheStartAndPassOnWhatIsTheCommands) {
  StepErrors errors;
  EXPECT_EQ(errors.take("prolog\n"), "prolog\n");
  EXPECT_EQ(errors.take(kStart.substr(0, 9)), "");
  EXPECT_FALSE(errors.start());
  EXPECT_EQ(errors.take(kStart.substr(9) + "mine"), "mine");
  ASSERT_TRUE(errors.start());
  EXPECT_EQ(errors.start()->job, "17");
  EXPECT_EQ(errors.start()->step, "0");
  EXPECT_EQ(errors.start()->node, "n1");
  EXPECT_EQ(errors.start()->visible, "0,2");
  EXPECT_EQ(errors.start()->uuids, "GPU-a,GPU-c");
  EXPECT_FALSE(errors.lacks_directory());
}

TEST(StepErrors, BelieveInOneStartOnly) {
  StepErrors errors;
  errors.take(kStart);
  const std::string other = "\036gpu-gate\037start\03799\0370\037n9\0370\037\n";
  EXPECT_EQ(errors.take(other), other);
  EXPECT_EQ(errors.start()->job, "17");
}

TEST(StepErrors, TellOfAMissingDirectory) {
  StepErrors errors;
  EXPECT_EQ(errors.take("\036gpu-gate\037no-directory\n"), "");
  EXPECT_TRUE(errors.lacks_directory());
  EXPECT_FALSE(errors.start());
}

TEST(StepErrors, TakeOutTheLinesOfSlurmThatAreOfThisStep) {
  const std::string ours = "slurmstepd: error: *** STEP 17.0 ON n1 CANCELLED AT 2026 ***\n";
  const std::string of_node = "slurmstepd-n1: error: Detected 1 oom_kill event in StepId=17.0.\n";
  const std::string inner = "slurmstepd: error: *** STEP 18.0 ON n1 CANCELLED AT 2026 ***\n";
  const std::string all = "a\n" + ours + "b " + ours + inner + of_node + "slurm\nslurmstepd";
  // Whatever pieces it comes in, as long as a line of Slurm's is not cut before its name ends.
  for (std::size_t size : {1UL, 13UL, 20UL, 1000UL}) {
    StepErrors errors;
    errors.take(kStart);
    std::string passed;
    for (std::size_t at = 0; at < all.size(); at += size) {
      if (size == 1) {
        passed = errors.take(all);
        break;
      }
      passed += errors.take(all.substr(at, size));
    }
    passed += errors.rest();
    if (size == 1 || size == 1000) {
      EXPECT_EQ(passed, "a\nb " + ours + inner + "slurm\nslurmstepd");
      EXPECT_EQ(errors.said(),
                (std::vector<std::string>{"error: *** STEP 17.0 ON n1 CANCELLED AT 2026 ***",
                                          "error: Detected 1 oom_kill event in StepId=17.0."}));
      EXPECT_TRUE(errors.said().empty());
    }
  }
}

TEST(StepErrors, KeepNothingBackOfACommandThatRuns) {
  StepErrors errors;
  errors.take(kStart);
  for (const char* part : {"s", "progress 1%\r", "\n", "no newline"})
    EXPECT_EQ(errors.take(part), part);
  const std::string long_line = "\nslurmstepd: " + std::string(5000, 'x');
  EXPECT_EQ(errors.take(long_line), long_line) << "nobody writes such a line";
  EXPECT_EQ(errors.take("\nslurmstepd is"), "\n");
  EXPECT_EQ(errors.rest(), "slurmstepd is");
}

/// What becomes of a step with this script as its input and environment.
class StepScriptTest : public testing::Test {
 protected:
  ChildEnd run(const std::string& input, const std::vector<std::string>& command,
               const std::string& visible = "0") const {
    return in_child([&]() -> std::string {
      TestPipe in;
      if (::write(in.write_end.get(), input.data(), input.size()) < 0) return "";
      in.write_end.reset();
      ::dup2(in.read_end.get(), 0);
      ::dup2(1, 2);
      if (::chdir("/") != 0) return "no /";
      for (const auto& [name, value] :
           std::map<std::string, std::string>{{"SLURM_JOB_ID", "17"},
                                              {"SLURM_STEP_ID", "0"},
                                              {"SLURMD_NODENAME", "n1"},
                                              {"CUDA_VISIBLE_DEVICES", visible},
                                              {"uuid", "mine"}}) {
        ::setenv(name.c_str(), value.c_str(), 1);
      }
      const std::vector<std::string> words = step_words(folder_.path(), command, paths());
      std::vector<char*> argv;
      for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      return "not started";
    });
  }

  NodePaths paths() const {
    return {.driver = folder_.path("gpus"), .devices = folder_.path("nvidia")};
  }

  /// A GPU of the node, as /proc/driver/nvidia/gpus shows it.
  void add_gpu(const std::string& address, const std::string& uuid, int minor) const {
    folder_.write("gpus/" + address + "/information",
                  "Model: \t\t NVIDIA L40S\nIRQ:   \t\t 77\nGPU UUID: \t " + uuid +
                      "\nVideo BIOS: \t 95.02\nBus Type: \t PCIe\nDevice Minor: \t " +
                      std::to_string(minor) + "\nGPU Excluded:\t No\n");
  }

  std::string uuids(const std::string& visible) const {
    return run("\n", {"/bin/sh", "-c", "echo =$GPU_GATE_UUIDS= $uuid"}, visible).said;
  }

  TestFolder folder_;
};

TEST_F(StepScriptTest, StartsTheCommandAtTheWord) {
  const ChildEnd end = run("go\nrest", {"/bin/sh", "-c", "cat; pwd; exit 7"});
  EXPECT_EQ(end.said,
            "\036gpu-gate\037start\03717\0370\037n1\0370\037\nrest" + folder_.path() + "\n");
  EXPECT_TRUE(end.exited(7));
}

TEST_F(StepScriptTest, StartsNothingWithoutTheWord) {
  const ChildEnd end = run("", {"/bin/sh", "-c", "echo started; exit 7"});
  EXPECT_EQ(end.said, "\036gpu-gate\037start\03717\0370\037n1\0370\037\n");
  EXPECT_TRUE(end.exited(0));
}

TEST_F(StepScriptTest, EndsAsAShellDoes) {
  EXPECT_TRUE(run("\n", {"no-such-program"}).exited(127));
  EXPECT_TRUE(run("\n", {"/etc/passwd"}).exited(126));
  const ChildEnd killed = run("\n", {"/bin/sh", "-c", "kill -KILL $$"});
  EXPECT_TRUE(killed.exited(137));
  EXPECT_EQ(killed.said.find("Killed"), std::string::npos) << killed.said;
}

TEST_F(StepScriptTest, NamesTheGpusThatCudaWouldTake) {
  EXPECT_NE(uuids("0").find("\n== mine"), std::string::npos) << "no driver";
  add_gpu("0000:17:00.0", "GPU-a", 1);
  add_gpu("0000:31:00.0", "GPU-b", 0);
  add_gpu("0000:98:00.0", "GPU-c", 2);
  for (int minor = 0; minor < 3; ++minor) folder_.write("nvidia" + std::to_string(minor), "");
  EXPECT_NE(uuids("0,2").find("=GPU-a,GPU-c= mine"), std::string::npos) << uuids("0,2");
  EXPECT_NE(uuids("1").find("=GPU-b="), std::string::npos);
  EXPECT_NE(uuids("3").find("=="), std::string::npos) << "there is none";
  EXPECT_NE(uuids("MIG-1,MIG-2").find("=MIG-1,MIG-2="), std::string::npos);
  // What a device cgroup closes CUDA does not count.
  std::filesystem::remove(folder_.path("nvidia1"));
  EXPECT_NE(uuids("0,1").find("=GPU-b,GPU-c= mine"), std::string::npos) << uuids("0,1");
}

}  // namespace
}  // namespace gpu_gate
