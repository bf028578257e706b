#include "gpu/visible_devices.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

Snapshot similar_uuids() {
  Snapshot snapshot;
  for (int i = 0; i < 4; ++i) {
    Device device;
    device.index = i;
    device.uuid = "GPU-" + std::to_string(i) + "a0";
    snapshot.devices.push_back(device);
  }
  return snapshot;
}

using Positions = std::vector<std::size_t>;

TEST(VisibleDevices, NamesBySortedIndexOrUuid) {
  EXPECT_EQ(visible_devices("2,0", similar_uuids()), (Positions{0, 2}));
  EXPECT_EQ(visible_devices("GPU-3a,GPU-1a0", similar_uuids()), (Positions{1, 3}));
}

TEST(VisibleDevices, NoneMeansNone) {
  for (const char* value : {"", " ", "-1", "NoDevFiles", "none", ","}) {
    EXPECT_TRUE(visible_devices(value, similar_uuids()).empty()) << value;
  }
}

TEST(VisibleDevices, AnInvalidEntryHidesItselfAndAllAfterIt) {
  EXPECT_EQ(visible_devices("1,9,2", similar_uuids()), Positions{1});
  EXPECT_EQ(visible_devices("1,-1,2", similar_uuids()), Positions{1});
  EXPECT_EQ(visible_devices("1,,2", similar_uuids()), Positions{1});
  EXPECT_EQ(visible_devices("0-2", similar_uuids()), Positions{});
  EXPECT_EQ(visible_devices("GPU-1a,GPU-", similar_uuids()), Positions{1});
}

TEST(VisibleDevices, ADeviceNamedTwiceLeavesNone) {
  EXPECT_EQ(visible_devices("1,1", similar_uuids()), Positions{});
  EXPECT_EQ(visible_devices("GPU-1a,GPU-1a0", similar_uuids()), Positions{});
}

TEST(VisibleDevices, IndicesAndUuidsDoNotMix) {
  EXPECT_EQ(visible_devices("1,GPU-2a", similar_uuids()), Positions{1});
  EXPECT_EQ(visible_devices("GPU-2a,1", similar_uuids()), Positions{2});
}

TEST(VisibleDevices, ANumberCountsTheDevicesThatCanBeOpened) {
  Snapshot snapshot = similar_uuids();
  snapshot.devices[0].accessible = false;
  EXPECT_EQ(visible_devices("0", snapshot), Positions{1});
  EXPECT_EQ(visible_devices("2,0", snapshot), (Positions{1, 3}));
  EXPECT_EQ(visible_devices("0,3,1", snapshot), Positions{1});  // there are three
  EXPECT_EQ(visible_devices("GPU-0", snapshot), Positions{0});
  snapshot.devices[1].health = Health::lost;
  EXPECT_EQ(visible_devices("0", snapshot), Positions{2});
  snapshot.devices[2].health = Health::mig;
  EXPECT_EQ(visible_devices("0", snapshot), Positions{3});
  snapshot.devices[3].uuid.clear();
  EXPECT_EQ(visible_devices("0", snapshot), Positions{});
}

TEST(VisibleDevices, ADeviceThatIsOnlyOfNoUseKeepsItsNumber) {
  for (const Health health : {Health::prohibited, Health::reset_required, Health::unreadable}) {
    Snapshot snapshot = similar_uuids();
    snapshot.devices[0].health = health;
    EXPECT_EQ(visible_devices("1", snapshot), Positions{1});
  }
}

TEST(IndicesHold, WhereEveryDeviceIsSureToBeNumbered) {
  EXPECT_TRUE(indices_hold(similar_uuids()));
  EXPECT_TRUE(indices_hold({}));
  Snapshot snapshot = similar_uuids();
  snapshot.devices[3].accessible = false;
  EXPECT_FALSE(indices_hold(snapshot));
  for (const Health health : {Health::lost, Health::mig, Health::unreadable, Health::reset_required,
                              Health::prohibited}) {
    snapshot = similar_uuids();
    snapshot.devices[1].health = health;
    EXPECT_EQ(indices_hold(snapshot), health == Health::prohibited);
  }
}

TEST(VisibleDevices, AllowsSpacesAroundEntries) {
  EXPECT_EQ(visible_devices(" 2 ,\t0 ", similar_uuids()), (Positions{0, 2}));
}

TEST(VisibleDevices, AUuidMayBeInEitherCase) {
  EXPECT_EQ(visible_devices("gpu-1A,GPU-2a", similar_uuids()), (Positions{1, 2}));
}

TEST(VisibleDevices, AUuidPrefixOfSeveralHidesItselfAndAllAfterIt) {
  Snapshot snapshot = similar_uuids();
  snapshot.devices[2].uuid = "GPU-1a7";
  EXPECT_EQ(visible_devices("GPU-0,GPU-1a,GPU-3", snapshot), Positions{0});
  EXPECT_EQ(visible_devices("GPU-0,GPU-1a7,GPU-3", snapshot), (Positions{0, 2, 3}));
}

