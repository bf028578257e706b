#include "policy/fit.h"

#include <gtest/gtest.h>

#include "policy/test_machine.h"

namespace gpu_gate {
namespace {

TEST(Fit, AnIdleCardIsUsable) {
  const Snapshot machine = idle_machine(1);
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::usable);
}

TEST(Fit, ACardThatIsNotAllowedNeverWillBe) {
  const Snapshot machine = idle_machine(2);
  Request request;
  request.barred = {"GPU-0"};
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::not_allowed);
  EXPECT_FALSE(could_ever(Fit::not_allowed));
  EXPECT_EQ(fit(machine.devices[1], request, {}), Fit::usable);
}

TEST(Fit, WhereAllAllowedCardsAreNamedNoOtherWillDo) {
  const Snapshot machine = idle_machine(2);
  Request request;
  request.allowed = {"GPU-1"};
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::not_allowed);
  EXPECT_EQ(fit(machine.devices[1], request, {}), Fit::usable);
}

TEST(Fit, AClaimKeepsACardAwayWhateverElseIsAskedFor) {
  const Snapshot machine = idle_machine(1);
  Request request = wish(1);
  request.criteria.min_free_mib = 0;
  EXPECT_EQ(fit(machine.devices[0], request, {.whole = true}), Fit::claimed);
}

TEST(Fit, WithNothingAskedForAComputeProcessOccupiesACard) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{42, false, 100}};
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::occupied);
}

TEST(Fit, AGraphicsProcessAndItsMemoryDoNot) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{42, true, 2000}};
  machine.devices[0].memory_used_mib = 2000 + kIdleMemoryMib;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::usable);
  machine.devices[0].memory_used_mib += 1;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::memory_held);
}

TEST(Fit, OnlyProcessesOccupyACardThatSharesTheSystemsMemory) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].shares_system_memory = true;
  machine.devices[0].memory_used_mib = 30000;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::usable);
  machine.devices[0].processes = {{42, false, 100}};
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::occupied);
}

TEST(Fit, WhatTheSystemUsesOfItIsNobodysMemory) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_used_mib = 30000;
  EXPECT_TRUE(has_unowned_memory(machine.devices[0]));
  machine.devices[0].shares_system_memory = true;
  EXPECT_FALSE(has_unowned_memory(machine.devices[0]));
}

TEST(Fit, MemoryOfACardThatCannotTellHowMuchItHasIsNeverThere) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_total_mib = machine.devices[0].memory_free_mib = 0;
  machine.devices[0].memory_reserved_mib.reset();
  machine.devices[0].shares_system_memory = true;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::usable);
  Request request = wish(1);
  request.criteria.min_free_mib = 1;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::size_unknown);
  request.criteria.min_free_mib = 0;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::usable);
  request = wish(1);
  request.criteria.share_mib = 100;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::size_unknown);
  EXPECT_FALSE(could_ever(Fit::size_unknown));
  machine.devices[0].health = Health::lost;  // it may tell when it is back
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::unhealthy);
}

TEST(Fit, WhatTheDriverReservesDoesNotCountAlsoWhereItDoesNotTell) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_reserved_mib.reset();
  machine.devices[0].memory_used_mib = kIdleMemoryMib + 46068 / 50;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::usable);
  machine.devices[0].memory_used_mib += 1;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::memory_held);
}

TEST(Fit, AskingForMemoryTestsMemoryAndNothingElse) {
  Snapshot machine;
  machine.devices.push_back(card(0, 8000));
  machine.devices[0].processes = {{42, false, 30000}};
  machine.devices[0].utilization_pct = 100;
  Request request = wish(1);
  request.criteria.min_free_mib = 8000;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::usable);
  request.criteria.min_free_mib = 8001;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::memory_low);
}

TEST(Fit, AskingForUtilisationTestsThatAndNothingElse) {
  Snapshot machine;
  machine.devices.push_back(card(0, 10));
  machine.devices[0].utilization_pct = 30;
  Request request = wish(1);
  request.criteria.max_util_pct = 30;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::usable);
  request.criteria.max_util_pct = 29;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::busy);
}

TEST(Fit, AnUnknownUtilisationDoesNotKeepACardOut) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].utilization_pct.reset();
  Request request = wish(1);
  request.criteria.max_util_pct = 0;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::usable);
}

