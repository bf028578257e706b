#include "policy/choose.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "policy/test_machine.h"

namespace gpu_gate {
namespace {

using Positions = std::vector<std::size_t>;

Positions choose(Positions candidates, std::size_t count, const Snapshot& machine) {
  Criteria criteria;
  criteria.count = static_cast<int>(count);
  const std::vector<Occupancy> free(machine.devices.size());
  return gpu_gate::choose(std::move(candidates),
                          Choice{.snapshot = machine, .occupancy = free, .criteria = criteria});
}

Snapshot alike(int cards) {
  Snapshot machine;
  for (int i = 0; i < cards; ++i) machine.devices.push_back(card(i, 1000));
  return machine;
}

TEST(Choose, MostFreeMemoryThenLeastBusyThenLowestIndex) {
  Snapshot machine = alike(5);
  machine.devices[0].utilization_pct.reset();  // unknown comes after known
  machine.devices[1].utilization_pct = 50;
  machine.devices[2].utilization_pct = 10;
  machine.devices[3].utilization_pct = 10;
  machine.devices[4].memory_free_mib = 1001;
  const Positions order{4, 2, 3, 1, 0};
  for (std::size_t n = 1; n <= order.size(); ++n) {
    Positions expected(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n));
    std::sort(expected.begin(), expected.end());  // exported in ascending index
    EXPECT_EQ(choose({0, 1, 2, 3, 4}, n, machine), expected);
  }
}

TEST(Choose, CardsThatWaitForARepairComeAfterAllOthers) {
  Snapshot machine = alike(3);
  machine.devices[0].memory_free_mib = 9000;
  for (const Repair repair :
       {Repair::remap_pending, Repair::retire_pending, Repair::remap_failed}) {
    machine.devices[0].repair = repair;
    EXPECT_EQ(choose({0, 1, 2}, 1, machine), Positions{1});
    EXPECT_EQ(choose({0, 1, 2}, 2, machine), (Positions{1, 2}));
    EXPECT_EQ(choose({0, 1}, 2, machine), (Positions{0, 1}));
  }
}

TEST(Choose, TakesNothingButCandidates) {
  Snapshot machine = alike(4);
  machine.devices[0].memory_free_mib = 9000;
  EXPECT_EQ(choose({1, 3}, 1, machine), Positions{1});
  EXPECT_EQ(choose({1, 3}, 2, machine), (Positions{1, 3}));
}

TEST(Choose, DoesNotDependOnTheOrderOfTheCandidates) {
  const Snapshot machine = alike(4);
  Positions candidates{0, 1, 2, 3};
  do {
    EXPECT_EQ(choose(candidates, 2, machine), (Positions{0, 1}));
  } while (std::next_permutation(candidates.begin(), candidates.end()));
}

TEST(Choose, AFullyBusyCardComesBeforeOneOfUnknownUtilisation) {
  Snapshot machine = alike(2);
  machine.devices[0].utilization_pct.reset();
  machine.devices[1].utilization_pct = 100;
  EXPECT_EQ(choose({0, 1}, 1, machine), Positions{1});
}

TEST(Choose, AMebibyteMoreFreeMemoryOutweighsEverythingElse) {
  Snapshot machine = alike(2);
  machine.devices[1].memory_free_mib = 1001;
  machine.devices[1].utilization_pct = 100;
  EXPECT_EQ(choose({0, 1}, 1, machine), Positions{1});
}

TEST(Choose, GoesByTheIndexNotByThePlaceInTheSnapshot) {
  Snapshot machine = alike(3);
  machine.devices[0].index = 7;
  machine.devices[1].index = 5;
  machine.devices[2].index = 6;
  EXPECT_EQ(choose({0, 1, 2}, 1, machine), Positions{1});
  EXPECT_EQ(choose({0, 1, 2}, 2, machine), (Positions{1, 2}));
}

TEST(Choose, AllOfTheCandidatesComeInAscendingOrder) {
  Snapshot machine = alike(4);
  machine.devices[3].memory_free_mib = 9000;
  EXPECT_EQ(choose({3, 1, 0}, 3, machine), (Positions{0, 1, 3}));
}

TEST(Choose, NoneOfTheCandidatesIsNone) {
  EXPECT_EQ(choose({}, 0, alike(2)), Positions{});
  EXPECT_EQ(choose({0, 1}, 0, alike(2)), Positions{});
}

/// Cards with a lot of memory free, of which each two with consecutive even and odd positions are
/// linked, and nothing else.
Snapshot in_pairs(int cards) {
  Snapshot machine = idle_machine(cards);
  machine.links = Links(machine.devices.size());
  for (std::size_t i = 0; i + 1 < machine.devices.size(); i += 2) {
    machine.links.set_score(i, i + 1, 400);
  }
  return machine;
}

TEST(ChooseByLinks, AmongEqualsTheSetThatIsLinkedBest) {
  EXPECT_EQ(choose({1, 2, 3}, 2, in_pairs(4)), (Positions{2, 3}));
  EXPECT_EQ(choose({0, 1, 2, 3}, 2, in_pairs(4)), (Positions{0, 1}));
  EXPECT_EQ(choose({1, 2, 3, 4, 5}, 4, in_pairs(6)), (Positions{2, 3, 4, 5}));
}

TEST(ChooseByLinks, OneCardBreaksUpNoPairIfItNeedNot) {
  EXPECT_EQ(choose({0, 1, 3}, 1, in_pairs(4)), Positions{3});
  EXPECT_EQ(choose({0, 1, 2, 3}, 1, in_pairs(4)), Positions{0});
}

TEST(ChooseByLinks, MemoryRanksFirst) {
  Snapshot machine = in_pairs(4);
  const std::int64_t free = machine.devices[0].memory_free_mib;
  const std::int64_t fiftieth = machine.devices[0].memory_total_mib / 50;
  machine.devices[3].memory_free_mib = free - fiftieth;
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{2, 3}));
  EXPECT_EQ(choose({0, 1, 3}, 1, machine), Positions{3});
  machine.devices[3].memory_free_mib -= 1;
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{0, 2}));
  EXPECT_EQ(choose({0, 1, 3}, 1, machine), Positions{0});
}

