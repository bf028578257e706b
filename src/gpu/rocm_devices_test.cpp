#include "gpu/rocm_devices.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Positions = std::vector<std::size_t>;

/// Four, of which the user cannot open the second; the last has no unique_id.
Snapshot amd_devices() {
  Snapshot snapshot;
  snapshot.vendor = Vendor::amd;
  for (const char* uuid : {"GPU-0123456789abcdef", "GPU-0123ffffffffffff", "GPU-aa00000000000000",
                           "PCI-0000-c1-00-0"}) {
    Device device;
    device.index = static_cast<int>(snapshot.devices.size());
    device.vendor = Vendor::amd;
    device.uuid = uuid;
    snapshot.devices.push_back(device);
  }
  snapshot.devices[1].accessible = false;
  return snapshot;
}

Positions by_rocr(const std::string& value) {
  return visible_devices({{"ROCR_VISIBLE_DEVICES", value}}, amd_devices());
}

Positions by_both(const std::string& rocr, const std::string& hip) {
  return visible_devices({{"ROCR_VISIBLE_DEVICES", rocr}, {"HIP_VISIBLE_DEVICES", hip}},
                         amd_devices());
}

TEST(RocmDevices, WithNoListAllThatTheUserCanOpenAreShown) {
  EXPECT_EQ(visible_devices(std::vector<VisibleList>{}, amd_devices()), (Positions{0, 2, 3}));
}

TEST(RocmDevices, AnEmptyListShowsNone) { EXPECT_EQ(by_rocr(""), Positions{}); }

TEST(RocmDevices, ANumberCountsWhatTheUserCanOpen) {
  EXPECT_EQ(by_rocr("0"), Positions{0});
  EXPECT_EQ(by_rocr("1"), Positions{2});
  EXPECT_EQ(by_rocr("2,0"), (Positions{0, 3}));
  EXPECT_EQ(by_rocr(" 0x1 , 2 "), (Positions{2, 3}));
}

TEST(RocmDevices, AUuidMayBeItsBeginningInAnyCaseAndStandBesideNumbers) {
  EXPECT_EQ(by_rocr("gpu-AA"), Positions{2});
  EXPECT_EQ(by_rocr("GPU-0123456789ABCDEF,2"), (Positions{0, 3}));
  EXPECT_EQ(by_rocr("GPU-0123"), Positions{0});  // the other one is closed
  EXPECT_EQ(by_rocr("GPU-"), Positions{});       // too short
  EXPECT_EQ(by_rocr("GPU-0123456789abcdef0"), Positions{});
}

TEST(RocmDevices, AnEntryThatNamesNoneOrOneAgainHidesWhatFollows) {
  for (const char* value :
       {"0,9,1", "0,x,1", "0,,1", "0,-1,1", "0,0,1", "0,1-2", "0,PCI-0000-c1-00-0"}) {
    EXPECT_EQ(by_rocr(value), Positions{0}) << value;
  }
}

TEST(RocmDevices, APrefixOfSeveralNamesNone) {
  Snapshot snapshot = amd_devices();
  snapshot.devices[1].accessible = true;
  EXPECT_EQ(visible_devices({{"ROCR_VISIBLE_DEVICES", "2,GPU-0123,0"}}, snapshot), Positions{2});
}

TEST(RocmDevices, HipCountsWithinWhatRocmLeavesInItsOrder) {
  EXPECT_EQ(by_both("2,0", "0"), Positions{3});
  EXPECT_EQ(by_both("2,0", "1"), Positions{0});
  EXPECT_EQ(by_both("2,0", "2"), Positions{});
  EXPECT_EQ(by_both("2,0", "GPU-01"), Positions{0});
  EXPECT_EQ(by_both("0,1,2", "1,1,0,+2"), (Positions{0, 2}));
  EXPECT_EQ(by_both("", "0"), Positions{});
}

TEST(InheritedLists, OfAmdAreRocmsAndTheFirstOfHipsThatIsNotEmpty) {
  const char* all[] = {"CUDA_VISIBLE_DEVICES=3", "HIP_VISIBLE_DEVICES=2",
                       "ROCR_VISIBLE_DEVICES=", nullptr};
  using Lists = std::vector<VisibleList>;
  EXPECT_EQ(inherited_lists(all, Vendor::amd),
            (Lists{{"ROCR_VISIBLE_DEVICES", ""}, {"HIP_VISIBLE_DEVICES", "2"}}));
  const char* cuda[] = {"CUDA_VISIBLE_DEVICES=3", "HIP_VISIBLE_DEVICES=", nullptr};
  EXPECT_EQ(inherited_lists(cuda, Vendor::amd), (Lists{{"CUDA_VISIBLE_DEVICES", "3"}}));
  const char* empty[] = {"CUDA_VISIBLE_DEVICES=", "HIP_VISIBLE_DEVICES=", nullptr};
  EXPECT_EQ(inherited_lists(empty, Vendor::amd), Lists{});
  EXPECT_EQ(inherited_lists(empty, Vendor::nvidia), (Lists{{"CUDA_VISIBLE_DEVICES", ""}}));
  EXPECT_EQ(inherited_lists(all, Vendor::nvidia), (Lists{{"CUDA_VISIBLE_DEVICES", "3"}}));
}

TEST(InheritedLists, WhatSlurmWritesIntoAllVariablesIsOneListOfAmds) {
  using Lists = std::vector<VisibleList>;
  const auto lists = [](const char* cuda, const char* job) {
    const char* environment[] = {"ROCR_VISIBLE_DEVICES=1,3", cuda, job, nullptr};
    return inherited_lists(environment, Vendor::amd);
  };
  const Lists one{{"ROCR_VISIBLE_DEVICES", "1,3"}};
  EXPECT_EQ(lists("CUDA_VISIBLE_DEVICES=1,3", "SLURM_JOB_ID=7"), one);
  const Lists two{{"ROCR_VISIBLE_DEVICES", "1,3"}, {"CUDA_VISIBLE_DEVICES", "1,3"}};
  EXPECT_EQ(lists("CUDA_VISIBLE_DEVICES=1,3", "SLURM_JOB_ID="), two) << "not of Slurm";
  const Lists within{{"ROCR_VISIBLE_DEVICES", "1,3"}, {"CUDA_VISIBLE_DEVICES", "1"}};
  EXPECT_EQ(lists("CUDA_VISIBLE_DEVICES=1", "SLURM_JOB_ID=7"), within) << "of the user's";
}

}  // namespace
}  // namespace gpu_gate
