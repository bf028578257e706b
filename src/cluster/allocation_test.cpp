#include "cluster/allocation.h"

#include <gtest/gtest.h>

#include <vector>

namespace gpu_gate {
namespace {

using Variables = std::vector<const char*>;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const SlurmRemedy kRemedy{.line = "gpu-gate run -- ./job", .gpus = 1};

Status checked(Variables variables, std::optional<Vendor> vendor = std::nullopt) {
  variables.push_back(nullptr);
  return check_allocation(variables.data(), vendor, kRemedy);
}

std::string refused(Variables variables, std::optional<Vendor> vendor = std::nullopt) {
  const Status status = checked(std::move(variables), vendor);
  if (status) return "";
  EXPECT_EQ(status.error().kind, ErrorKind::impossible);
  EXPECT_NE(status.error().diagnosis.what, "");
  EXPECT_NE(status.error().diagnosis.remedy, "");
  return status.error().text;
}

std::string advice(Variables variables, const SlurmRemedy& remedy = kRemedy) {
  variables.push_back(nullptr);
  return allocation_advice(variables.data(), remedy);
}

TEST(Allocation, OutsideOfSlurmAllIsAllowed) {
  EXPECT_TRUE(checked({}));
  EXPECT_TRUE(checked({"CUDA_VISIBLE_DEVICES="})) << "that is for others to refuse";
  EXPECT_TRUE(checked({"SLURM_JOB_ID="}));
  EXPECT_EQ(advice({"CUDA_VISIBLE_DEVICES=0"}), "");
}

TEST(Allocation, OnANodeTheListOfVisibleDevicesAllows) {
  EXPECT_TRUE(checked({"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1", "CUDA_VISIBLE_DEVICES=0,1"}));
  EXPECT_TRUE(checked({"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1", "CUDA_VISIBLE_DEVICES=MIG-5"}));
}

TEST(Allocation, AJobWithoutAListHasNoGpuWhateverElseIsSaid) {
  for (const char* list : {"OTHER=1", "CUDA_VISIBLE_DEVICES=", "CUDA_VISIBLE_DEVICES=NoDevFiles",
                           "SLURM_STEP_GPUS=0", "SLURM_GPUS_ON_NODE=2"}) {
    const std::string text = refused({"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1", list});
    EXPECT_TRUE(has(text, "Slurm job 7 was given no GPU (CUDA_VISIBLE_DEVICES is ")) << list;
    EXPECT_TRUE(has(text, "srun --gpus=1 gpu-gate run -- ./job\n")) << text;
    EXPECT_TRUE(has(text, "--gpus-per-node=TYPE:N")) << text;
  }
}

TEST(Allocation, OnceTheVendorIsKnownItsOwnListCounts) {
  const Variables cuda{"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1", "CUDA_VISIBLE_DEVICES=0"};
  const Variables rocr{"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1", "ROCR_VISIBLE_DEVICES=0"};
  const Variables none{"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1"};
  EXPECT_TRUE(checked(rocr));
  EXPECT_TRUE(checked(rocr, Vendor::amd));
  EXPECT_TRUE(checked(cuda, Vendor::amd)) << "HIP reads it";
  EXPECT_TRUE(has(refused(rocr, Vendor::nvidia), "CUDA_VISIBLE_DEVICES is not set"));
  EXPECT_TRUE(has(refused(none, Vendor::amd), "ROCR_VISIBLE_DEVICES is not set"));
}

TEST(Allocation, TheShellThatAskedIsToldToGoToTheNode) {
  const std::string text = refused({"SLURM_JOB_ID=7", "CUDA_VISIBLE_DEVICES=0"});
  EXPECT_TRUE(has(text, "write srun gpu-gate run -- ./job")) << text;
  EXPECT_FALSE(has(text, "\n"));
}

TEST(Allocation, TheNumberOfTheJobIsMadePrintable) {
  EXPECT_TRUE(has(refused({"SLURM_JOB_ID=7\x1b[2J"}), "7\\x1b[2J"));
}

TEST(Allocation, MoreGpusAreAskedForOnOneNode) {
  const Variables job{"SLURM_JOB_ID=7", "SLURMD_NODENAME=n1", "CUDA_VISIBLE_DEVICES=0"};
  EXPECT_TRUE(has(advice(job), ": srun --gpus=1 gpu-gate run -- ./job"));
  EXPECT_TRUE(has(advice(job, {.line = "gpu-gate wait -n 2", .gpus = 2}),
                  ": srun -N1 --gpus=2 gpu-gate wait -n 2"));
}

TEST(IsInStepWithGpus, ButNotInABatchScriptOrOnALoginNode) {
  const auto told = [](const char* step, const char* gpus) {
    const char* const environment[] = {step, gpus, nullptr};
    return is_in_step_with_gpus(environment);
  };
  EXPECT_TRUE(told("SLURM_STEP_ID=0", "SLURM_STEP_GPUS=0,1"));
  EXPECT_FALSE(told("SLURM_STEP_ID=0", "SLURM_STEP_GPUS="));
  EXPECT_FALSE(told("SLURM_STEP_ID=4294967290", "SLURM_STEP_GPUS=0"))
      << "salloc's shell on the node";
  EXPECT_FALSE(told("SLURM_STEP_ID=4294967291", "SLURM_STEP_GPUS=0")) << "a batch script";
  EXPECT_FALSE(told("SLURM_STEP_ID=", "SLURM_STEP_GPUS=0"));
  EXPECT_FALSE(told("A=1", "SLURM_JOB_GPUS=0"));
}

}  // namespace
}  // namespace gpu_gate
