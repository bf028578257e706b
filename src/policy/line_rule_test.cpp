#include "policy/line_rule.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "policy/test_machine.h"
#include "policy/together.h"

namespace gpu_gate {
namespace {

using Cards = std::vector<std::size_t>;

std::vector<Occupancy> occupancy_of(const std::vector<bool>& claimed) {
  std::vector<Occupancy> list;
  for (const bool whole : claimed) list.push_back({.whole = whole});
  return list;
}

std::vector<Decision> decide(const Snapshot& snapshot, const std::vector<Request>& requests,
                             std::vector<bool> claimed = {},
                             const std::set<std::string>& settled = {},
                             const std::vector<bool>& passed_over = {}) {
  claimed.resize(snapshot.devices.size(), false);
  LineRule rule(snapshot, occupancy_of(claimed), settled);
  std::vector<Decision> decisions;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    decisions.push_back(rule.next(
        {.request = &requests[i], .passed_over = i < passed_over.size() && passed_over[i]}));
  }
  return decisions;
}

TEST(LineRule, TheFirstIsServedFirst) {
  const Snapshot machine = idle_machine(1);
  const auto decisions = decide(machine, {wish(1), wish(1)});
  EXPECT_EQ(decisions[0].granted, Cards{0});
  EXPECT_TRUE(decisions[1].granted.empty());
  EXPECT_EQ(decisions[1].fits[0], Fit::reserved);
}

TEST(LineRule, OneLookServesAllThatCanBeServed) {
  const Snapshot machine = idle_machine(4);
  const auto decisions = decide(machine, {wish(1), wish(2), wish(1)});
  EXPECT_EQ(decisions[0].granted, Cards{0});
  EXPECT_EQ(decisions[1].granted, (Cards{1, 2}));
  EXPECT_EQ(decisions[2].granted, Cards{3});
}

TEST(LineRule, ABigRequestKeepsWhatItCouldUse) {
  const Snapshot machine = idle_machine(2);
  const auto decisions = decide(machine, {wish(2), wish(1)}, {true, false});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_TRUE(decisions[1].granted.empty());
  EXPECT_EQ(decisions[1].fits[1], Fit::reserved);
}

TEST(LineRule, ACardThatNobodyAheadCouldEverUseDoesNotStandIdle) {
  const Snapshot machine = idle_machine(2);
  Request picky = wish(1);
  picky.barred = {"GPU-1"};
  EXPECT_EQ(decide(machine, {picky, wish(1)}, {true, false})[1].granted, Cards{1});
  Request huge = wish(1);
  huge.criteria.min_free_mib = 80000;
  EXPECT_EQ(decide(machine, {huge, wish(1)})[1].granted, Cards{0});
}

TEST(LineRule, ACardThatOneAheadCouldUseLaterIsKeptUntilItHasSettled) {
  Snapshot machine;
  machine.devices.push_back(card(0, 10000));
  Request big = wish(1);
  big.criteria.min_free_mib = 40000;
  Request small = wish(1);
  small.criteria.min_free_mib = 8000;
  const auto before = decide(machine, {big, small});
  EXPECT_TRUE(before[1].granted.empty());
  EXPECT_EQ(before[1].fits[0], Fit::settling);
  EXPECT_TRUE(before[1].contested[0]);
  const auto after = decide(machine, {big, small}, {}, {"GPU-0"});
  EXPECT_EQ(after[1].granted, Cards{0});
  EXPECT_TRUE(after[1].contested[0]);
}

TEST(LineRule, AClaimedCardIsKeptForNobody) {
  // It is not there to be had; when it is, the first in line sees it first.
  const Snapshot machine = idle_machine(2);
  Request first = wish(1);
  first.barred = {"GPU-1"};
  const auto decisions = decide(machine, {first, wish(1)}, {true, false});
  EXPECT_FALSE(decisions[1].contested[0]);
  EXPECT_EQ(decisions[1].granted, Cards{1});
}

TEST(LineRule, AWaiterPassedOverIsNeitherServedNorReservedFor) {
  const Snapshot machine = idle_machine(1);
  const auto decisions = decide(machine, {wish(1), wish(1)}, {}, {}, {true, false});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_EQ(decisions[1].granted, Cards{0});
}

TEST(LineRule, NeverFewerCardsThanAskedFor) {
  const Snapshot machine = idle_machine(3);
  EXPECT_TRUE(decide(machine, {wish(4)})[0].granted.empty());
}

TEST(LineRule, TellsWhenThereIsNothingLeft) {
  const Snapshot machine = idle_machine(2);
  const Request one = wish(1);
  LineRule rule(machine, occupancy_of({false, false}), {});
  EXPECT_TRUE(rule.leaves_any_for(one));
  rule.next({.request = &one});
  EXPECT_TRUE(rule.leaves_any_for(one));
  rule.next({.request = &one});
  EXPECT_FALSE(rule.leaves_any_for(one));
}

Request needing(std::int64_t mib, int count = 1) {
  Request request = wish(count);
  request.criteria.min_free_mib = mib;
  return request;
}

Snapshot cards_with(const std::vector<std::int64_t>& free_mib) {
  Snapshot machine;
  for (const std::int64_t mib : free_mib) {
    machine.devices.push_back(card(static_cast<int>(machine.devices.size()), mib));
  }
  return machine;
}

using Fits = std::vector<Fit>;
using Flags = std::vector<bool>;

TEST(LineRule, TakesTheBestOfTheCardsThatWillDo) {
  const auto decisions = decide(cards_with({10000, 30000, 20000}), {needing(5000), needing(5000)});
  EXPECT_EQ(decisions[0].granted, Cards{1});
  EXPECT_EQ(decisions[1].granted, Cards{2});
}

TEST(LineRule, OneThatIsServedKeepsNoMoreThanItTakes) {
  const auto decisions = decide(idle_machine(4), {wish(2), wish(2), wish(1)});
  EXPECT_EQ(decisions[0].granted, (Cards{0, 1}));
  EXPECT_EQ(decisions[1].granted, (Cards{2, 3}));
  EXPECT_EQ(decisions[2].fits, Fits(4, Fit::reserved));
}

TEST(LineRule, OneThatCannotBeServedKeepsAllThatItCouldUse) {
  const auto decisions =
      decide(idle_machine(4), {wish(4), wish(1), wish(1)}, {false, true, false, false});
  for (std::size_t w : {1U, 2U}) {
    EXPECT_TRUE(decisions[w].granted.empty());
    EXPECT_EQ(decisions[w].fits, (Fits{Fit::reserved, Fit::claimed, Fit::reserved, Fit::reserved}));
  }
}

TEST(LineRule, ALongQueueOfBigRequestsLeavesWhatNoneOfThemCouldUse) {
  Request first = wish(2);
  first.barred = {"GPU-2", "GPU-3"};
  Request second = wish(2);
  second.barred = {"GPU-0", "GPU-3"};
  const auto decisions =
      decide(idle_machine(4), {first, second, wish(1), wish(1)}, {true, false, false, false});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_TRUE(decisions[1].granted.empty());
  EXPECT_EQ(decisions[2].granted, Cards{3});
  EXPECT_TRUE(decisions[3].granted.empty());
}

TEST(LineRule, OneLessThanAskedForIsNotEnough) {
  EXPECT_TRUE(decide(idle_machine(3), {wish(3)}, {false, true, false})[0].granted.empty());
  EXPECT_EQ(decide(idle_machine(3), {wish(2)}, {false, true, false})[0].granted, (Cards{0, 2}));
}

TEST(LineRule, SettledIsOneCardAndNotTheOthers) {
  const Snapshot machine = cards_with({10000, 9000, 8000});
  const auto decisions = decide(machine, {needing(40000), needing(8000)}, {}, {"GPU-1"});
  EXPECT_EQ(decisions[1].granted, Cards{1});
  EXPECT_EQ(decisions[1].fits, (Fits{Fit::settling, Fit::usable, Fit::settling}));
  EXPECT_EQ(decisions[1].contested, Flags(3, true));
}

TEST(LineRule, ASettledCardIsStillKeptForOneWhoCouldUseItAsItIs) {
  const auto decisions = decide(idle_machine(2), {wish(2), wish(1)}, {true, false}, {"GPU-1"});
  EXPECT_TRUE(decisions[1].granted.empty());
  EXPECT_EQ(decisions[1].fits[1], Fit::reserved);
  EXPECT_FALSE(decisions[1].contested[1]);
}

TEST(LineRule, SettledCardsAreNoGiftToOneWhomTheyDoNotSuit) {
  const auto decisions =
      decide(cards_with({10000}), {needing(40000), needing(20000)}, {}, {"GPU-0"});
  EXPECT_EQ(decisions[1].fits[0], Fit::memory_low);
  EXPECT_FALSE(decisions[1].contested[0]);
}

TEST(LineRule, ASettledCardGoesToTheFirstWhomItSuits) {
  const auto decisions =
      decide(cards_with({10000}), {needing(40000), needing(8000), needing(8000)}, {}, {"GPU-0"});
  EXPECT_EQ(decisions[1].granted, Cards{0});
  EXPECT_EQ(decisions[2].fits[0], Fit::reserved);
}

TEST(LineRule, OneThatIsServedContestsNothing) {
  const auto decisions = decide(cards_with({40000, 10000}), {needing(30000), needing(8000)});
  EXPECT_EQ(decisions[0].granted, Cards{0});
  EXPECT_EQ(decisions[1].granted, Cards{1});
  EXPECT_EQ(decisions[1].contested, Flags(2, false));
}

TEST(LineRule, TheFirstInLineIsContestedByNobody) {
  const auto decisions = decide(cards_with({10000, 40000}), {needing(8000, 2)});
  EXPECT_EQ(decisions[0].granted, (Cards{0, 1}));
  EXPECT_EQ(decisions[0].contested, Flags(2, false));
}

TEST(LineRule, ACardThatIsOccupiedForOneAheadIsContestedForOneWhoMayShareIt) {
  Snapshot machine = idle_machine(2);
  machine.devices[1].processes = {{42, false, 1000}};
  const auto decisions = decide(machine, {wish(2), needing(0)});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_EQ(decisions[1].fits, (Fits{Fit::reserved, Fit::settling}));
  EXPECT_EQ(decisions[1].contested, (Flags{false, true}));
}

TEST(LineRule, APassedOverWaiterIsToldWhatItWouldFind) {
  const auto decisions =
      decide(idle_machine(2), {wish(1), wish(1), wish(1)}, {}, {}, {false, true, false});
  EXPECT_EQ(decisions[1].fits, (Fits{Fit::reserved, Fit::usable}));
  EXPECT_TRUE(decisions[1].granted.empty());
  EXPECT_EQ(decisions[2].granted, Cards{1});
}

TEST(LineRule, APassedOverWaiterContestsNothing) {
  const auto decisions =
      decide(cards_with({10000}), {needing(40000), needing(8000)}, {}, {}, {true, false});
  EXPECT_EQ(decisions[1].granted, Cards{0});
  EXPECT_EQ(decisions[1].contested, Flags{false});
}

TEST(LineRule, ALineOfPassedOverWaitersHoldsNobodyUp) {
  const auto decisions =
      decide(idle_machine(1), {wish(1), wish(1), wish(1)}, {}, {}, {true, true, false});
  EXPECT_EQ(decisions[2].granted, Cards{0});
}

TEST(LineRule, LeavesNothingForOneWhomNoCardSuits) {
  const Snapshot machine = cards_with({10000, 20000});
  const LineRule rule(machine, occupancy_of({false, true}), {});
  EXPECT_TRUE(rule.leaves_any_for(needing(10000)));
  EXPECT_FALSE(rule.leaves_any_for(needing(20000)));
  Request barred = needing(0);
  barred.barred = {"GPU-0"};
  EXPECT_FALSE(rule.leaves_any_for(barred));
}

TEST(LineRule, WhatIsReservedIsLeftForNobody) {
  const Snapshot machine = idle_machine(2);
  const Request both = wish(2);
  LineRule rule(machine, occupancy_of({true, false}), {});
  rule.next({.request = &both});
  EXPECT_FALSE(rule.leaves_any_for(wish(1)));
}

TEST(LineRule, WhatAPassedOverWaiterWantedIsLeft) {
  const Snapshot machine = idle_machine(1);
  const Request one = wish(1);
  LineRule rule(machine, occupancy_of({false}), {});
  rule.next({.request = &one, .passed_over = true});
  EXPECT_TRUE(rule.leaves_any_for(one));
}

TEST(LineRule, ALineOnAMachineWithoutCardsWaits) {
  const auto decisions = decide({}, {wish(1), wish(1)});
  EXPECT_TRUE(decisions[1].granted.empty());
  EXPECT_TRUE(decisions[1].fits.empty());
}

TEST(LineRule, WhoGetsWhatDoesNotDependOnTheOrderOfTheDevices) {
  Snapshot machine = cards_with({10000, 20000, 30000, 40000});
  const std::vector<Request> line{needing(15000, 2), needing(35000), needing(5000), needing(5000)};
  const auto uuids_by_waiter = [&] {
    std::vector<std::set<std::string>> uuids;
    for (const Decision& decision : decide(machine, line)) {
      uuids.emplace_back();
      for (const std::size_t i : decision.granted) uuids.back().insert(machine.devices[i].uuid);
    }
    return uuids;
  };
  const auto expected = uuids_by_waiter();
  EXPECT_EQ(expected[0], (std::set<std::string>{"GPU-2", "GPU-3"}));
  const auto by_index = [](const Device& a, const Device& b) { return a.index < b.index; };
  while (std::next_permutation(machine.devices.begin(), machine.devices.end(), by_index)) {
    EXPECT_EQ(uuids_by_waiter(), expected);
  }
}

// Every line of three waiters with requests for 1 to 3 of 3 cards, over every set of cards that is
// claimed, busy for the one who cares, or allowed: the rule's promises, against their words.
TEST(LineRule, HoldsItsPromisesInEverySmallCase) {
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
          request.criteria.min_free_mib = rest % 4 == 3 ? 40000 : 0;
          line.push_back(request);
        }
        const int allowed_bits = shape / 64 + 1;  // of the second
        for (std::size_t i = 0; i < kCards; ++i) {
          if ((allowed_bits >> i & 1) == 0) line[1].barred.push_back(machine.devices[i].uuid);
        }
        const auto decisions = decide(machine, line, claimed);
        ++cases;
        std::vector<int> owners(kCards, 0);
        for (std::size_t w = 0; w < 3; ++w) {
          const Decision& decision = decisions[w];
          // All or nothing, and only usable cards, each once.
          ASSERT_TRUE(decision.granted.empty() ||
                      decision.granted.size() == static_cast<std::size_t>(line[w].criteria.count));
          ASSERT_TRUE(std::is_sorted(decision.granted.begin(), decision.granted.end()));
          for (const std::size_t i : decision.granted) {
            ASSERT_EQ(++owners[i], 1);
            ASSERT_FALSE(claimed[i]);
            ASSERT_EQ(fit(machine.devices[i], line[w], occupancy_of(claimed)[i]), Fit::usable);
            // Nobody ahead who is not served could use it, now or in principle.
            for (std::size_t ahead = 0; ahead < w; ++ahead) {
              if (!decisions[ahead].granted.empty()) continue;
              ASSERT_FALSE(could_ever(fit(machine.devices[i], line[ahead], {})));
            }
          }
          // A waiter that is not served could not have been: too few usable cards that nobody ahead
          // wants.
          if (!decision.granted.empty()) continue;
          int could = 0;
          for (std::size_t i = 0; i < kCards; ++i) {
            if (fit(machine.devices[i], line[w], occupancy_of(claimed)[i]) != Fit::usable) continue;
            bool wanted = false;
            for (std::size_t ahead = 0; ahead < w; ++ahead) {
              const Cards& taken = decisions[ahead].granted;
              wanted = wanted || std::count(taken.begin(), taken.end(), i) != 0 ||
                       (taken.empty() && could_ever(fit(machine.devices[i], line[ahead], {})));
            }
            if (!wanted) ++could;
          }
          ASSERT_LT(could, line[w].criteria.count);
        }
      }
    }
  }
  EXPECT_EQ(cases, 8 * 8 * 448);
}

