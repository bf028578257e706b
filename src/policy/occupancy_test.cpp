#include "policy/occupancy.h"

#include <gtest/gtest.h>

#include "policy/test_machine.h"

namespace gpu_gate {
namespace {

Claim claim_on(const char* uuid, Ticket ticket = 5) { return {ticket, uuid, 0, false}; }

std::vector<bool> whole(const std::vector<Claim>& claims, Ticket within = 0) {
  std::vector<bool> list;
  for (const Occupancy& device : occupancy(idle_machine(3), claims, within)) {
    list.push_back(device.whole);
  }
  return list;
}

using Wholes = std::vector<bool>;

TEST(Occupancy, AClaimHasTheDeviceItNamesAndNoOther) {
  EXPECT_EQ(whole({claim_on("GPU-1")}), (Wholes{false, true, false}));
  EXPECT_EQ(whole({claim_on("GPU-1"), claim_on("GPU-2")}), (Wholes{false, true, true}));
}

TEST(Occupancy, WithoutClaimsEverythingIsFree) { EXPECT_EQ(whole({}), Wholes(3, false)); }

TEST(Occupancy, AClaimOnADeviceThatIsAwayHasNone) {
  EXPECT_EQ(whole({claim_on("GPU-9")}), Wholes(3, false));
}

TEST(Occupancy, ADeviceWithoutAUuidIsNotOccupiedByOneWithoutACard) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].uuid.clear();
  EXPECT_FALSE(occupancy(machine, {claim_on("GPU-0")}, 0)[0].whole);
}

TEST(Occupancy, InsideAClaimOnlyLaterClaimsCount) {
  const std::vector<Claim> claims{claim_on("GPU-0", 7), claim_on("GPU-1", 7), claim_on("GPU-1", 9)};
  EXPECT_EQ(whole(claims, 7), (Wholes{false, true, false}));
  EXPECT_EQ(whole(claims, 6), (Wholes{true, true, false}));
}

TEST(Occupancy, AClaimOnACardHasItsInstances) {
  Device instance;
  instance.uuid = "MIG-1";
  instance.card_uuid = "GPU-0";
  EXPECT_TRUE(occupies(claim_on("GPU-0"), instance));
  EXPECT_TRUE(occupies(claim_on("MIG-1"), instance));
  EXPECT_FALSE(occupies(claim_on("MIG-2"), instance));
  EXPECT_FALSE(occupies(claim_on("MIG-1"), card(0)));
}

TEST(Occupancy, AClaimWithTheTicketOfTheJobItselfDoesNotCount) {
  EXPECT_EQ(whole({claim_on("GPU-0", 5)}, 5), Wholes(3, false));
  EXPECT_EQ(whole({claim_on("GPU-0", 5)}, 4), (Wholes{true, false, false}));
}

TEST(Occupancy, WhoseClaimItIsAndHowItLivesDoesNotMatter) {
  EXPECT_EQ(whole({{5, "GPU-0", 1000, true}, {6, "GPU-2", 0, false}}), (Wholes{true, false, true}));
}

TEST(Occupancy, SeveralClaimsOnADeviceAreOneOccupancy) {
  EXPECT_EQ(whole({claim_on("GPU-1", 5), claim_on("GPU-1", 8)}), (Wholes{false, true, false}));
  EXPECT_EQ(whole({claim_on("GPU-1", 5), claim_on("GPU-1", 8)}, 5), (Wholes{false, true, false}));
}

TEST(Occupancy, AUuidCountsAsAWhole) {
  EXPECT_EQ(whole({claim_on("GPU-"), claim_on("GPU-11"), claim_on("gpu-1")}), Wholes(3, false));
}

TEST(Occupancy, AClaimOnAnInstanceLeavesItsSiblings) {
  Snapshot machine;
  for (const char* uuid : {"MIG-1", "MIG-2"}) {
    Device instance;
    instance.uuid = uuid;
    instance.card_uuid = "GPU-0";
    machine.devices.push_back(instance);
  }
  const auto one = occupancy(machine, {claim_on("MIG-2")}, 0);
  EXPECT_FALSE(one[0].whole);
  EXPECT_TRUE(one[1].whole);
  const auto both = occupancy(machine, {claim_on("GPU-0")}, 0);
  EXPECT_TRUE(both[0].whole);
  EXPECT_TRUE(both[1].whole);
}

TEST(Occupancy, AMachineWithoutDevicesHasNone) {
  EXPECT_TRUE(occupancy({}, {claim_on("GPU-0")}, 0).empty());
}

TEST(Released, IsADeviceThatWasClaimedAndIsNot) {
  const Occupancy taken{.whole = true};
  EXPECT_FALSE(was_released({}, {}));
  EXPECT_FALSE(was_released({taken, {}}, {taken, {}}));
  EXPECT_FALSE(was_released({{}, {}}, {taken, taken}));
  EXPECT_TRUE(was_released({taken, taken}, {taken, {}}));
  EXPECT_TRUE(was_released({taken, {}}, {{}, taken}));
}

}  // namespace
}  // namespace gpu_gate
