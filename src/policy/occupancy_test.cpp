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

TEST(Released, IsADeviceWithAClaimThatIsGone) {
  const Device device = card(0);
  const Claim claim = claim_on("GPU-0", 5);
  EXPECT_FALSE(was_released(device, {}, {}, 0));
  EXPECT_FALSE(was_released(device, {claim}, {claim}, 0));
  EXPECT_FALSE(was_released(device, {}, {claim}, 0));
  EXPECT_TRUE(was_released(device, {claim}, {}, 0));
  EXPECT_TRUE(was_released(device, {claim}, {claim_on("GPU-0", 6)}, 0));
  EXPECT_TRUE(was_released(device, {claim}, {claim_on("GPU-1", 5)}, 0));
  EXPECT_FALSE(was_released(device, {claim_on("GPU-1", 5)}, {}, 0));
  EXPECT_FALSE(was_released(device, {claim}, {}, 5)) << "the job's own";
}

Claim share_on(const char* uuid, std::int64_t mib, Ticket ticket = 5, uid_t uid = 1000) {
  Claim claim = claim_on(uuid, ticket);
  claim.uid = uid;
  claim.share_mib = mib;
  return claim;
}

Claim inside(Claim claim, Ticket outer) {
  claim.within = outer;
  return claim;
}

Device card_with(std::vector<GpuProcess> processes) {
  Device device = idle_machine(1).devices[0];
  for (const GpuProcess& process : processes) {
    device.memory_used_mib += process.memory_mib.value_or(0);
    device.memory_free_mib -= process.memory_mib.value_or(0);
  }
  device.processes = std::move(processes);
  return device;
}

GpuProcess using_mib(pid_t pid, std::int64_t mib) { return {.pid = pid, .memory_mib = mib}; }

constexpr std::int64_t kUsable = 46068 - 600;

std::int64_t room(const Device& device, const std::vector<Claim>& claims, const Jobs& jobs = {},
                  Ticket within = 0) {
  const Snapshot machine{.devices = {device}};
  return room_mib(device, occupancy(machine, claims, within, jobs)[0]);
}

TEST(Room, IsAllThatCanBeHadLessWhatIsPromised) {
  const Device device = card_with({});
  EXPECT_EQ(room(device, {}), kUsable);
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000)}), kUsable - 8000);
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000), share_on("GPU-0", 500, 6)}), kUsable - 8500);
  EXPECT_EQ(room(device, {share_on("GPU-1", 8000)}), kUsable);
}

TEST(Room, WhatAJobUsesOfItsShareIsNotCountedTwice) {
  const Device device = card_with({using_mib(10, 6000)});
  const Jobs jobs{{10, {.claims = {5}, .uid = 1000, .not_of = {}}}};
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000)}, jobs), kUsable - 8000);
}

TEST(Room, WhatAJobUsesBeyondItsShareIsCounted) {
  const Device device = card_with({using_mib(10, 6000), using_mib(11, 5000)});
  const Jobs jobs{{10, {.claims = {5}, .uid = 1000, .not_of = {}}},
                  {11, {.claims = {5}, .uid = 1000, .not_of = {}}}};
  const std::vector<Claim> claims{share_on("GPU-0", 8000), share_on("GPU-0", 4000, 6)};
  EXPECT_EQ(room(device, claims, jobs), kUsable - 11000 - 4000);
}

TEST(Room, WhatAStrangerUsesIsCountedBesideTheShares) {
  const Device device = card_with({using_mib(10, 6000)});
  EXPECT_EQ(room(device, {}), kUsable - 6000);
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000)}), kUsable - 14000);
  const Jobs stray{{10, {.claims = {4}, .uid = 1000, .not_of = {}}}};
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000)}, stray), kUsable - 14000)
      << "a job of a claim that has another device";
}

TEST(Room, WhatIsInUseOfNoVisibleProcessIsCounted) {
  Device device = card_with({});
  device.memory_used_mib = 20000;
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000)}), kUsable - 20000);
  EXPECT_EQ(room(device, {share_on("GPU-0", 30000)}), kUsable - 30000);
}