// A lost device.

TEST(LineRule, OneThatNeedsALostCardKeepsNothingLongerThanWhatItCouldOnlyUseLater) {
  Snapshot machine = idle_machine(3);
  machine.devices[2].health = Health::lost;
  const auto before = decide(machine, {wish(3), wish(1)});
  EXPECT_TRUE(before[1].granted.empty());
  EXPECT_EQ(before[1].fits, (Fits{Fit::settling, Fit::settling, Fit::unhealthy}));
  EXPECT_EQ(decide(machine, {wish(3), wish(1)}, {}, {"GPU-0", "GPU-1"})[1].granted, Cards{0});
}

TEST(LineRule, OneThatCanDoWithoutTheLostCardKeepsWhatItCouldUse) {
  Snapshot machine = idle_machine(4);
  machine.devices[3].health = Health::lost;
  const auto decisions =
      decide(machine, {wish(3), wish(1)}, {true, false, false, false}, {"GPU-1", "GPU-2"});
  EXPECT_EQ(decisions[1].fits[1], Fit::reserved);
}

TEST(LineRule, AWaiterOfANewerVersionKeepsAllThoughItsNumberIsUnknown) {
  const auto decisions =
      decide(idle_machine(2), {wish(kEveryDevice), wish(1)}, {}, {"GPU-0", "GPU-1"});
  EXPECT_EQ(decisions[1].fits, Fits(2, Fit::reserved));
}