TEST(Fit, MoreMemoryThanACardCanEverGiveIsNever) {
  const Snapshot machine = idle_machine(1);
  Request request = wish(1);
  request.criteria.min_free_mib = 46068 - 600;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::usable);
  request.criteria.min_free_mib = 46068 - 600 + 1;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::too_small);
}

TEST(Fit, ACardOfUnknownSizeMayStillDoOneDay) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_total_mib = 0;
  machine.devices[0].memory_free_mib = 0;
  machine.devices[0].health = Health::lost;
  Request request = wish(1);
  request.criteria.min_free_mib = 1000000;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::unhealthy);
  EXPECT_TRUE(could_ever(Fit::unhealthy));
}

TEST(Fit, EveryFaultKeepsACardOut) {
  Snapshot machine = idle_machine(1);
  for (const Health health :
       {Health::lost, Health::reset_required, Health::prohibited, Health::unreadable}) {
    machine.devices[0].health = health;
    EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::unhealthy);
  }
  machine.devices[0].health = Health::mig;
  EXPECT_EQ(fit(machine.devices[0], wish(1), {}), Fit::mig);
}

TEST(Fit, InsideAClaimTheJobsOwnMemoryIsNoStranger) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{42, false, 30000}};
  machine.devices[0].memory_used_mib = 30000;
  Request request = wish(1);
  request.within = 7;
  EXPECT_EQ(fit(machine.devices[0], request, {}), Fit::usable);
}

TEST(CouldEver, CountsWhatIsNeitherBarredNorUnfitForEver) {
  Snapshot machine = idle_machine(4);
  machine.devices[1].health = Health::mig;
  machine.devices[2].health = Health::lost;
  const std::vector<Barred> barred{Barred::no, Barred::no, Barred::no, Barred::excluded};
  EXPECT_EQ(could_ever_count(machine, barred, wish(1)), 2);
}

TEST(Fit, OnlyWhatUsesACardForNowNeedsTime) {
  for (const Fit f : {Fit::memory_held, Fit::memory_low, Fit::busy, Fit::occupied}) {
    EXPECT_TRUE(needs_time(f));
  }
  for (const Fit f : {Fit::usable, Fit::not_allowed, Fit::mig, Fit::too_small, Fit::unhealthy,
                      Fit::claimed, Fit::reserved, Fit::settling}) {
    EXPECT_FALSE(needs_time(f));
  }
}

/// A card for which every reason there is holds at once, and the request that finds them.
struct HopelessCase {
  HopelessCase() {
    device.uuid = "GPU-0";
    device.memory_free_mib = 0;
    device.utilization_pct = 100;
    device.health = Health::mig;
    device.processes = {{42, false, 40000}};
    device.memory_used_mib = 45468;
    request.barred = {"GPU-9", "GPU-0"};
    request.criteria.min_free_mib = 1000000;
    request.criteria.max_util_pct = 0;
  }
  Fit now() const { return fit(device, request, occupancy); }
  Device device = card(0);
  Request request = wish(1);
  Occupancy occupancy{.whole = true};
};

TEST(Fit, OfSeveralReasonsThoseThatAreForEverComeFirst) {
  HopelessCase hopeless;
  EXPECT_EQ(hopeless.now(), Fit::not_allowed);
  hopeless.request.barred.clear();
  EXPECT_EQ(hopeless.now(), Fit::mig);
  hopeless.device.health = Health::lost;
  EXPECT_EQ(hopeless.now(), Fit::too_small);
  hopeless.request.criteria.min_free_mib = 1;
  EXPECT_EQ(hopeless.now(), Fit::unhealthy);
  hopeless.device.health = Health::ok;
  EXPECT_EQ(hopeless.now(), Fit::claimed);
  hopeless.occupancy.whole = false;
  EXPECT_EQ(hopeless.now(), Fit::memory_low);
  hopeless.device.memory_free_mib = 1;
  EXPECT_EQ(hopeless.now(), Fit::busy);
  hopeless.request.criteria.max_util_pct = 100;
  EXPECT_EQ(hopeless.now(), Fit::usable);
}

