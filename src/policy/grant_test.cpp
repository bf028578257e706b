#include "policy/grant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace gpu_gate {
namespace {

Device card(int index, std::int64_t free_mib = 40000) {
  Device device;
  device.index = index;
  device.uuid = "GPU-" + std::to_string(index);
  device.memory_total_mib = 46068;
  device.memory_reserved_mib = 600;
  device.memory_free_mib = free_mib;
  device.memory_used_mib = 46068 - 600 - free_mib;
  device.utilization_pct = 0;
  return device;
}

/// Cards that hold nothing.
Snapshot idle_machine(int cards) {
  Snapshot snapshot;
  for (int i = 0; i < cards; ++i) snapshot.devices.push_back(card(i, 46068 - 600));
  return snapshot;
}

Request wish(int count) {
  Request request;
  request.count = count;
  return request;
}

std::vector<Turn> decide(const Snapshot& snapshot, const std::vector<Request>& requests,
                         std::vector<bool> claimed = {}, const std::set<std::string>& settled = {},
                         const std::vector<bool>& passed_over = {}) {
  claimed.resize(snapshot.devices.size(), false);
  Granting granting(snapshot, claimed, settled);
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    turns.push_back(granting.next(InLine{&requests[i], i < passed_over.size() && passed_over[i]}));
  }
  return turns;
}

using Cards = std::vector<std::size_t>;

TEST(Fit, AnIdleCardIsUsable) {
  const Snapshot machine = idle_machine(1);
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::usable);
}

TEST(Fit, ACardThatIsNotAllowedNeverWillBe) {
  const Snapshot machine = idle_machine(2);
  Request request;
  request.barred = {"GPU-0"};
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::not_allowed);
  EXPECT_FALSE(could_ever(Fit::not_allowed));
  EXPECT_EQ(fit(machine.devices[1], request, false), Fit::usable);
}

TEST(Fit, AClaimKeepsACardAwayWhateverElseIsAskedFor) {
  const Snapshot machine = idle_machine(1);
  Request request = wish(1);
  request.min_free_mib = 0;
  EXPECT_EQ(fit(machine.devices[0], request, true), Fit::claimed);
}

TEST(Fit, WithNothingAskedForAComputeProcessOccupiesACard) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{42, false, 100}};
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::occupied);
}

TEST(Fit, AGraphicsProcessAndItsMemoryDoNot) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{42, true, 2000}};
  machine.devices[0].memory_used_mib = 2000 + kIdleMemoryMib;
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::usable);
  machine.devices[0].memory_used_mib += 1;
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::memory_held);
}

TEST(Fit, WhatTheDriverReservesDoesNotCountAlsoWhereItDoesNotTell) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_reserved_mib.reset();
  machine.devices[0].memory_used_mib = kIdleMemoryMib + 46068 / 50;
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::usable);
  machine.devices[0].memory_used_mib += 1;
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::memory_held);
}

TEST(Fit, AskingForMemoryTestsMemoryAndNothingElse) {
  Snapshot machine;
  machine.devices.push_back(card(0, 8000));
  machine.devices[0].processes = {{42, false, 30000}};
  machine.devices[0].utilization_pct = 100;
  Request request = wish(1);
  request.min_free_mib = 8000;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::usable);
  request.min_free_mib = 8001;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::memory_low);
}

TEST(Fit, AskingForUtilisationTestsThatAndNothingElse) {
  Snapshot machine;
  machine.devices.push_back(card(0, 10));
  machine.devices[0].utilization_pct = 30;
  Request request = wish(1);
  request.max_util_pct = 30;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::usable);
  request.max_util_pct = 29;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::busy);
}

TEST(Fit, AnUnknownUtilisationDoesNotKeepACardOut) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].utilization_pct.reset();
  Request request = wish(1);
  request.max_util_pct = 0;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::usable);
}

TEST(Fit, MoreMemoryThanACardCanEverGiveIsNever) {
  const Snapshot machine = idle_machine(1);
  Request request = wish(1);
  request.min_free_mib = 46068 - 600;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::usable);
  request.min_free_mib = 46068 - 600 + 1;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::too_small);
}

TEST(Fit, ACardOfUnknownSizeMayStillDoOneDay) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_total_mib = 0;
  machine.devices[0].memory_free_mib = 0;
  machine.devices[0].health = Health::lost;
  Request request = wish(1);
  request.min_free_mib = 1000000;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::unhealthy);
  EXPECT_TRUE(could_ever(Fit::unhealthy));
}