// What one user may hold.

constexpr uid_t kUser = 1000;
constexpr uid_t kOther = 1001;

class UserLimitTest : public testing::Test {
 protected:
  Decision next(LineRule& rule, uid_t user, const Request& request) const {
    return rule.next({.ticket = 1, .uid = user, .request = &request});
  }
  const Snapshot machine_ = idle_machine(4);
  LineRule rule_{machine_,
                 occupancy_of(std::vector<bool>(4, false)),
                 {},
                 {.most = 2, .held = {{kUser, kWholeGpu}}}};
};

TEST_F(UserLimitTest, UpToItARequestIsServed) {
  EXPECT_EQ(next(rule_, kUser, wish(1)).granted, Cards{0});
}

TEST_F(UserLimitTest, BeyondItOneWaitsAndKeepsNothingFromOthers) {
  const Decision waits = next(rule_, kUser, wish(2));
  EXPECT_TRUE(waits.granted.empty());
  EXPECT_EQ(waits.fits, Fits(4, Fit::over_limit));
  EXPECT_EQ(next(rule_, kOther, wish(2)).granted, (Cards{0, 1}));
}

TEST_F(UserLimitTest, WhatIsServedNowCounts) {
  EXPECT_EQ(next(rule_, kUser, wish(1)).granted, Cards{0});
  EXPECT_TRUE(next(rule_, kUser, wish(1)).granted.empty());
}

