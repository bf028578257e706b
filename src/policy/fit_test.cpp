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

}  // namespace
}  // namespace gpu_gate