TEST(Fit, EveryFaultKeepsACardOut) {
  Snapshot machine = idle_machine(1);
  for (const Health health :
       {Health::lost, Health::reset_required, Health::prohibited, Health::unreadable}) {
    machine.devices[0].health = health;
    EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::unhealthy);
  }
  machine.devices[0].health = Health::mig;
  EXPECT_EQ(fit(machine.devices[0], wish(1), false), Fit::mig);
}

TEST(Fit, InsideAClaimTheJobsOwnMemoryIsNoStranger) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{42, false, 30000}};
  machine.devices[0].memory_used_mib = 30000;
  Request request = wish(1);
  request.within = 7;
  EXPECT_EQ(fit(machine.devices[0], request, false), Fit::usable);
}

TEST(CouldEver, CountsWhatIsNeitherBarredNorUnfitForEver) {
  Snapshot machine = idle_machine(4);
  machine.devices[1].health = Health::mig;
  machine.devices[2].health = Health::lost;
  const std::vector<Barred> barred{Barred::no, Barred::no, Barred::no, Barred::excluded};
  EXPECT_EQ(could_ever_count(machine, barred, wish(1)), 2);
}

TEST(Rank, MostFreeMemoryThenLeastBusyThenLowestIndex) {
  Snapshot machine;
  for (int i = 0; i < 5; ++i) machine.devices.push_back(card(i, 1000));
  machine.devices[0].utilization_pct.reset();  // unknown comes after known
  machine.devices[1].utilization_pct = 50;
  machine.devices[2].utilization_pct = 10;
  machine.devices[3].utilization_pct = 10;
  machine.devices[4].memory_free_mib = 1001;
  Request request = wish(1);
  request.min_free_mib = 0;
  const Cards order{4, 2, 3, 1, 0};
  for (std::size_t n = 1; n <= order.size(); ++n) {
    request.count = static_cast<int>(n);
    Cards expected(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n));
    std::sort(expected.begin(), expected.end());  // exported in ascending index
    EXPECT_EQ(decide(machine, {request})[0].granted, expected);
  }
}

TEST(Line, TheFirstIsServedFirst) {
  const Snapshot machine = idle_machine(1);
  const auto turns = decide(machine, {wish(1), wish(1)});
  EXPECT_EQ(turns[0].granted, Cards{0});
  EXPECT_TRUE(turns[1].granted.empty());
  EXPECT_EQ(turns[1].fits[0], Fit::reserved);
}

TEST(Line, OneLookServesAllThatCanBeServed) {
  const Snapshot machine = idle_machine(4);
  const auto turns = decide(machine, {wish(1), wish(2), wish(1)});
  EXPECT_EQ(turns[0].granted, Cards{0});
  EXPECT_EQ(turns[1].granted, (Cards{1, 2}));
  EXPECT_EQ(turns[2].granted, Cards{3});
}

TEST(Line, ABigRequestKeepsWhatItCouldUse) {
  const Snapshot machine = idle_machine(2);
  const auto turns = decide(machine, {wish(2), wish(1)}, {true, false});
  EXPECT_TRUE(turns[0].granted.empty());
  EXPECT_TRUE(turns[1].granted.empty());
  EXPECT_EQ(turns[1].fits[1], Fit::reserved);
}

TEST(Line, ACardThatNobodyAheadCouldEverUseDoesNotStandIdle) {
  const Snapshot machine = idle_machine(2);
  Request picky = wish(1);
  picky.barred = {"GPU-1"};
  EXPECT_EQ(decide(machine, {picky, wish(1)}, {true, false})[1].granted, Cards{1});
  Request huge = wish(1);
  huge.min_free_mib = 80000;
  EXPECT_EQ(decide(machine, {huge, wish(1)})[1].granted, Cards{0});
}

TEST(Line, ACardThatOneAheadCouldUseLaterIsKeptUntilItHasSettled) {
  Snapshot machine;
  machine.devices.push_back(card(0, 10000));
  Request big = wish(1);
  big.min_free_mib = 40000;
  Request small = wish(1);
  small.min_free_mib = 8000;
  const auto before = decide(machine, {big, small});
  EXPECT_TRUE(before[1].granted.empty());
  EXPECT_EQ(before[1].fits[0], Fit::settling);
  EXPECT_TRUE(before[1].contested[0]);
  const auto after = decide(machine, {big, small}, {}, {"GPU-0"});
  EXPECT_EQ(after[1].granted, Cards{0});
  EXPECT_TRUE(after[1].contested[0]);
}

TEST(Line, AClaimedCardIsKeptForNobody) {
  // It is not there to be had; when it is, the first in line sees it first.
  const Snapshot machine = idle_machine(2);
  Request first = wish(1);
  first.barred = {"GPU-1"};
  const auto turns = decide(machine, {first, wish(1)}, {true, false});
  EXPECT_FALSE(turns[1].contested[0]);
  EXPECT_EQ(turns[1].granted, Cards{1});
}

