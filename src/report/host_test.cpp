#include "report/host.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/test_folder.h"

namespace gpu_gate {
namespace {

/// A machine in a folder.
class HostTest : public testing::Test {
 protected:
  Host look(std::vector<const char*> environment = {}) {
    environment.push_back(nullptr);
    return look_at_host(environment.data(), paths_);
  }

  /// /proc as it is mounted with these options.
  void mount_proc(const std::string& options) {
    struct stat proc{};
    ASSERT_EQ(::stat(paths_.proc.c_str(), &proc), 0);
    folder_.write("mountinfo", "21 1 " + std::to_string(major(proc.st_dev)) + ":" +
                                   std::to_string(minor(proc.st_dev)) +
                                   " / /proc rw,nosuid - proc proc " + options + "\n");
  }

  TestFolder folder_;
  HostPaths paths_{.devices = folder_.make_folder("dev"),
                   .proc = folder_.make_folder("proc"),
                   .mountinfo = folder_.path("mountinfo"),
                   .root = folder_.path(),
                   .history = folder_.path("history")};
};

TEST_F(HostTest, HasNothingInItsWayWhereThereIsNothing) {
  const Host host = look();
  EXPECT_TRUE(host.closed_nodes.empty());
  EXPECT_FALSE(host.hides_processes || host.is_container || host.has_slurmd || host.in_job);
  EXPECT_TRUE(host.visible.empty());
  EXPECT_FALSE(host.device_order);
  EXPECT_EQ(host.closed_history, "");
}

TEST_F(HostTest, HidesProcessesWhereItsProcSaysSo) {
  for (const char* options :
       {"rw,hidepid=invisible", "rw,gid=7,hidepid=2", "rw,hidepid=1,gid=7", "hidepid=ptraceable"}) {
    mount_proc(options);
    EXPECT_TRUE(look().hides_processes) << options;
  }
  for (const char* options : {"rw", "rw,hidepid=0", "rw,hidepid=off", "rw,nohidepid=2"}) {
    mount_proc(options);
    EXPECT_FALSE(look().hides_processes) << options;
  }
}

TEST_F(HostTest, IsAContainerWhereOneOfTheirMarksIs) {
  EXPECT_TRUE(look({"container=podman"}).is_container);
  EXPECT_FALSE(look({"container="}).is_container);
  folder_.write("run/.containerenv", "");
  EXPECT_TRUE(look().is_container);
  ::unlink(folder_.path("run/.containerenv").c_str());
  folder_.write(".dockerenv", "");
  EXPECT_TRUE(look().is_container);
}

TEST_F(HostTest, IsWslWhereItsDeviceFileIs) {
  EXPECT_FALSE(look().is_wsl);
  folder_.write("dev/dxg", "");
  EXPECT_TRUE(look().is_wsl);
}

TEST_F(HostTest, HasSlurmWhereItsDaemonRunsWhateverElseRuns) {
  folder_.write("proc/12/comm", "bash\n");
  folder_.write("proc/self/comm", "slurmd\n");
  EXPECT_FALSE(look().has_slurmd);
  folder_.write("proc/11/comm", "slurmd\n");
  folder_.write("proc/11/stat", "11 (slurmd) Z 1 11 11 0 -1 4194304 0\n");
  EXPECT_FALSE(look().has_slurmd) << "it has ended, and nobody has waited for it";
  folder_.write("proc/13/comm", "slurmd\n");
  EXPECT_TRUE(look().has_slurmd);
}

TEST_F(HostTest, KnowsWhoHasSetTheVariables) {
  EXPECT_EQ(look({"CUDA_VISIBLE_DEVICES="}).visible,
            (std::vector<VisibleList>{{"CUDA_VISIBLE_DEVICES", ""}}));
  EXPECT_EQ(look({"CUDA_DEVICE_ORDER=FASTEST_FIRST"}).device_order, "FASTEST_FIRST");
  EXPECT_FALSE(look({"CUDA_DEVICE_ORDER="}).device_order);
  EXPECT_TRUE(look({"GPU_GATE_CLAIM=7"}).in_job);
  EXPECT_TRUE(look({"SLURM_JOB_ID=7"}).in_job);
}

TEST_F(HostTest, TheHistoryMayBeElsewhere) {
  const std::string file = folder_.write("file", "");
  const std::string variable = "GPU_GATE_HISTORY=" + file;
  EXPECT_EQ(look({variable.c_str()}).closed_history, file) << "it is no directory";
  folder_.make_folder("history");
  EXPECT_EQ(look().closed_history, "");
}

}  // namespace
}  // namespace gpu_gate
