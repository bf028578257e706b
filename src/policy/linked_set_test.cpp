#include "policy/linked_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <tuple>

#include "policy/test_machine.h"

namespace gpu_gate {
namespace {

using Set = std::vector<std::size_t>;

Set first(std::size_t count) {
  Set set(count);
  std::iota(set.begin(), set.end(), std::size_t{0});
  return set;
}

/// Cards of which nothing is linked yet.
Snapshot unlinked(std::size_t cards) {
  Snapshot machine = idle_machine(static_cast<int>(cards));
  machine.links = Links(cards);
  return machine;
}

/// Each two by the same chance, of few scores so that many sets are equals.
Snapshot linked_at_random(std::size_t cards, std::mt19937& chance) {
  constexpr int kScores[] = {0, 10, 20, 50, 110, 210};
  Snapshot machine = unlinked(cards);
  for (std::size_t a = 0; a < cards; ++a) {
    if (chance() % 8 == 0) machine.devices[a].repair = Repair::remap_pending;
    for (std::size_t b = a + 1; b < cards; ++b)
      machine.links.set_score(a, b, kScores[chance() % 6]);
  }
  return machine;
}

bool has(const Set& set, std::size_t device) {
  return std::find(set.begin(), set.end(), device) != set.end();
}

/// The rule, word for word: less is better. `set` is in the order of `equals`.
auto rule_of(const Set& set, const Set& equals, const Set& eligible, const Snapshot& machine) {
  int care = 0;
  int inside = 0;
  int broken = 0;
  for (const std::size_t a : set) {
    care += wants_care(machine.devices[a]) ? 1 : 0;
    for (const std::size_t b : set) inside += a < b ? machine.links.score(a, b) : 0;
    for (const std::size_t b : eligible) broken += has(set, b) ? 0 : machine.links.score(a, b);
  }
  Set ranks;
  for (std::size_t rank = 0; rank < equals.size(); ++rank) {
    if (has(set, equals[rank])) ranks.push_back(rank);
  }
  return std::make_tuple(care, -inside, broken, ranks);
}

Set best_by_the_rule(const Set& equals, const Set& eligible, std::size_t count,
                     const Snapshot& machine) {
  std::vector<bool> taken(equals.size(), false);
  std::fill_n(taken.begin(), count, true);
  Set best;
  do {
    Set set;
    for (std::size_t i = 0; i < equals.size(); ++i) {
      if (taken[i]) set.push_back(equals[i]);
    }
    if (best.empty() ||
        rule_of(set, equals, eligible, machine) < rule_of(best, equals, eligible, machine)) {
      best = set;
    }
  } while (std::prev_permutation(taken.begin(), taken.end()));
  return best;
}

TEST(LinkedSet, IsTheOneThatTheRuleNamesWhateverTheLinks) {
  std::mt19937 chance(5);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t cards = 2 + chance() % 8;
    const Snapshot machine = linked_at_random(cards, chance);
    Set eligible = first(cards);
    std::shuffle(eligible.begin(), eligible.end(), chance);
    const Set equals(eligible.begin(),
                     eligible.begin() + 2 + static_cast<std::ptrdiff_t>(chance() % (cards - 1)));
    const std::size_t count = 1 + chance() % equals.size();
    EXPECT_EQ(best_linked_set(equals, eligible, count, machine),
              best_by_the_rule(equals, eligible, count, machine))
        << "round " << round;
  }
}

TEST(LinkedSet, TheGreatestSumOfScores) {
  Snapshot machine = unlinked(4);
  machine.links.set_score(0, 3, 230);
  machine.links.set_score(1, 2, 230);
  machine.links.set_score(0, 1, 30);
  EXPECT_EQ(best_linked_set(first(4), first(4), 2, machine), (Set{0, 3}));
  machine.links.set_score(1, 2, 260);
  EXPECT_EQ(best_linked_set(first(4), first(4), 2, machine), (Set{1, 2}));
}

TEST(LinkedSet, OneDeviceIsTheOddOne) {
  Snapshot machine = unlinked(3);
  machine.links.set_score(0, 1, 400);
  EXPECT_EQ(best_linked_set(first(3), first(3), 1, machine), Set{2});
}

TEST(LinkedSet, OnlyEligibleDevicesCanBeBrokenOff) {
  Snapshot machine = unlinked(3);
  machine.links.set_score(0, 1, 400);
  EXPECT_EQ(best_linked_set({0, 2}, {0, 2}, 1, machine), Set{0});
}

TEST(LinkedSet, OneThatIsNoEqualCanBeBrokenOffAllTheSame) {
  Snapshot machine = unlinked(3);
  machine.links.set_score(0, 1, 400);
  EXPECT_EQ(best_linked_set({0, 2}, {0, 1, 2}, 1, machine), Set{2});
}

TEST(LinkedSet, FewestThatWantCareWhateverTheLinks) {
  Snapshot machine = unlinked(4);
  machine.links.set_score(0, 1, 600);
  machine.devices[1].repair = Repair::remap_failed;
  EXPECT_EQ(best_linked_set(first(4), first(4), 2, machine), (Set{2, 3}));
}

TEST(LinkedSet, AmongEqualSetsTheOneFirstInOrder) {
  const Snapshot machine = unlinked(5);
  EXPECT_EQ(best_linked_set({4, 0, 3, 1, 2}, first(5), 2, machine), (Set{4, 0}));
}

/// Cliques of four, as boards with four cards are.
Snapshot boards_of_four(std::size_t cards) {
  Snapshot machine = unlinked(cards);
  for (std::size_t a = 0; a < cards; ++a) {
    for (std::size_t b = a + 1; b < cards; ++b) {
      machine.links.set_score(a, b, a % (cards / 4) == b % (cards / 4) ? 450 : 10);
    }
  }
  return machine;
}

TEST(LinkedSet, AmongMoreDevicesThanAllSetsCanBeTriedOfItGrows) {
  const std::size_t cards = 64;
  const Snapshot machine = boards_of_four(cards);
  EXPECT_EQ(best_linked_set(first(cards), first(cards), 4, machine), (Set{0, 16, 32, 48}));
  const Set eight = best_linked_set(first(cards), first(cards), 8, machine);
  EXPECT_EQ(eight, (Set{0, 1, 16, 17, 32, 33, 48, 49}));
}

TEST(LinkedSet, GrownSetsAreSetsOfEqualsOfTheRightSize) {
  std::mt19937 chance(7);
  for (int round = 0; round < 20; ++round) {
    const std::size_t cards = 20 + chance() % 45;
    const Snapshot machine = linked_at_random(cards, chance);
    const std::size_t count = 8 + chance() % (cards - 8);
    Set set = best_linked_set(first(cards), first(cards), count, machine);
    EXPECT_EQ(set.size(), count);
    EXPECT_TRUE(std::is_sorted(set.begin(), set.end()));
    EXPECT_EQ(std::unique(set.begin(), set.end()), set.end());
    EXPECT_LT(set.back(), cards);
  }
}

}  // namespace
}  // namespace gpu_gate
