#include "gpu/gpu_list.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

Snapshot machine() {
  Snapshot snapshot;
  const char* uuids[] = {"GPU-3f2a11", "GPU-3f2b22", "GPU-aa0000"};
  const char* addresses[] = {"00000000:17:00.0", "00000000:65:00.0", "00000001:17:00.0"};
  for (int i = 0; i < 3; ++i) {
    Device device;
    device.index = i;
    device.uuid = uuids[i];
    device.pci_bus_id = addresses[i];
    snapshot.devices.push_back(device);
  }
  return snapshot;
}

std::vector<std::size_t> resolved(const char* text) {
  return *resolve_gpu_list(*parse_gpu_list(text), machine());
}

using Positions = std::vector<std::size_t>;

TEST(GpuList, TakesIndicesRangesUuidsAndAddresses) {
  EXPECT_EQ(resolved("2"), Positions{2});
  EXPECT_EQ(resolved("0-2"), (Positions{0, 1, 2}));
  EXPECT_EQ(resolved("1-1"), Positions{1});
  EXPECT_EQ(resolved("GPU-3f2a"), Positions{0});
  EXPECT_EQ(resolved("gpu-AA"), Positions{2});
  EXPECT_EQ(resolved("0000:65:00.0"), Positions{1});
  EXPECT_EQ(resolved("65:00.0"), Positions{1});
  EXPECT_EQ(resolved("00000001:17:00.0"), Positions{2});
  EXPECT_EQ(resolved("17:00.0"), Positions{0});  // domain 0 where none is written
}

TEST(GpuList, AllowsSpacesAndRepetition) {
  EXPECT_EQ(resolved(" 2 , 0 - 1,\tGPU-aa "), (Positions{0, 1, 2}));
}

TEST(GpuList, RefusesWhatIsNoList) {
  for (const char* text :
       {"",    " ",       ",",        "1,",    ",1",        "1,,2",           "a",
        "0-",  "-1",      "3-1",      "1.5",   "0x1",       "1-2-3",          "GPU-",
        "GPU", "GPU-xyz", "MIG-3f2a", "17:00", "17:00.0.0", "0000:17:00.0:1", "123456789:17:00.0",
        "1 2", "*",       "+1"}) {
    EXPECT_FALSE(parse_gpu_list(text)) << text;
  }
}

TEST(GpuList, AnIndexTooLargeForAnyMachineIsMissingNotMalformed) {
  const auto list = parse_gpu_list("99999999999999999999");
  ASSERT_TRUE(list);
  EXPECT_EQ(resolve_gpu_list(*list, machine()).error().kind, ErrorKind::impossible);
}

TEST(GpuList, SaysWhatTheMachineLacksAndWhatIsAmbiguous) {
  EXPECT_EQ(resolve_gpu_list(*parse_gpu_list("0-3"), machine()).error().text,
            "there is no GPU 0-3 on this machine (it has GPUs 0-2)");
  EXPECT_EQ(resolve_gpu_list(*parse_gpu_list("GPU-3f2"), machine()).error().text,
            "GPU-3f2 names 2 GPUs of this machine: write more of the UUID");
}

}  // namespace
}  // namespace gpu_gate