TEST(VisibleDevices, AUuidOfAnotherMachineHidesItselfAndAllAfterIt) {
  EXPECT_EQ(visible_devices("GPU-2a,GPU-ff,GPU-1a", similar_uuids()), Positions{2});
}

TEST(VisibleDevices, AnIndexTooLargeForAnyNumberHidesItselfAndAllAfterIt) {
  EXPECT_EQ(visible_devices("1,99999999999999999999,2", similar_uuids()), Positions{1});
  EXPECT_EQ(visible_devices("1,4,2", similar_uuids()), Positions{1});
}

TEST(VisibleDevices, WhatCudaDoesNotKnowIsInvalidEvenWhereAListOfOursTakesIt) {
  Snapshot snapshot = similar_uuids();
  snapshot.devices[2].pci_bus_id = "00000000:17:00.0";
  EXPECT_EQ(visible_devices("0000:17:00.0", snapshot), Positions{});
  EXPECT_EQ(visible_devices("1,0000:17:00.0,3", snapshot), Positions{1});
  EXPECT_EQ(visible_devices("1,2-3", snapshot), Positions{1});
}

TEST(VisibleDevices, ADeviceNamedTwiceCountsOnlyUpToTheFirstInvalidEntry) {
  EXPECT_EQ(visible_devices("1,9,1", similar_uuids()), Positions{1});
  EXPECT_EQ(visible_devices("1,1,9", similar_uuids()), Positions{});
}

TEST(VisibleDevices, AMachineWithoutDevicesShowsNone) {
  EXPECT_EQ(visible_devices("0", {}), Positions{});
  EXPECT_EQ(visible_devices("GPU-0", {}), Positions{});
}

TEST(VisibleDevices, ReadsBackWhatADeviceListSays) {
  const Snapshot snapshot = similar_uuids();
  const std::vector<Device> devices{snapshot.devices[1], snapshot.devices[3]};
  for (const Ids ids : {Ids::index, Ids::uuid}) {
    EXPECT_EQ(visible_devices(device_list(devices, ids), snapshot), (Positions{1, 3}));
  }
}

TEST(DeviceList, OfNothingIsEmpty) {
  EXPECT_EQ(device_list({}, Ids::index), "");
  EXPECT_EQ(device_list({}, Ids::uuid), "");
}

TEST(DeviceList, KeepsTheOrderItIsGiven) {
  const Snapshot snapshot = similar_uuids();
  EXPECT_EQ(device_list({snapshot.devices[3], snapshot.devices[0]}, Ids::index), "3,0");
}

TEST(DeviceList, IsWhatCudaReads) {
  const Snapshot snapshot = similar_uuids();
  const std::vector<Device> devices{snapshot.devices[0], snapshot.devices[2]};
  EXPECT_EQ(device_list(devices, Ids::index), "0,2");
  EXPECT_EQ(device_list(devices, Ids::uuid), "GPU-0a0,GPU-2a0");
}

TEST(VisibleDevices, AnInstanceIsShownByItsUuidOrOldName) {
  Snapshot snapshot = similar_uuids();
  snapshot.devices[0].health = Health::mig;
  Device instance;
  instance.index = 0;
  instance.instance = 0;
  instance.card_uuid = snapshot.devices[0].uuid;
  instance.uuid = "MIG-7c01";
  instance.second_name = "MIG-" + instance.card_uuid + "/1/0";
  snapshot.devices.insert(snapshot.devices.begin() + 1, instance);
  for (const std::string value : {"MIG-7c01", "MIG-7c", "MIG-GPU-0a0/1/0"}) {
    EXPECT_EQ(visible_devices(value, snapshot), Positions{1}) << value;
  }
  EXPECT_EQ(visible_devices("MIG-99,GPU-1a", snapshot), Positions{});
  EXPECT_EQ(visible_devices("0,1", snapshot), (Positions{2, 3})) << "numbers are of whole cards";
  for (const char* value : {"0:0", "0:*"}) EXPECT_EQ(visible_devices(value, snapshot), Positions{});
}

TEST(RuntimeList, NamesADeviceAsItsRuntimeDoes) {
  Snapshot snapshot = similar_uuids();
  snapshot.devices[2].runtime_id = "7";
  const std::vector<Device> devices{snapshot.devices[0], snapshot.devices[2]};
  EXPECT_EQ(runtime_list(devices, Ids::uuid), "GPU-0a0,7");
  EXPECT_EQ(runtime_list(devices, Ids::index), "0,2");
  EXPECT_EQ(device_list(devices, Ids::uuid), "GPU-0a0,GPU-2a0");
}

TEST(DeviceList, NamesAnInstanceByItsLabel) {
  Snapshot snapshot = similar_uuids();
  snapshot.devices[1].instance = 4;
  EXPECT_EQ(device_list({snapshot.devices[1]}, Ids::index), "1:4");
}

TEST(VisibleDevices, ARangeOfOneIsARangeAndHidesWhatFollows) {
  EXPECT_EQ(visible_devices("0,1-1,2", similar_uuids()), Positions{0});
}

}  // namespace
}  // namespace gpu_gate