TEST_F(UserLimitTest, InsideAClaimThereIsNone) {
  Request part = wish(2);
  part.within = 7;
  EXPECT_EQ(next(rule_, kUser, part).granted.size(), 2U);
}

TEST_F(UserLimitTest, ForAWaiterOfANewerVersionThereIsNone) {
  next(rule_, kUser, wish(kEveryDevice));
  EXPECT_EQ(next(rule_, kOther, wish(1)).fits, Fits(4, Fit::reserved));
}

TEST(LineRule, TellsForWhomADeviceIsKept) {
  const Snapshot machine = idle_machine(3);
  LineRule rule(machine, occupancy_of({true, false, false}), {});
  const Request three = wish(3);
  Request only_last = wish(1);
  only_last.barred = {"GPU-0", "GPU-1"};
  rule.next({.ticket = 7, .request = &only_last});
  rule.next({.ticket = 8, .request = &three});
  EXPECT_EQ(rule.kept_for(), (std::vector<Ticket>{0, 8, 7}));
}

Occupancy shared_by(std::int64_t promised_mib) {
  return {.shared = true, .promised_mib = promised_mib};
}

/// The decisions for these, where so much of each card is promised to shares.
std::vector<Decision> decide_on(const Snapshot& snapshot, const std::vector<Occupancy>& occupancy,
                                const std::vector<Request>& requests) {
  LineRule rule(snapshot, occupancy, {});
  std::vector<Decision> decisions;
  for (const Request& request : requests) decisions.push_back(rule.next({.request = &request}));
  return decisions;
}

