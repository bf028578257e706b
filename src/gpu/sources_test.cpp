#include "gpu/sources.h"

#include <gtest/gtest.h>

#include "gpu/test_amd_tree.h"
#include "gpu/test_driver.h"

namespace gpu_gate {
namespace {

class SourcesTest : public SimulatedDriverTest {
 protected:
  std::unique_ptr<GpuSource> source(std::optional<WantedVendor> wanted = {}) const {
    return gpu_source({.nvml = paths_, .amd = tree_.paths()}, std::move(wanted));
  }
  static std::string first(GpuSource& source) {
    const Result<Snapshot> snapshot = source.read();
    if (!snapshot) return snapshot.error().text;
    return snapshot->devices.empty() ? "none" : snapshot->devices.front().uuid;
  }

  AmdTree tree_;
  const WantedVendor nvidia_{.vendor = Vendor::nvidia, .asked = "--vendor nvidia"};
  const WantedVendor amd_{.vendor = Vendor::amd, .asked = "--vendor amd"};
};

TEST_F(SourcesTest, WhereThereAreBothMakersNvidiaIsUsedAndTheWantedOneWhereOneIs) {
  set_machine("gpu uuid=GPU-3f2a\n");
  tree_.add({.unique_id = "1"});
  EXPECT_EQ(first(*source()), "GPU-3f2a");
  EXPECT_EQ(first(*source(nvidia_)), "GPU-3f2a");
  EXPECT_EQ(first(*source(amd_)), "GPU-0000000000000001");
}

TEST_F(SourcesTest, AmdsAreUsedWhereNvidiasDriverHasNoCard) {
  set_machine("");
  tree_.add({.unique_id = "1"});
  const auto chosen = source();
  EXPECT_EQ(first(*chosen), "GPU-0000000000000001");
  EXPECT_EQ(chosen->read().value().vendor, Vendor::amd);
}

TEST_F(SourcesTest, AmdsAreUsedWhereNvidiasDriverIsNotLoaded) {
  set_machine("driver_error 9\n");
  tree_.add({.unique_id = "1"});
  EXPECT_EQ(first(*source()), "GPU-0000000000000001");
}

TEST_F(SourcesTest, AmdsAreUsedWhereNvidiasLibraryIsMissing) {
  tree_.add({.unique_id = "1"});
  const auto chosen = gpu_source({.nvml = {}, .amd = tree_.paths()});
  const Result<Snapshot> snapshot = chosen->read();
  if (snapshot && snapshot->vendor == Vendor::nvidia) GTEST_SKIP() << "this machine has one";
  EXPECT_EQ(first(*chosen), "GPU-0000000000000001");
}

TEST_F(SourcesTest, APartOfTheCpuIsNotTakenForTheCardWhoseDriverIsNotLoaded) {
  set_machine("driver_error 9\n");
  tree_.add({.unique_id = "1", .total = "536870912"});
  EXPECT_EQ(source()->read().error().kind, ErrorKind::no_driver);
  EXPECT_EQ(first(*source(amd_)), "GPU-0000000000000001");
  const auto without_driver = gpu_source({.nvml = {}, .amd = tree_.paths()});
  const Result<Snapshot> snapshot = without_driver->read();
  if (snapshot && snapshot->vendor == Vendor::nvidia) GTEST_SKIP() << "this machine has one";
  EXPECT_EQ(first(*without_driver), "GPU-0000000000000001");
}

TEST_F(SourcesTest, ADriverThatIsThereAndFailsIsNotPassedOver) {
  tree_.add({.unique_id = "1"});
  for (const char* code : {"18", "4", "999"}) {
    set_machine(std::string("driver_error ") + code + "\n");
    for (const auto& wanted : {std::optional<WantedVendor>(), std::optional(nvidia_)}) {
      EXPECT_EQ(source(wanted)->read().error().kind, ErrorKind::gpu_state) << code;
    }
  }
}

TEST_F(SourcesTest, WithNoGpuAtAllNvidiaIsWhatIsTold) {
  set_machine("driver_error 9\n");
  const Result<Snapshot> snapshot = source()->read();
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(snapshot.error().kind, ErrorKind::no_driver);
  EXPECT_NE(snapshot.error().text.find("nvmlInit"), std::string::npos);
  set_machine("");
  EXPECT_EQ(first(*source()), "none");
}

TEST_F(SourcesTest, AMakerThatIsNotHereIsRefusedWithWhatThereIs) {
  set_machine("gpu uuid=GPU-3f2a\ngpu uuid=GPU-4f2a\n");
  const Result<Snapshot> no_amd = source(amd_)->read();
  ASSERT_FALSE(no_amd);
  EXPECT_EQ(no_amd.error().kind, ErrorKind::impossible);
  EXPECT_EQ(no_amd.error().text,
            "--vendor amd: there is no AMD GPU on this machine with the amdgpu driver (it has 2 "
            "GPUs of NVIDIA)");
  set_machine("");
  tree_.add({});
  EXPECT_EQ(first(*source(nvidia_)),
            "--vendor nvidia: there is no NVIDIA GPU on this machine (it has 1 GPU of AMD)");
}

TEST_F(SourcesTest, AMakerThatIsNotHereOnAMachineWithoutGpus) {
  set_machine("driver_error 9\n");
  EXPECT_EQ(source(nvidia_)->read().error().kind, ErrorKind::no_driver);
  EXPECT_EQ(first(*source(amd_)),
            "--vendor amd: there is no AMD GPU on this machine with the amdgpu driver");
}

TEST_F(SourcesTest, WhoHasReadOneMakersGpusStaysWithThem) {
  set_machine("gpu uuid=GPU-3f2a\n");
  tree_.add({.unique_id = "1"});
  const auto chosen = source();
  EXPECT_EQ(first(*chosen), "GPU-3f2a");
  chosen->close();
  set_machine("driver_error 9\n");
  EXPECT_EQ(chosen->read().error().kind, ErrorKind::no_driver);
  set_machine("gpu uuid=GPU-3f2a\n");
  EXPECT_EQ(first(*chosen), "GPU-3f2a");
}

TEST_F(SourcesTest, WhereNvidiaHasCardsNothingOfAmdIsReadAndNoSessionStaysOpenWhereItHasNone) {
  set_machine("");
  tree_.add({.unique_id = "1"});
  const auto chosen = source();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(chosen->read());
  EXPECT_EQ(calls("nvmlInit_v2"), 1);
  EXPECT_EQ(calls("nvmlShutdown"), 1);
  EXPECT_FALSE(chosen->needs_open());
}

}  // namespace
}  // namespace gpu_gate
