#include "gpu/nvml_links.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "gpu/test_driver.h"

namespace gpu_gate {
namespace {

class NvmlLinks : public SimulatedDriverTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    SimulatedDriverTest::SetUp();
    paths_.driver_library = driver(GetParam());
  }

  static Links links_of(GpuSource& source) {
    EXPECT_TRUE(source.read());
    return source.links();
  }
  Links links(const std::string& machine) const {
    set_machine(machine);
    return links_of(*nvml_source(paths_));
  }
};
INSTANTIATE_TEST_SUITE_P(Drivers, NvmlLinks, testing::Values("current", "r535", "old"),
                         [](const auto& age) { return std::string(age.param); });

TEST_P(NvmlLinks, TheWayOverPciExpressIsTenToFifty) {
  const Links found = links(
      "gpu path=0/0/0/0\ngpu path=0/0/0/0\ngpu path=0/0/0/1\ngpu path=0/0/1/0\n"
      "gpu path=0/1/0/0\ngpu path=1/0/0/0\n");
  EXPECT_EQ(found.score(0, 1), 50);  // one switch
  EXPECT_EQ(found.score(0, 2), 40);  // several
  EXPECT_EQ(found.score(0, 3), 30);  // one host bridge
  EXPECT_EQ(found.score(0, 4), 20);  // one socket
  EXPECT_EQ(found.score(0, 5), 10);  // through both
  EXPECT_EQ(found.score(5, 0), 10);
}

TEST_P(NvmlLinks, EachNvLinkBetweenTwoCardsIsAHundred) {
  const Links found = links(
      "gpu path=0\ngpu path=0\ngpu path=1\n"
      "link gpu=0 to=1 count=2\nlink gpu=2 to=1\nlink gpu=1 to=0\n");
  EXPECT_EQ(found.score(0, 1), 320);
  EXPECT_EQ(found.score(1, 2), 110);
  EXPECT_EQ(found.score(0, 2), 10);
}

TEST_P(NvmlLinks, LinksThatLeadNowhereCountForNothingAndHideNoOthers) {
  const Links found = links("gpu open_links=4\ngpu open_links=2\nlink gpu=0 to=1 count=3\n");
  EXPECT_EQ(found.score(0, 1), 300);
  EXPECT_FALSE(links("gpu open_links=4\ngpu open_links=4\n").known());
}

TEST_P(NvmlLinks, CardsOnAnNvSwitchAreLinkedAlike) {
  const Links found = links(
      "gpu nvswitch=18 path=0/0\ngpu nvswitch=17 path=0/1\ngpu nvswitch=18 path=1/0\ngpu "
      "path=1/0\n");
  EXPECT_EQ(found.score(0, 1), 1820);
  EXPECT_EQ(found.score(0, 2), 1810);
  EXPECT_EQ(found.score(1, 2), 1810);
  EXPECT_EQ(found.score(2, 3), 30);  // it is not on the switch
}

TEST_P(NvmlLinks, PositionsAreThoseOfTheSnapshotNotOfNvml) {
  const Links found =
      links("gpu pci=0000:30:00.0\ngpu pci=0000:10:00.0\ngpu pci=0000:20:00.0\nlink gpu=0 to=1\n");
  EXPECT_EQ(found.score(0, 2), 100);
  EXPECT_EQ(found.score(0, 1), 0);
}

TEST_P(NvmlLinks, NothingIsKnownWhereTheDriverTellsNothing) {
  EXPECT_FALSE(links("").known());
  EXPECT_FALSE(links("gpu path=0\n").known());
  EXPECT_FALSE(links("gpu\ngpu\ngpu\n").known());
  EXPECT_FALSE(links("fails nvmlDeviceGetTopologyCommonAncestor 3\n"
                     "fails nvmlDeviceGetNvLinkState 3\n"
                     "gpu path=0\ngpu path=0\nlink gpu=0 to=1\n")
                   .known());
  EXPECT_FALSE(links("fails nvmlDeviceGetTopologyCommonAncestor 999\n"
                     "fails nvmlDeviceGetNvLinkRemotePciInfo_v2 999\n"
                     "fails nvmlDeviceGetFieldValues 999\n"
                     "gpu path=0 nvswitch=4\ngpu path=0 nvswitch=4\ngpu\nlink gpu=0 to=1\n")
                   .known());
}

TEST(NvmlLinksWithoutFunctions, NothingIsKnownAndNothingIsAsked) {
  void* const library = ::dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr);
  int object = 0;
  const auto handle = reinterpret_cast<nvml::DeviceHandle>(&object);
  EXPECT_FALSE(
      read_nvml_links(library, {{.handle = handle, .pci = 1}, {.handle = handle, .pci = 2}})
          .known());
  ::dlclose(library);
}

TEST_P(NvmlLinks, OfALostOrClosedCardNothingIsKnownAndOfTheOthersAll) {
  for (const char* fault : {"lost=1", "handle_error=4", "handle_error=999"}) {
    const Links found =
        links("gpu path=0 pci=0000:01:00.0\ngpu path=0 pci=0000:02:00.0 " + std::string(fault) +
              "\ngpu path=0 pci=0000:03:00.0\n"
              "link gpu=0 to=1 count=2\nlink gpu=0 to=2 count=3\n");
    EXPECT_EQ(found.score(0, 2), 320) << fault;
    EXPECT_EQ(found.score(1, 2), 0) << fault;
  }
}

TEST_P(NvmlLinks, TheDriverIsAskedOnceAsLongAsItIsOpen) {
  set_machine("gpu path=0\ngpu path=0\ngpu path=0\n");
  const auto source = nvml_source(paths_);
  EXPECT_FALSE(source->links().known());  // not open yet
  for (int i = 0; i < 3; ++i) EXPECT_EQ(links_of(*source).score(0, 1), 20);
  EXPECT_EQ(calls("nvmlDeviceGetTopologyCommonAncestor"), 3);
  source->close();
  EXPECT_FALSE(source->links().known());
  EXPECT_EQ(links_of(*source).score(0, 1), 20);
  EXPECT_EQ(calls("nvmlDeviceGetTopologyCommonAncestor"), 6);
}

TEST_P(NvmlLinks, AReadingAsksForNone) {
  set_machine("gpu path=0 nvswitch=4\ngpu path=0 nvswitch=4\n");
  EXPECT_TRUE(nvml_source(paths_)->read());
  EXPECT_EQ(calls("nvmlDeviceGetTopologyCommonAncestor"), 0);
  EXPECT_EQ(calls("nvmlDeviceGetNvLinkState"), 0);
}

TEST_P(NvmlLinks, AfterACardIsLostTheyAreThoseOfTheCardsThatAreLeft) {
  set_machine(
      "gpu uuid=GPU-a pci=0000:01:00.0\ngpu uuid=GPU-b pci=0000:02:00.0\n"
      "gpu uuid=GPU-c pci=0000:03:00.0\nlink gpu=1 to=2\n");
  const auto source = nvml_source(paths_);
  EXPECT_EQ(links_of(*source).score(1, 2), 100);
  set_machine(
      "gpu uuid=GPU-b pci=0000:02:00.0\ngpu uuid=GPU-c pci=0000:03:00.0\nlink gpu=0 to=1\n");
  EXPECT_TRUE(source->read());  // a handle is gone
  const Links found = links_of(*source);
  EXPECT_EQ(found.score(0, 1), 100);
  EXPECT_EQ(found.score(1, 2), 0);
}

}  // namespace
}  // namespace gpu_gate