TEST(LineRuleOfShares, OneLookServesAllForWhomThereIsRoom) {
  const Snapshot machine = idle_machine(1);
  const auto decisions = decide_on(
      machine, {{}}, {share_wish(20000), share_wish(20000), share_wish(20000), share_wish(5000)});
  EXPECT_EQ(decisions[0].granted, Cards{0});
  EXPECT_EQ(decisions[1].granted, Cards{0});
  EXPECT_TRUE(decisions[2].granted.empty());
  EXPECT_EQ(decisions[2].fits[0], Fit::reserved);
  EXPECT_TRUE(decisions[3].granted.empty()) << "the third keeps what is left";
}

TEST(LineRuleOfShares, MemoryInUseIsNotPromisedAgainInTheSameLook) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].memory_used_mib = 30000;
  const auto decisions = decide_on(machine, {{}}, {share_wish(10000), share_wish(10000)});
  EXPECT_EQ(decisions[0].granted, Cards{0});
  EXPECT_TRUE(decisions[1].granted.empty());
}

TEST(LineRuleOfShares, AShareGrantedAheadIsNoWholeCard) {
  const Snapshot machine = idle_machine(1);
  const auto decisions = decide_on(machine, {{}}, {share_wish(100), wish(1)});
  EXPECT_EQ(decisions[0].granted, Cards{0});
  EXPECT_EQ(decisions[1].fits[0], Fit::reserved);
}