TEST(Room, AnOrphanWorksForItsUsersFirstClaim) {
  const Device device = card_with({using_mib(10, 6000)});
  const Jobs jobs{{10, {.claims = {}, .uid = 1000, .not_of = {}}}};
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000)}, jobs), kUsable - 8000);
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000, 5, 1001)}, jobs), kUsable - 14000);
}

TEST(Room, WhatCannotBeAnOrphanOfTheFirstClaimWorksForTheNextOrForNone) {
  const Device device = card_with({using_mib(10, 6000)});
  const std::vector<Claim> claims{share_on("GPU-0", 1000, 5), share_on("GPU-0", 7000, 6)};
  const Jobs of_second{{10, {.claims = {}, .uid = 1000, .not_of = {5}}}};
  EXPECT_EQ(room(device, claims, of_second), kUsable - 8000);
  const Jobs of_none{{10, {.claims = {}, .uid = 1000, .not_of = {5, 6}}}};
  EXPECT_EQ(room(device, claims, of_none), kUsable - 14000);
}

TEST(Room, InsideAClaimAnOrphanWorksForThatAndNotForAPart) {
  const Device device = card_with({using_mib(10, 6000)});
  const Jobs jobs{{10, {.claims = {}, .uid = 1000, .not_of = {}}}};
  const Claim part = inside(share_on("GPU-0", 8000, 7), 5);
  Claim whole = claim_on("GPU-0", 5);
  whole.uid = 1000;
  EXPECT_EQ(room(device, {whole, part}, jobs, 5), kUsable - 14000);
  EXPECT_EQ(room(device, {share_on("GPU-0", 20000), part}, jobs, 5), 20000 - 14000);
}

TEST(Room, AClaimWithoutARecordIsTheWholeDevice) {
  const Snapshot machine{.devices = {card_with({})}};
  const Occupancy both = occupancy(machine, {share_on("GPU-0", 8000), claim_on("GPU-0", 7)}, 0)[0];
  EXPECT_TRUE(both.whole);
  EXPECT_FALSE(both.shared);
}

TEST(Room, PartsOfAShareHaveItsRoomAmongThem) {
  const Device device = card_with({using_mib(10, 3000), using_mib(20, 9000)});
  const Jobs jobs{{10, {.claims = {5}, .uid = 1000, .not_of = {}}},
                  {20, {.claims = {6}, .uid = 1001, .not_of = {}}}};
  const Claim outer = share_on("GPU-0", 8000);
  const Claim others = share_on("GPU-0", 9000, 6, 1001);
  EXPECT_EQ(room(device, {outer, others}, jobs, 5), 8000 - 3000) << "less what the job itself uses";
  EXPECT_EQ(room(device, {outer, others, inside(share_on("GPU-0", 2000, 7), 5)}, jobs, 5), 3000);
}

TEST(Room, PartsOfAShareTakeNothingMoreFromOthers) {
  const Device device = card_with({});
  EXPECT_EQ(room(device, {share_on("GPU-0", 8000), inside(share_on("GPU-0", 8000, 7), 5)}),
            kUsable - 8000);
  EXPECT_EQ(room(device, {inside(share_on("GPU-0", 2000, 7), 5)}), kUsable - 2000)
      << "one that outlives it counts itself";
}

TEST(Room, NobodyTakesLessBySayingThatItIsAPartOfSomebodyElses) {
  const Device device = card_with({});
  EXPECT_EQ(room(device, {share_on("GPU-0", 100), inside(share_on("GPU-0", 8000, 7, 1001), 5)}),
            kUsable - 8100);
}

TEST(Room, PartsOfAWholeClaimShareItsDevices) {
  const Device device = card_with({});
  EXPECT_EQ(room(device, {claim_on("GPU-0", 5), inside(share_on("GPU-0", 8000, 7, 0), 5)}, {}, 5),
            kUsable - 8000);
}

TEST(Take, TakesAllOrSoMuch) {
  const Device device = card_with({using_mib(10, 6000)});
  Occupancy of = occupancy({.devices = {device}}, {}, 0)[0];
  take(device, of, {.count = 1, .share_mib = 8000});
  EXPECT_TRUE(of.shared);
  EXPECT_EQ(room_mib(device, of), kUsable - 14000);
  take(device, of, {});
  EXPECT_TRUE(of.whole);
}

}  // namespace
}  // namespace gpu_gate