TEST(Fit, AProcessIsToldBeforeTheMemoryThatItHolds) {
  HopelessCase hopeless;
  hopeless.request = wish(1);
  hopeless.occupancy.whole = false;
  hopeless.device.health = Health::ok;
  EXPECT_EQ(hopeless.now(), Fit::occupied);
  hopeless.device.processes.clear();
  EXPECT_EQ(hopeless.now(), Fit::memory_held);
}

TEST(Fit, MemoryAndUtilisationAskedForTogetherMustBothDo) {
  Device device = card(0, 8000);
  device.utilization_pct = 50;
  const auto with = [&](std::int64_t mib, int percent) {
    Request request = wish(1);
    request.criteria.min_free_mib = mib;
    request.criteria.max_util_pct = percent;
    return fit(device, request, {});
  };
  EXPECT_EQ(with(8000, 50), Fit::usable);
  EXPECT_EQ(with(8001, 50), Fit::memory_low);
  EXPECT_EQ(with(8000, 49), Fit::busy);
}

TEST(Fit, NoMemoryAskedForIsAnyUnclaimedCard) {
  Device device = card(0, 0);
  device.processes = {{42, false, 45468}};
  device.utilization_pct = 100;
  Request request = wish(1);
  request.criteria.min_free_mib = 0;
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
}

TEST(Fit, AnyUtilisationIsAnyUnclaimedCard) {
  Device device = card(0, 0);
  device.processes = {{42, false, 45468}};
  device.utilization_pct = 100;
  Request request = wish(1);
  request.criteria.max_util_pct = 100;
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
}

TEST(Fit, AnIdleCardMayHoldSoMuchAndNoMore) {
  Device device = card(0);
  device.memory_used_mib = kIdleMemoryMib;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::usable);
  device.memory_used_mib = kIdleMemoryMib + 1;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::memory_held);
}

TEST(Fit, AnIdleCardIsNotJudgedByItsUtilisation) {
  Device device = card(0, 46068 - 600);
  device.utilization_pct = 100;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::usable);
}

TEST(Fit, TheMemoryOfAllGraphicsProcessesIsTheirs) {
  Device device = card(0);
  device.processes = {{42, true, 1000}, {43, true, 1000}};
  device.memory_used_mib = 2000 + kIdleMemoryMib;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::usable);
  device.memory_used_mib += 1;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::memory_held);
}

TEST(Fit, ADesktopIsNobodyAndARendererIsSomebody) {
  Device device = card(0);
  device.processes = {{42, true, 48}, {43, true, kDesktopMemoryMib - 48}};
  device.memory_used_mib = kDesktopMemoryMib;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::usable);
  device.processes[0].memory_mib = 49;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::occupied);
  EXPECT_EQ(occupants(device).size(), 2U);
  Request request = wish(1);
  request.criteria.min_free_mib = 1000;
  EXPECT_EQ(fit(device, request, {}), Fit::usable) << "memory asked for is the only test";
}

TEST(Fit, AnMpsServerIsNobodyAndItsClientsAreSomebody) {
  Device device = card(0);
  device.processes = {{.pid = 42, .memory_mib = 28, .mps_server = true}};
  device.memory_used_mib = 28;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::usable);
  EXPECT_TRUE(occupants(device).empty());
  device.processes.push_back({.pid = 43, .memory_mib = 0});
  EXPECT_EQ(fit(device, wish(1), {}), Fit::occupied);
  EXPECT_EQ(occupants(device).at(0).pid, 43);
}

TEST(Fit, AnExclusiveCardWithAComputeProcessIsNotUsableWhateverIsAskedFor) {
  Device device = card(0, 46068 - 600);
  device.exclusive = true;
  Request memory = wish(1);
  memory.criteria.min_free_mib = 0;
  Request utilisation = wish(1);
  utilisation.criteria.max_util_pct = 100;
  Request inside = wish(1);
  inside.within = 7;
  for (const Request& request : {wish(1), memory, utilisation, inside}) {
    device.processes.clear();
    EXPECT_EQ(fit(device, request, {}), Fit::usable);
    device.processes = {{.pid = 42, .memory_mib = 28, .mps_server = true},
                        {.pid = 43, .graphics = true, .memory_mib = 100}};
    EXPECT_EQ(fit(device, request, {}), Fit::usable);
    device.processes.push_back({.pid = 44, .memory_mib = {}});
    EXPECT_EQ(fit(device, request, {}), Fit::occupied);
    EXPECT_EQ(fit(device, request, {.whole = true}), Fit::claimed);
  }
}

