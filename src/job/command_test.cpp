#include "job/command.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "job/environment.h"

namespace gpu_gate {
namespace {

class FindCommand : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "gpu-gate-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    make("run", 0755);
    make("plain", 0644);
    ::mkdir((folder_ + "/sub").c_str(), 0755);
  }
  void TearDown() override { EXPECT_EQ(std::system(("rm -r " + folder_).c_str()), 0); }
  void make(const std::string& name, mode_t mode) {
    std::ofstream(folder_ + "/" + name) << "#!/bin/sh\n";
    ::chmod((folder_ + "/" + name).c_str(), mode);
  }
  std::string folder_;
};

TEST_F(FindCommand, SearchesPathInOrder) {
  const std::string path = "/nonexistent:" + folder_ + ":/bin";
  EXPECT_EQ(find_command("run", path.c_str()).value(), folder_ + "/run");
}

TEST_F(FindCommand, TakesANameWithASlashAsItIs) {
  EXPECT_EQ(find_command(folder_ + "/run", "/bin").value(), folder_ + "/run");
  EXPECT_EQ(find_command(folder_ + "/gone", "/bin").error().kind, ErrorKind::not_found);
}

TEST_F(FindCommand, TellsMissingFromNotExecutable) {
  EXPECT_EQ(find_command("gone", folder_.c_str()).error().kind, ErrorKind::not_found);
  EXPECT_EQ(find_command("plain", folder_.c_str()).error().kind, ErrorKind::not_executable);
  EXPECT_EQ(find_command("sub", folder_.c_str()).error().kind, ErrorKind::not_executable);
  EXPECT_EQ(find_command("", folder_.c_str()).error().kind, ErrorKind::not_found);
}

TEST_F(FindCommand, GoesOnAfterOneThatCannotBeExecuted) {
  const std::string path = folder_ + ":/bin";
  make("sh", 0644);
  EXPECT_EQ(find_command("sh", path.c_str()).value(), "/bin/sh");
}

TEST_F(FindCommand, AnEmptyEntryIsTheCurrentDirectory) {
  ASSERT_EQ(::chdir(folder_.c_str()), 0);
  EXPECT_EQ(find_command("run", "/nonexistent:").value(), "./run");
  EXPECT_EQ(find_command("run", "").value(), "./run");
  ASSERT_EQ(::chdir("/"), 0);
}

TEST(JobEnvironment, ChangesItsFiveVariablesAndNothingElse) {
  const char* before[] = {"A=1",  "CUDA_VISIBLE_DEVICES=7", "GPU_GATE_CLAIM=3", "EMPTY=", "odd",
                          nullptr};
  Device device;
  device.index = 2;
  device.uuid = "GPU-2";
  EXPECT_EQ(job_environment(before, {device}, Ids::index, 9),
            (std::vector<std::string>{"A=1", "EMPTY=", "odd", "CUDA_VISIBLE_DEVICES=2",
                                      "CUDA_DEVICE_ORDER=PCI_BUS_ID", "GPU_GATE_INDICES=2",
                                      "GPU_GATE_UUIDS=GPU-2", "GPU_GATE_CLAIM=9"}));
}

Ids named_with(const char* order, Ids asked = Ids::index) {
  const std::string assignment = std::string("CUDA_DEVICE_ORDER=") + order;
  const char* environment[] = {"A=1", assignment.c_str(), nullptr};
  return naming(asked, environment);
}

TEST(JobEnvironment, NamesByUuidWhereIndicesWouldMeanOtherCards) {
  const char* nothing[] = {nullptr};
  EXPECT_EQ(naming(Ids::index, nothing), Ids::index);
  EXPECT_EQ(named_with("PCI_BUS_ID"), Ids::index);
  EXPECT_EQ(named_with(""), Ids::index);
  EXPECT_EQ(named_with("FASTEST_FIRST"), Ids::uuid);
  EXPECT_EQ(named_with("PCI_BUS_ID", Ids::uuid), Ids::uuid);
}

TEST(JobEnvironment, KeepsAnOrderThatTheUserHasPinned) {
  const char* before[] = {"CUDA_DEVICE_ORDER=FASTEST_FIRST", nullptr};
  Device device;
  device.uuid = "GPU-2";
  const auto after = job_environment(before, {device}, Ids::index, 9);
  EXPECT_EQ(after[0], "CUDA_VISIBLE_DEVICES=GPU-2");
  EXPECT_EQ(after[1], "CUDA_DEVICE_ORDER=FASTEST_FIRST");
}

}  // namespace
}  // namespace gpu_gate