TEST(ChooseByLinks, ItIsTheLastCardOfTheRankingThatOthersMustEqual) {
  Snapshot machine = in_pairs(4);
  machine.devices[2].memory_free_mib = machine.devices[3].memory_free_mib = 20000;
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{2, 3}));
  EXPECT_EQ(choose({0, 2, 3}, 1, machine), Positions{0});
}

TEST(ChooseByLinks, TwoPercentAreOfEachCardsOwnMemory) {
  Snapshot machine = in_pairs(4);
  machine.devices[0].memory_free_mib = machine.devices[1].memory_free_mib = 40000;
  machine.devices[3].memory_free_mib = 39000;
  EXPECT_EQ(choose({0, 1, 3}, 1, machine), Positions{0});
  machine.devices[3].memory_total_mib = 50000;
  EXPECT_EQ(choose({0, 1, 3}, 1, machine), Positions{3});
}

TEST(ChooseByLinks, MoreThanTenPointsBusierIsNoEqual) {
  Snapshot machine = in_pairs(4);
  machine.devices[0].utilization_pct = 20;
  machine.devices[2].utilization_pct = 20;
  machine.devices[3].utilization_pct = 30;
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{2, 3}));
  machine.devices[3].utilization_pct = 31;
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{0, 2}));
}

TEST(ChooseByLinks, AnUnknownUtilisationKeepsNoCardOut) {
  Snapshot machine = in_pairs(4);
  machine.devices[3].utilization_pct.reset();
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{2, 3}));
  machine.devices[2].utilization_pct.reset();
  machine.devices[0].utilization_pct.reset();
  machine.devices[1].utilization_pct = 100;
  EXPECT_EQ(choose({1, 2, 3}, 2, machine), (Positions{2, 3}));
}