TEST(Fit, AGraphicsProcessOfUnknownMemoryExplainsNone) {
  Device device = card(0);
  device.processes = {{42, true, std::nullopt}};
  device.memory_used_mib = kIdleMemoryMib;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::usable);
  device.memory_used_mib = kIdleMemoryMib + 1;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::memory_held);
}

TEST(Fit, AComputeProcessOccupiesACardWhateverElseIsOnItAndHoweverLittleItHolds) {
  Device device = card(0, 46068 - 600);
  device.processes = {{42, true, 100}, {43, false, 0}};
  EXPECT_EQ(fit(device, wish(1), {}), Fit::occupied);
  device.processes[1].memory_mib.reset();
  EXPECT_EQ(fit(device, wish(1), {}), Fit::occupied);
}

TEST(Fit, WhereTheDriverTellsWhatItReservesNothingIsAllowedOnTop) {
  Device device = card(0);
  device.memory_reserved_mib = 0;
  device.memory_used_mib = kIdleMemoryMib + 1;
  EXPECT_EQ(fit(device, wish(1), {}), Fit::memory_held);
}

TEST(Fit, WhereTheDriverDoesNotTellWhatItReservesTheWholeCardCounts) {
  Device device = card(0, 46068);
  device.memory_reserved_mib.reset();
  Request request = wish(1);
  request.criteria.min_free_mib = 46068;
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
  request.criteria.min_free_mib = 46069;
  EXPECT_EQ(fit(device, request, {}), Fit::too_small);
}

TEST(Fit, InsideAClaimOthersClaimsAndFaultsStillCount) {
  Request request = wish(1);
  request.within = 7;
  Device device = card(0);
  EXPECT_EQ(fit(device, request, {.whole = true}), Fit::claimed);
  device.health = Health::lost;
  EXPECT_EQ(fit(device, request, {}), Fit::unhealthy);
}

TEST(Fit, InsideAClaimWhatIsAskedForStillCounts) {
  Request request = wish(1);
  request.within = 7;
  request.criteria.min_free_mib = 8000;
  EXPECT_EQ(fit(card(0, 7999), request, {}), Fit::memory_low);
  EXPECT_EQ(fit(card(0, 8000), request, {}), Fit::usable);
}

TEST(Fit, ACardWithoutAUuidIsNotBarredByThoseOfOthers) {
  Device device = card(0);
  device.uuid.clear();
  device.health = Health::lost;
  Request request = wish(1);
  request.barred = {"GPU-0", "GPU-1"};
  EXPECT_EQ(fit(device, request, {}), Fit::unhealthy);
}

TEST(CouldEver, OnlyWhatIsForEverRulesACardOut) {
  for (const Fit f : {Fit::not_allowed, Fit::mig, Fit::too_small}) EXPECT_FALSE(could_ever(f));
  for (const Fit f : {Fit::usable, Fit::unhealthy, Fit::claimed, Fit::occupied, Fit::memory_held,
                      Fit::memory_low, Fit::busy, Fit::reserved, Fit::settling}) {
    EXPECT_TRUE(could_ever(f));
  }
}

TEST(CouldEver, CountsWhatIsTakenNowAndNotWhatIsTooSmall) {
  Snapshot machine = idle_machine(3);
  machine.devices[0].memory_total_mib = 8000;
  machine.devices[1].processes = {{42, false, 40000}};
  machine.devices[1].memory_free_mib = 0;
  Request request = wish(1);
  request.criteria.min_free_mib = 16000;
  EXPECT_EQ(could_ever_count(machine, std::vector<Barred>(3, Barred::no), request), 2);
}

TEST(CouldEver, ACardOfUnknownSizeIsNotHopedForWhereEveryKnownOneIsTooSmall) {
  Snapshot machine = idle_machine(3);
  for (const std::size_t lost : {1U, 2U}) {
    machine.devices[lost].health = Health::lost;
    machine.devices[lost].memory_total_mib = 0;
  }
  const std::vector<Barred> barred(3, Barred::no);
  Request request = wish(1);
  EXPECT_EQ(could_ever_count(machine, barred, request), 3);
  request.criteria.min_free_mib = 46068;
  EXPECT_EQ(could_ever_count(machine, barred, request), 0);
  request.criteria.min_free_mib = 40000;
  EXPECT_EQ(could_ever_count(machine, barred, request), 3) << "one of known size is large enough";
}