TEST(LineRuleOfShares, OneThatWaitsForAWholeCardKeepsTheRoomOfOne) {
  const Snapshot machine = idle_machine(3);
  const std::vector<Occupancy> occupancy{shared_by(30000), shared_by(10000), shared_by(20000)};
  const auto decisions =
      decide_on(machine, occupancy, {wish(1), share_wish(16000), share_wish(30000)});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_EQ(decisions[1].fits[1], Fit::reserved) << "the one with most room";
  EXPECT_EQ(decisions[1].granted, Cards{2});
  EXPECT_TRUE(decisions[2].granted.empty());
}

TEST(LineRuleOfShares, OneThatWaitsForALargeShareKeepsTheRoomOfOne) {
  const Snapshot machine = idle_machine(2);
  const auto decisions = decide_on(machine, {shared_by(20000), shared_by(10000)},
                                   {share_wish(40000), share_wish(20000)});
  EXPECT_EQ(decisions[1].fits, (std::vector<Fit>{Fit::usable, Fit::reserved}));
  EXPECT_EQ(decisions[1].granted, Cards{0});
}

TEST(LineRuleOfShares, OneThatWaitsForSeveralKeepsAsManyAsItLacks) {
  const Snapshot machine = idle_machine(4);
  const std::vector<Occupancy> occupancy{{.whole = true}, shared_by(1), shared_by(2), {}};
  const auto decisions = decide_on(machine, occupancy, {wish(2), share_wish(100), wish(1)});
  EXPECT_EQ(decisions[1].fits,
            (std::vector<Fit>{Fit::claimed, Fit::reserved, Fit::usable, Fit::reserved}));
  EXPECT_EQ(decisions[1].granted, Cards{2});
  EXPECT_TRUE(decisions[2].granted.empty());
}

TEST(LineRuleOfShares, OneThatWaitsForTwoSharesKeepsOnlyItsOwnOfTheOne) {
  const Snapshot machine = idle_machine(2);
  const auto decisions = decide_on(machine, {shared_by(5468), {.whole = true}},
                                   {share_wish(30000, 2), share_wish(10000), share_wish(1)});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_EQ(decisions[1].granted, Cards{0});
  EXPECT_TRUE(decisions[2].granted.empty());
}