TEST(ChooseByLinks, WithNothingKnownTheRankingHoldsWithoutTwoPercent) {
  Snapshot machine = in_pairs(4);
  machine.links = Links(4);
  machine.devices[3].memory_free_mib += 1;
  EXPECT_EQ(choose({0, 1, 2, 3}, 1, machine), Positions{3});
  EXPECT_EQ(choose({0, 1, 2, 3}, 2, machine), (Positions{0, 3}));
}

TEST(ChooseByLinks, WhatIsLinkedAlikeIsRanked) {
  Snapshot machine = idle_machine(4);
  machine.links = Links(4);
  for (std::size_t a = 0; a < 4; ++a) {
    for (std::size_t b = a + 1; b < 4; ++b) machine.links.set_score(a, b, 1810);
  }
  machine.devices[3].memory_free_mib += 1;
  machine.devices[1].utilization_pct = 5;
  EXPECT_EQ(choose({0, 1, 2, 3}, 2, machine), (Positions{0, 3}));
  EXPECT_EQ(choose({0, 1, 2, 3}, 3, machine), (Positions{0, 2, 3}));
}

TEST(ChooseByLinks, DoesNotDependOnTheOrderOfTheCandidates) {
  const Snapshot machine = in_pairs(5);
  Positions candidates{0, 1, 2, 3, 4};
  do {
    EXPECT_EQ(choose(candidates, 3, machine), (Positions{0, 1, 4}));
  } while (std::next_permutation(candidates.begin(), candidates.end()));
}

TEST(ChooseByLinks, ACardThatWantsCareComesAfterAllOthers) {
  Snapshot machine = in_pairs(4);
  machine.devices[0].repair = Repair::remap_pending;
  machine.devices[0].memory_free_mib += 20000;
  EXPECT_EQ(choose({0, 1, 2}, 1, machine), Positions{2});
  EXPECT_EQ(choose({0, 1, 2}, 2, machine), (Positions{1, 2}));
  EXPECT_EQ(choose({0, 1, 2}, 3, machine), (Positions{0, 1, 2}));
  machine.links = {};
  EXPECT_EQ(choose({0, 1, 2}, 2, machine), (Positions{1, 2}));
  EXPECT_EQ(choose({0, 1, 2}, 3, machine), (Positions{0, 1, 2}));
}

bool matter(const Snapshot& machine, const Request& request) {
  return links_matter(machine, std::vector<Occupancy>(machine.devices.size()), request);
}

TEST(LinksMatter, OnlyWhereMoreAreAsGoodAsAreWanted) {
  Snapshot machine = idle_machine(3);
  EXPECT_TRUE(matter(machine, wish(1)));
  EXPECT_TRUE(matter(machine, wish(2)));
  EXPECT_FALSE(matter(machine, wish(3)));
  EXPECT_FALSE(matter(machine, wish(4)));
  EXPECT_FALSE(matter(machine, wish(kEveryDevice)));
  EXPECT_FALSE(matter(idle_machine(1), wish(1)));
  machine.devices[1].memory_free_mib -= 2000;
  machine.devices[2].memory_free_mib -= 2000;
  Request request = wish(1);
  request.criteria.min_free_mib = 1000;
  EXPECT_FALSE(matter(machine, request));
  request.criteria.count = 2;
  EXPECT_TRUE(matter(machine, request));
}

TEST(LinksMatter, NotForShares) { EXPECT_FALSE(matter(idle_machine(3), share_wish(1000))); }