TEST(CouldEver, ACardOfUnknownSizeIsHopedForWhereNoSizeIsKnown) {
  Snapshot machine = idle_machine(2);
  machine.devices[1].health = Health::lost;
  machine.devices[1].memory_total_mib = 0;
  Request request = wish(1);
  request.criteria.min_free_mib = 46068;
  EXPECT_EQ(could_ever_count(machine, {Barred::excluded, Barred::no}, request), 1);
}

TEST(CouldEver, EveryBarCounts) {
  const Snapshot machine = idle_machine(1);
  for (const Barred barred : {Barred::not_in_only, Barred::excluded, Barred::not_visible,
                              Barred::no_access, Barred::outside_claim}) {
    EXPECT_EQ(could_ever_count(machine, {barred}, wish(1)), 0);
  }
  EXPECT_EQ(could_ever_count({}, {}, wish(1)), 0);
}

Occupancy shared_with(std::int64_t promised_mib) {
  return {.shared = true, .promised_mib = promised_mib};
}

TEST(FitOfAShare, RoomIsTheTest) {
  const Device device = idle_machine(1).devices[0];
  EXPECT_EQ(fit(device, share_wish(8000), {}), Fit::usable);
  EXPECT_EQ(fit(device, share_wish(8000), shared_with(45468 - 8000)), Fit::usable);
  EXPECT_EQ(fit(device, share_wish(8000), shared_with(45468 - 7999)), Fit::room_low);
  EXPECT_TRUE(needs_time(Fit::room_low));
  EXPECT_TRUE(could_ever(Fit::room_low));
}

TEST(FitOfAShare, StrangersAndMemoryInUseDoNotMatterWhereThereIsRoom) {
  Device device = card(0, 20000);
  device.processes = {{42, false, 20000}};
  EXPECT_EQ(fit(device, share_wish(20000), {}), Fit::usable);
  EXPECT_EQ(fit(device, share_wish(20001), {}), Fit::room_low);
}

TEST(FitOfAShare, AWholeClaimKeepsItAway) {
  EXPECT_EQ(fit(card(0), share_wish(1), {.whole = true}), Fit::claimed);
}

TEST(FitOfAShare, ASharedDeviceIsNoWholeOne) {
  Request anything = wish(1);
  anything.criteria.min_free_mib = 0;
  EXPECT_EQ(fit(card(0), wish(1), shared_with(1)), Fit::claimed);
  EXPECT_EQ(fit(card(0), anything, shared_with(1)), Fit::claimed);
}

TEST(FitOfAShare, MoreThanThereEverIsIsTooMuch) {
  EXPECT_EQ(fit(card(0), share_wish(45468), {}), Fit::room_low);
  EXPECT_EQ(fit(card(0), share_wish(45469), {}), Fit::too_small);
  Request inside = share_wish(8001);
  inside.outer_share_mib = 8000;
  EXPECT_EQ(fit(card(0), inside, {.outer_share_mib = 8000}), Fit::too_small);
}

TEST(FitOfAShare, InsideAShareItsRoomCounts) {
  Request inside = share_wish(5000);
  inside.within = 5;
  inside.outer_share_mib = 8000;
  EXPECT_EQ(fit(card(0, 0), inside, {.promised_mib = 3000, .outer_share_mib = 8000}), Fit::usable);
  EXPECT_EQ(fit(card(0, 0), inside, {.promised_mib = 3001, .outer_share_mib = 8000}),
            Fit::room_low);
}

TEST(FitOfAShare, UtilisationMayBeAskedForAsWell) {
  Device device = card(0);
  device.utilization_pct = 50;
  Request request = share_wish(100);
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
  request.criteria.max_util_pct = 49;
  EXPECT_EQ(fit(device, request, {}), Fit::busy);
}

TEST(FitOfAShare, AnExclusiveDeviceAdmitsOneJob) {
  Device device = card(0);
  device.exclusive = true;
  EXPECT_EQ(fit(device, share_wish(100), {}), Fit::usable);
  EXPECT_EQ(fit(device, share_wish(100), shared_with(100)), Fit::claimed);
}