TEST(LineRuleOfShares, NothingIsKeptOfACardThatCannotBeHad) {
  Snapshot machine = idle_machine(2);
  machine.devices[1].health = Health::lost;
  Request picky = wish(1);
  picky.barred = {"GPU-0"};
  const auto decisions =
      decide_on(machine, {shared_by(100), shared_by(100)}, {picky, share_wish(100)});
  EXPECT_EQ(decisions[1].granted, Cards{0});
}

TEST(LineRuleOfShares, ACardThatIsSharedIsNotWantedByOneThatKeepsAnother) {
  const Snapshot machine = idle_machine(2);
  const auto decisions =
      decide_on(machine, {shared_by(2), shared_by(1)}, {wish(1), share_wish(100)});
  EXPECT_EQ(decisions[1].granted, Cards{0});
  EXPECT_EQ(decisions[1].contested, (std::vector<bool>{false, false}));
}

TEST(LineRuleOfShares, OneThatIsOnlyTooBusyIsKeptBriefly) {
  Snapshot machine = idle_machine(1);
  machine.devices[0].utilization_pct = 90;
  Request calm = share_wish(100);
  calm.criteria.max_util_pct = 10;
  const std::vector<Request> requests{calm, share_wish(100)};
  const auto decisions = decide_on(machine, {shared_by(100)}, requests);
  EXPECT_EQ(decisions[1].fits[0], Fit::settling);
  LineRule settled(machine, {shared_by(100)}, {"GPU-0"});
  settled.next({.request = &requests[0]});
  EXPECT_EQ(settled.next({.request = &requests[1]}).granted, Cards{0});
}

TEST(LineRuleOfShares, SaysWhetherAnyRoomIsLeft) {
  const Snapshot machine = idle_machine(1);
  LineRule rule(machine, {{}}, {});
  const Request first = share_wish(45000);
  const Request second = share_wish(468);
  rule.next({.request = &first});
  EXPECT_TRUE(rule.leaves_any());
  EXPECT_TRUE(rule.leaves_any_for(second));
  EXPECT_FALSE(rule.leaves_any_for(share_wish(469)));
  EXPECT_FALSE(rule.leaves_any_for(wish(1)));
  rule.next({.request = &second});
  EXPECT_FALSE(rule.leaves_any());
}

TEST(LineRuleOfShares, TellsForWhomRoomIsKeptAndNotOfShares) {
  const Snapshot machine = idle_machine(2);
  LineRule rule(machine, {{}, shared_by(100)}, {});
  const Request share = share_wish(45000);
  const Request two = wish(2);
  rule.next({.ticket = 7, .request = &share});
  EXPECT_EQ(rule.kept_for(), (std::vector<Ticket>{0, 0}));
  rule.next({.ticket = 8, .request = &two});
  EXPECT_EQ(rule.kept_for(), (std::vector<Ticket>{8, 8}));
}

TEST_F(UserLimitTest, AShareCountsAsItsPart) {
  UserLimit limit{.most = 1, .held = {{kUser, 800}}, .sizes = card_sizes(idle_machine(1), {})};
  LineRule rule(machine_, {{}, {}, {}, {}}, {}, limit);
  const Request small = share_wish(46068 / 5);
  EXPECT_FALSE(next(rule, kUser, small).granted.empty());
  const Request more = share_wish(100);
  EXPECT_EQ(next(rule, kUser, more).fits[0], Fit::over_limit);
}

TEST(LineRuleOfInstances, ACardAndAnInstanceDoNotServeARequestForTwo) {
  const Snapshot machine = divided_machine(1);
  EXPECT_TRUE(decide(machine, {wish(2)})[0].granted.empty());
  EXPECT_EQ(decide(divided_machine(2), {wish(2)})[0].granted, (Cards{2, 3}));
}

TEST(LineRuleOfInstances, ARequestForTwoKeepsOnlyWhatItCouldGetTwoOf) {
  const Snapshot machine = divided_machine(2);
  const auto decisions = decide(machine, {wish(2), wish(1), wish(1)}, {false, false, true, false});
  EXPECT_TRUE(decisions[0].granted.empty());
  EXPECT_EQ(decisions[1].granted, Cards{0}) << "there is one card only";
  EXPECT_TRUE(decisions[2].granted.empty()) << "the free instance is kept";
  EXPECT_EQ(decisions[2].fits[3], Fit::reserved);
}