TEST(Line, WhoIsPassedOverIsNeitherServedNorReservedFor) {
  const Snapshot machine = idle_machine(1);
  const auto turns = decide(machine, {wish(1), wish(1)}, {}, {}, {true, false});
  EXPECT_TRUE(turns[0].granted.empty());
  EXPECT_EQ(turns[1].granted, Cards{0});
}

TEST(Line, NeverFewerCardsThanAskedFor) {
  const Snapshot machine = idle_machine(3);
  EXPECT_TRUE(decide(machine, {wish(4)})[0].granted.empty());
}

TEST(Line, TellsWhenThereIsNothingLeft) {
  const Snapshot machine = idle_machine(2);
  const Request one = wish(1);
  Granting granting(machine, {false, false}, {});
  EXPECT_TRUE(granting.leaves_any_for(one));
  granting.next(InLine{&one, false});
  EXPECT_TRUE(granting.leaves_any_for(one));
  granting.next(InLine{&one, false});
  EXPECT_FALSE(granting.leaves_any_for(one));
}

// Every line of three waiters with requests for 1 to 3 of 3 cards, over every set of cards that is
// claimed, busy for the one who cares, or allowed: the rule's promises, against their words.
TEST(Line, HoldsItsPromisesInEverySmallCase) {
  constexpr std::size_t kCards = 3;
  constexpr int kSubsets = 1 << kCards;
  int cases = 0;
  for (int claimed_bits = 0; claimed_bits < kSubsets; ++claimed_bits) {
    for (int low_bits = 0; low_bits < kSubsets; ++low_bits) {
      Snapshot machine;
      std::vector<bool> claimed;
      for (std::size_t i = 0; i < kCards; ++i) {
        const bool low = (low_bits >> i & 1) != 0;
        machine.devices.push_back(card(static_cast<int>(i), low ? 10000 : 40000));
        claimed.push_back((claimed_bits >> i & 1) != 0);
      }
      for (int shape = 0; shape < 4 * 4 * 4 * 7; ++shape) {
        std::vector<Request> line;
        for (int w = 0, rest = shape; w < 3; ++w, rest /= 4) {
          Request request = wish(rest % 4 == 3 ? 1 : rest % 4 + 1);
          request.min_free_mib = rest % 4 == 3 ? 40000 : 0;
          line.push_back(request);
        }
        const int allowed_bits = shape / 64 + 1;  // of the second
        for (std::size_t i = 0; i < kCards; ++i) {
          if ((allowed_bits >> i & 1) == 0) line[1].barred.push_back(machine.devices[i].uuid);
        }
        const auto turns = decide(machine, line, claimed);
        ++cases;
        std::vector<int> owners(kCards, 0);
        for (std::size_t w = 0; w < 3; ++w) {
          const Turn& turn = turns[w];
          // All or nothing, and only usable cards, each once.
          ASSERT_TRUE(turn.granted.empty() ||
                      turn.granted.size() == static_cast<std::size_t>(line[w].count));
          ASSERT_TRUE(std::is_sorted(turn.granted.begin(), turn.granted.end()));
          for (const std::size_t i : turn.granted) {
            ASSERT_EQ(++owners[i], 1);
            ASSERT_FALSE(claimed[i]);
            ASSERT_EQ(fit(machine.devices[i], line[w], claimed[i]), Fit::usable);
            // Nobody ahead who is not served could use it, now or in principle.
            for (std::size_t ahead = 0; ahead < w; ++ahead) {
              if (!turns[ahead].granted.empty()) continue;
              ASSERT_FALSE(could_ever(fit(machine.devices[i], line[ahead], false)));
            }
          }
          // Who is not served could not have been: too few usable cards that nobody ahead wants.
          if (!turn.granted.empty()) continue;
          int could = 0;
          for (std::size_t i = 0; i < kCards; ++i) {
            if (fit(machine.devices[i], line[w], claimed[i]) != Fit::usable) continue;
            bool wanted = false;
            for (std::size_t ahead = 0; ahead < w; ++ahead) {
              const Cards& taken = turns[ahead].granted;
              wanted = wanted || std::count(taken.begin(), taken.end(), i) != 0 ||
                       (taken.empty() && could_ever(fit(machine.devices[i], line[ahead], false)));
            }
            if (!wanted) ++could;
          }
          ASSERT_LT(could, line[w].count);
        }
      }
    }
  }
  EXPECT_EQ(cases, 8 * 8 * 448);
}

}  // namespace
}  // namespace gpu_gate