TEST(FitOfAShare, ADeviceOfUnknownSizeIsNotHopedForBesideOneThatIsTooSmall) {
  Snapshot machine = idle_machine(2);
  machine.devices[1].memory_total_mib = 0;
  EXPECT_EQ(could_ever_count(machine, {Barred::no, Barred::no}, share_wish(50000)), 0);
}

TEST(FitOfInstances, ACardInMigModeNeverFitsAndItsInstancesDo) {
  const Snapshot machine = divided_machine(1);
  EXPECT_EQ(fit(machine.devices[1], wish(1), {}), Fit::mig);
  EXPECT_EQ(fit(machine.devices[2], wish(1), {}), Fit::usable);
}

TEST(FitOfInstances, WhereSeveralHaveTheSameMemoryProcessesAloneTellWhoIsOnOne) {
  Snapshot machine = divided_machine(2);
  Device& instance = machine.devices[2];
  instance.memory_used_mib = 4000;
  EXPECT_EQ(fit(instance, wish(1), {}), Fit::memory_held);
  instance.memory_sharers = 2;
  EXPECT_EQ(fit(instance, wish(1), {}), Fit::usable);
  EXPECT_FALSE(has_unowned_memory(instance));
  instance.processes = {{.pid = 7, .memory_mib = 100}};
  EXPECT_EQ(fit(instance, wish(1), {}), Fit::occupied);
}

TEST(FitOfInstances, NoPartIsPromisedOfMemoryThatSeveralHave) {
  Snapshot machine = divided_machine(2);
  EXPECT_EQ(fit(machine.devices[2], share_wish(1000), {}), Fit::usable);
  machine.devices[2].memory_sharers = 2;
  EXPECT_EQ(fit(machine.devices[2], share_wish(1000), {}), Fit::shared_memory);
  EXPECT_FALSE(could_ever(Fit::shared_memory));
}

TEST(CouldEver, CardsAndInstancesAreNotCountedTogether) {
  const Snapshot machine = divided_machine(3);
  const std::vector<Barred> barred(machine.devices.size(), Barred::no);
  EXPECT_EQ(could_ever_count(machine, barred, wish(1)), 4);
  EXPECT_EQ(could_ever_count(machine, barred, wish(2)), 3);
}

// Processes of one's own.

TEST(OwnProcesses, AreNoStrangers) {
  Device device = card(0, 40000);
  device.memory_used_mib = 4500;
  device.processes = {{.pid = 7, .graphics = false, .memory_mib = 4000}};
  Request request = wish(1);
  EXPECT_EQ(fit(device, request, {}), Fit::occupied);
  request.own = std::vector<pid_t>{7};
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
  EXPECT_TRUE(strangers(device, request).empty());
  request.own = std::vector<pid_t>{8};
  EXPECT_EQ(fit(device, request, {}), Fit::occupied);
}

TEST(OwnProcesses, ExplainAsMuchMemoryAsTheyHave) {
  Device device = card(0, 20000);
  device.memory_used_mib = 26000;
  device.processes = {{.pid = 7, .graphics = false, .memory_mib = 4000}};
  Request request = wish(1);
  request.own = std::vector<pid_t>{7};
  EXPECT_EQ(fit(device, request, {}), Fit::memory_held);
  device.processes[0].memory_mib.reset();  // the driver does not tell
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
}

TEST(OwnProcesses, MayBeOnAGpuThatAdmitsOne) {
  Device device = card(0, 40000);
  device.exclusive = true;
  device.processes = {{.pid = 7, .graphics = false, .memory_mib = 6068}};
  Request request = wish(1);
  request.own = std::vector<pid_t>{7};
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
}

TEST(OwnProcesses, TakeNothingOfTheRoomForTheirShare) {
  Device device = card(0, 5000);
  device.memory_total_mib = 46000;
  device.memory_used_mib = 41000;
  device.memory_reserved_mib = 0;
  device.processes = {{.pid = 7, .graphics = false, .memory_mib = 41000}};
  Request request = wish(1);
  request.criteria.share_mib = 45000;
  EXPECT_EQ(fit(device, request, {}), Fit::room_low);
  request.own = std::vector<pid_t>{7};
  EXPECT_EQ(fit(device, request, {}), Fit::usable);
}

}  // namespace
}  // namespace gpu_gate