/// Could the request ever use the device, together with as many of its kind as it asks for?
bool is_of_use(const Snapshot& machine, std::size_t device, const Request& request) {
  int of_kind = 0;
  for (const Device& other : machine.devices) {
    const bool alike = request.criteria.count == 1 ||
                       other.instance.has_value() == machine.devices[device].instance.has_value();
    of_kind += alike && could_ever(fit(other, request, {})) ? 1 : 0;
  }
  return of_kind >= request.criteria.count && could_ever(fit(machine.devices[device], request, {}));
}

/// Two cards and three instances, each claimed or not, three requests of all kinds: nobody gets
/// cards and instances together, or what one ahead could use; and nobody waits who could be served.
TEST(LineRuleOfInstances, HoldsItsPromisesInEverySmallCase) {
  Snapshot machine = idle_machine(3);
  for (int i = 0; i < 3; ++i) add_instance(machine, i);
  const Cards devices{0, 1, 3, 4, 5};
  for (unsigned claimed_bits = 0; claimed_bits < 32; ++claimed_bits) {
    std::vector<bool> claimed(machine.devices.size(), false);
    for (std::size_t i = 0; i < devices.size(); ++i)
      claimed[devices[i]] = (claimed_bits >> i & 1) != 0;
    for (int shape = 0; shape < 6 * 6 * 6; ++shape) {
      std::vector<Request> line;
      for (int w = 0, rest = shape; w < 3; ++w, rest /= 6) {
        line.push_back(wish(rest % 3 + 1));
        if (rest % 6 >= 3) line.back().barred = {"GPU-0", "MIG-2-0"};
      }
      const bool all_possible = std::all_of(line.begin(), line.end(), [&](const Request& request) {
        return std::any_of(devices.begin(), devices.end(),
                           [&](std::size_t i) { return is_of_use(machine, i, request); });
      });
      if (!all_possible) continue;
      const auto decisions = decide(machine, line, claimed);
      for (std::size_t w = 0; w < 3; ++w) {
        const auto count = static_cast<std::size_t>(line[w].criteria.count);
        const auto is_wanted = [&](std::size_t i) {
          for (std::size_t ahead = 0; ahead < w; ++ahead) {
            const Cards& taken = decisions[ahead].granted;
            if (taken.empty() ? is_of_use(machine, i, line[ahead])
                              : std::count(taken.begin(), taken.end(), i) != 0) {
              return true;
            }
          }
          return false;
        };
        const Cards& granted = decisions[w].granted;
        const auto instances = static_cast<std::size_t>(
            std::count_if(granted.begin(), granted.end(),
                          [&](std::size_t i) { return machine.devices[i].instance.has_value(); }));
        ASSERT_TRUE(instances == 0 || instances == granted.size()) << shape;
        for (const std::size_t i : granted) ASSERT_TRUE(!claimed[i] && !is_wanted(i)) << shape;
        if (!granted.empty()) continue;
        Cards could;
        for (const std::size_t i : devices) {
          const bool free = !claimed[i] && fit(machine.devices[i], line[w], {}) == Fit::usable;
          if (free && !is_wanted(i)) could.push_back(i);
        }
        ASSERT_LT(most_together(could, line[w].criteria.count, machine), count) << shape;
      }
    }
  }
}

TEST(LineRuleOfInstances, OneThatWantsWhatIsBusyKeepsNothingOfTheOtherKind) {
  Snapshot machine = divided_machine(2);
  for (std::size_t i : {2U, 3U}) machine.devices[i].processes = {{.pid = 7, .memory_mib = 100}};
  const auto decisions = decide(machine, {wish(2), wish(1)});
  EXPECT_EQ(decisions[1].granted, Cards{0});
  EXPECT_FALSE(decisions[1].contested[0]);
}

}  // namespace
}  // namespace gpu_gate