TEST(LinksMatter, NotOfCardsThatTheRequestCannotHave) {
  const Snapshot machine = idle_machine(3);
  Request request = wish(1);
  request.barred = {"GPU-0", "GPU-2"};
  EXPECT_FALSE(matter(machine, request));
  std::vector<Occupancy> occupancy(3);
  occupancy[1].whole = occupancy[0].whole = true;
  EXPECT_FALSE(links_matter(machine, occupancy, wish(1)));
}

Positions choose_share(Positions candidates, std::int64_t mib, int count, const Snapshot& machine,
                       const std::vector<Occupancy>& occupancy) {
  const Criteria criteria{.count = count, .share_mib = mib};
  return gpu_gate::choose(
      std::move(candidates),
      Choice{.snapshot = machine, .occupancy = occupancy, .criteria = criteria});
}

TEST(ChooseForAShare, TheOneWithLeastRoomLeft) {
  const Snapshot machine = idle_machine(3);
  const std::vector<Occupancy> occupancy{{.shared = true, .promised_mib = 10000},
                                         {.shared = true, .promised_mib = 30000},
                                         {.shared = true, .promised_mib = 20000}};
  EXPECT_EQ(choose_share({0, 1, 2}, 1000, 1, machine, occupancy), Positions{1});
  EXPECT_EQ(choose_share({0, 2}, 1000, 1, machine, occupancy), Positions{2});
  EXPECT_EQ(choose_share({0, 1, 2}, 1000, 2, machine, occupancy), (Positions{1, 2}));
}

TEST(ChooseForAShare, OneWithoutAShareOnlyWhereNoOtherHasRoom) {
  Snapshot machine = idle_machine(2);
  machine.devices[0].memory_used_mib = 40000;  // a stranger's: little is left
  const std::vector<Occupancy> occupancy{{}, {.shared = true, .promised_mib = 100}};
  EXPECT_EQ(choose_share({0, 1}, 1000, 1, machine, occupancy), Positions{1});
  EXPECT_EQ(choose_share({0}, 1000, 1, machine, occupancy), Positions{0});
}

TEST(ChooseForAShare, LinksDoNotMatter) {
  Snapshot machine = in_pairs(3);
  const std::vector<Occupancy> occupancy(3);
  EXPECT_EQ(choose_share({0, 1, 2}, 1000, 1, machine, occupancy), Positions{0});
}

TEST(ChooseForAShare, AmongEqualsTheLeastBusyThenTheFirst) {
  Snapshot machine = idle_machine(3);
  machine.devices[0].utilization_pct = 50;
  const std::vector<Occupancy> occupancy(3);
  EXPECT_EQ(choose_share({0, 1, 2}, 1000, 1, machine, occupancy), Positions{1});
}

TEST(Choose, RanksCardsAndInstancesTogetherForOne) {
  Snapshot machine = divided_machine(2);
  EXPECT_EQ(choose({0, 2, 3}, 1, machine), Positions{0});
  machine.devices[0].memory_free_mib = 2000;
  EXPECT_EQ(choose({0, 2, 3}, 1, machine), Positions{2});
  machine.devices[2].memory_free_mib = 4000;
  EXPECT_EQ(choose({0, 2, 3}, 1, machine), Positions{3});
}

TEST(Choose, NeverMixesCardsAndInstances) {
  Snapshot machine = divided_machine(2);
  EXPECT_EQ(choose({0, 2, 3}, 2, machine), (Positions{2, 3}));
  EXPECT_EQ(choose({0, 2}, 2, machine), Positions{}) << "neither is enough";
  machine.devices.insert(machine.devices.begin() + 1, card(1, 1000));
  EXPECT_EQ(choose({0, 1, 3, 4}, 2, machine), (Positions{0, 1})) << "the best is a card";
  machine.devices[0].memory_free_mib = 1000;
  EXPECT_EQ(choose({0, 1, 3, 4}, 2, machine), (Positions{3, 4}));
  EXPECT_EQ(choose({0, 3, 4}, 2, machine), (Positions{3, 4}));
}

}  // namespace
}  // namespace gpu_gate
