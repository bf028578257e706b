#include "policy/turn_order.h"

#include <gtest/gtest.h>

#include "policy/test_machine.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

namespace gpu_gate {
namespace {

using Tickets = std::vector<Ticket>;

constexpr uid_t kBob = 1001;
constexpr uid_t kCarol = 1002;
constexpr uid_t kDan = 1003;

struct Asking {
  Ticket ticket = 0;
  uid_t uid = 0;
  int count = 1;
  bool nice = false;
};

/// The order in which these are to be served.
Tickets order_of(const std::vector<Asking>& line, const Holdings& held = {},
                 LineOrder order = LineOrder::turns, const LastTurns& last_turns = {}) {
  std::vector<Queued> queued;
  queued.reserve(line.size());
  for (const Asking& asking : line) queued.push_back({.ticket = asking.ticket, .uid = asking.uid});
  TurnOrder turns({.order = order, .held = held}, last_turns, queued);
  Tickets tickets;
  while (const auto named = turns.next()) {
    const auto who = std::find_if(line.begin(), line.end(), [&](const Asking& asking) {
      return asking.ticket == named->ticket;
    });
    EXPECT_EQ(who->uid, named->uid);
    Criteria criteria;
    criteria.count = who->count;
    criteria.nice = who->nice;
    if (turns.put(criteria)) tickets.push_back(named->ticket);
  }
  return tickets;
}

TEST(TurnOrder, OneUserHasAPlainQueue) {
  EXPECT_EQ(order_of({{1, kBob, 4}, {2, kBob, 1}, {3, kBob, 2}}, {{kBob, 2 * kWholeGpu}}),
            (Tickets{1, 2, 3}));
}

TEST(TurnOrder, ALatecomerWithOneRequestStandsSecondBehindTwenty) {
  std::vector<Asking> line;
  for (Ticket ticket = 1; ticket <= 20; ++ticket) line.push_back({ticket, kBob});
  line.push_back({21, kCarol});
  const Tickets order = order_of(line);
  EXPECT_EQ(order[0], 1U);
  EXPECT_EQ(order[1], 21U);
  EXPECT_EQ(order[2], 2U);
  EXPECT_EQ(order[20], 20U);
}

TEST(TurnOrder, WhoHoldsFewestGoesFirst) {
  EXPECT_EQ(
      order_of({{1, kBob}, {2, kCarol}, {3, kDan}}, {{kBob, 2 * kWholeGpu}, {kCarol, kWholeGpu}}),
      (Tickets{3, 2, 1}));
}

TEST(TurnOrder, AmongThoseThatHoldEquallyMuchTheFirstToComeGoesFirst) {
  EXPECT_EQ(order_of({{1, kDan}, {2, kCarol}, {3, kBob}},
                     {{kBob, kWholeGpu}, {kCarol, kWholeGpu}, {kDan, kWholeGpu}}),
            (Tickets{1, 2, 3}));
}

TEST(TurnOrder, AmongThoseThatHoldEquallyMuchTheLastTurnCounts) {
  // Bob has just had one. So of more users than GPUs each comes to its turn.
  EXPECT_EQ(
      order_of({{1, kBob}, {2, kBob}, {3, kCarol}, {12, kDan}}, {}, LineOrder::turns, {{kBob, 10}}),
      (Tickets{3, 1, 12, 2}));
}

TEST(TurnOrder, ALastTurnBeforeOneCameDoesNotCount) {
  EXPECT_EQ(order_of({{11, kBob}, {12, kCarol}}, {}, LineOrder::turns, {{kBob, 10}, {kCarol, 9}}),
            (Tickets{11, 12}));
}

TEST(TurnOrder, ByArrivalTheLastTurnDoesNotMatter) {
  EXPECT_EQ(order_of({{1, kBob}, {2, kCarol}}, {}, LineOrder::arrival, {{kBob, 10}}),
            (Tickets{1, 2}));
}

TEST(TurnOrder, ARequestForManyCountsWithItsNumberForThoseBehindIt) {
  EXPECT_EQ(order_of({{1, kBob, 4}, {2, kBob}, {3, kCarol}, {4, kCarol}, {5, kCarol}}),
            (Tickets{1, 3, 4, 5, 2}));
}

TEST(TurnOrder, PartsOfAGpuCountAsParts) {
  EXPECT_EQ(order_of({{1, kBob}, {2, kCarol}}, {{kBob, 251}, {kCarol, 250}}), (Tickets{2, 1}));
}

TEST(TurnOrder, NiceRequestsComeAfterAllOthersInTheSameOrderAmongThemselves) {
  EXPECT_EQ(
      order_of(
          {{1, kBob, 1, true}, {2, kBob, 1, true}, {3, kCarol, 1, true}, {4, kBob}, {5, kDan, 8}},
          {{kDan, 8 * kWholeGpu}}),
      (Tickets{4, 5, 3, 1, 2}));
}

TEST(TurnOrder, ByArrivalHoldingsDoNotMatter) {
  EXPECT_EQ(order_of({{1, kBob, 4}, {2, kBob, 1, true}, {3, kCarol}, {4, kBob}},
                     {{kBob, 3 * kWholeGpu}}, LineOrder::arrival),
            (Tickets{1, 3, 4, 2}));
}

TEST(TurnOrder, OneThatIsGoneCountsForNobody) {
  const std::vector<Queued> line{
      {.ticket = 1, .uid = kBob}, {.ticket = 2, .uid = kBob}, {.ticket = 3, .uid = kCarol}};
  TurnOrder turns({}, {}, line);
  EXPECT_EQ(turns.next()->ticket, 1U);
  EXPECT_EQ(turns.next()->ticket, 2U);
  turns.put({});
  EXPECT_EQ(turns.next()->ticket, 3U);
}

TEST(TurnOrder, AnEmptyLineNamesNobody) {
  TurnOrder turns({.order = LineOrder::turns, .held = {{kBob, kWholeGpu}}}, {}, {});
  EXPECT_FALSE(turns.next());
}

TEST(TurnOrder, ARequestOfANewerVersionForEveryDeviceDoesNotOverflow) {
  EXPECT_EQ(order_of({{1, kBob, std::numeric_limits<int>::max()},
                      {2, kBob, std::numeric_limits<int>::max()},
                      {3, kBob},
                      {4, kCarol}}),
            (Tickets{1, 4, 2, 3}));
}

Claim claim_of(Ticket ticket, const std::string& uuid, uid_t uid, Ticket within = 0) {
  return {.ticket = ticket, .uuid = uuid, .uid = uid, .within = within};
}

TEST(Holdings, CountTheDevicesOfEachUser) {
  const Holdings held =
      holdings({claim_of(1, "a", kBob), claim_of(1, "b", kBob), claim_of(2, "c", kCarol)}, {});
  EXPECT_EQ(held, (Holdings{{kBob, 2 * kWholeGpu}, {kCarol, kWholeGpu}}));
}

TEST(Holdings, WhatPartsOfAJobHoldCountsOnceForTheOuterClaim) {
  EXPECT_EQ(
      holdings({claim_of(1, "a", kBob), claim_of(2, "a", kBob, 1), claim_of(3, "a", 0, 1)}, {}),
      (Holdings{{kBob, kWholeGpu}}));
}

TEST(Holdings, APartThatOutlivesItsOuterClaimCounts) {
  EXPECT_EQ(holdings({claim_of(2, "a", kBob, 1)}, {}), (Holdings{{kBob, kWholeGpu}}));
}

TEST(Holdings, NobodyHoldsLessBySayingThatItIsAPartOfSomethingElse) {
  EXPECT_EQ(holdings({claim_of(1, "a", kCarol), claim_of(2, "b", kBob, 1)}, {}),
            (Holdings{{kBob, kWholeGpu}, {kCarol, kWholeGpu}}));
  EXPECT_EQ(holdings({claim_of(1, "a", kCarol), claim_of(2, "a", kBob, 1)}, {}),
            (Holdings{{kBob, kWholeGpu}, {kCarol, kWholeGpu}}));
}

Claim share_of(Claim claim, std::int64_t mib) {
  claim.share_mib = mib;
  return claim;
}

CardSizes sizes_of(std::map<std::string, std::int64_t> mib) {
  Snapshot machine;
  std::vector<Claim> shares;
  for (const auto& [uuid, size] : mib) {
    Device device;
    device.uuid = uuid;
    device.memory_total_mib = size;
    machine.devices.push_back(device);
    shares.push_back(share_of(claim_of(1, uuid, kBob), 1));
  }
  return card_sizes(machine, shares);
}

TEST(Holdings, AShareCountsAsItsPartOfItsDevice) {
  const CardSizes sizes = sizes_of({{"a", 40000}, {"b", 80000}});
  EXPECT_EQ(
      holdings({share_of(claim_of(1, "a", kBob), 10000), share_of(claim_of(1, "b", kBob), 10000),
                share_of(claim_of(2, "b", kCarol), 80000)},
               sizes),
      (Holdings{{kBob, 375}, {kCarol, kWholeGpu}}));
}

TEST(Holdings, AShareOfADeviceOfUnknownSizeCountsAsTheWhole) {
  EXPECT_EQ(holdings({share_of(claim_of(1, "a", kBob), 10)}, sizes_of({{"a", 0}, {"b", 100}})),
            (Holdings{{kBob, kWholeGpu}}));
}

TEST(Holdings, NoShareCountsAsNothing) {
  EXPECT_EQ(holdings({share_of(claim_of(1, "a", kBob), 1)}, sizes_of({{"a", 80000}})),
            (Holdings{{kBob, 1}}));
}

TEST(Holdings, WhatPartsOfAShareHoldCountsOnceForIt) {
  const CardSizes sizes = sizes_of({{"a", 40000}});
  EXPECT_EQ(
      holdings({share_of(claim_of(1, "a", kBob), 10000), share_of(claim_of(2, "a", kBob, 1), 5000)},
               sizes),
      (Holdings{{kBob, 250}}));
}

TEST(Holdings, AnInstanceCountsAsItsPartOfItsCard) {
  Snapshot machine = divided_machine(2);
  machine.devices[1].memory_total_mib = 48640;
  const std::vector<Claim> claims{claim_of(1, "MIG-1-0", kBob),
                                  share_of(claim_of(2, "MIG-1-1", kCarol), 2432)};
  const Holdings expected{{kBob, 100}, {kCarol, 50}};
  EXPECT_EQ(holdings(claims, card_sizes(machine, claims)), expected);
  machine.devices[2].memory_sharers = 2;
  EXPECT_EQ(holdings(claims, card_sizes(machine, claims)).at(kBob), 50);
}

TEST(Holdings, WhereACardDoesNotTellItsMemoryItsInstancesAreAllOfIt) {
  Snapshot machine = divided_machine(4);
  machine.devices[1].memory_total_mib = 0;
  const std::vector<Claim> claims{claim_of(1, "MIG-1-0", kBob)};
  EXPECT_EQ(holdings(claims, card_sizes(machine, claims)), (Holdings{{kBob, 250}}));
}

TEST(AmountOf, WhereThereAreOnlyInstancesEachCountsAsTheLargest) {
  Snapshot machine = divided_machine(2);
  machine.devices[1].memory_total_mib = 48640;
  machine.devices[3].memory_total_mib = 9728;
  EXPECT_EQ(amount_of({.count = 2}, card_sizes(machine, {})), 2 * kWholeGpu);
  machine.devices.erase(machine.devices.begin());
  EXPECT_EQ(amount_of({.count = 2}, card_sizes(machine, {})), 400);
}

TEST(AmountOf, ARequestForAShareCountsAsThatPartOfTheLargestDevice) {
  const CardSizes sizes = sizes_of({{"a", 40000}, {"b", 80000}});
  Criteria criteria{.count = 2, .share_mib = 20000};
  EXPECT_EQ(amount_of(criteria, sizes), 500);
  EXPECT_EQ(amount_of(criteria, {}), 2 * kWholeGpu);
  criteria.share_mib.reset();
  EXPECT_EQ(amount_of(criteria, sizes), 2 * kWholeGpu);
}

TEST(TurnOrder, WhoAsksForASmallShareIsSoonNextAgain) {
  const CardSizes sizes = sizes_of({{"a", 40000}});
  TurnOrder turns({.order = LineOrder::turns, .held = {}, .sizes = sizes}, {},
                  {{1, kBob}, {2, kBob}, {3, kBob}, {4, kCarol}, {5, kCarol}});
  Tickets tickets;
  while (const auto named = turns.next()) {
    Criteria criteria;
    if (named->uid == kBob) criteria.share_mib = 10000;  // a quarter
    tickets.push_back(named->ticket);
    turns.put(criteria);
  }
  EXPECT_EQ(tickets, (Tickets{1, 4, 2, 3, 5}));
}

/// A line at random, the same for the same seed, and what each of its users holds.
struct RandomLine {
  explicit RandomLine(unsigned seed) : random(seed) {
    const int length = pick(0, 30);
    for (int i = 1; i <= length; ++i) {
      line.push_back({static_cast<Ticket>(i), user(0, 4), pick(1, 4), pick(0, 4) == 0});
    }
    for (int i = 0; i < 3; ++i) held[user(i, i)] = pick(0, 4) * kWholeGpu;
    for (int i = 1; i < 4; ++i) last_turns[user(i, i)] = static_cast<Ticket>(pick(0, 40));
  }
  int pick(int least, int most) { return std::uniform_int_distribution<>(least, most)(random); }
  uid_t user(int first, int last) { return kBob + static_cast<uid_t>(pick(first, last)); }

  std::mt19937 random;
  std::vector<Asking> line;
  Holdings held;
  LastTurns last_turns;
};

/// What holds for any line: tried on many.
void for_many_lines(const std::function<void(RandomLine&)>& test) {
  for (unsigned seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomLine random(seed);
    test(random);
  }
}

TEST(TurnOrder, TheOrderIsThatOfTheRuleSaidAnotherWay) {
  for_many_lines([](RandomLine& random) {
    // Each request by what its user would hold with all requests before it of the same user: those
    // not nice first.
    struct Key {
      bool nice;
      Amount held;
      Ticket waits_since;
      Ticket ticket;
      auto operator<=>(const Key&) const = default;
    };
    std::vector<Key> keys;
    for (const bool nice : {false, true}) {
      for (const Asking& asking : random.line) {
        if (asking.nice != nice) continue;
        keys.push_back({nice, random.held[asking.uid],
                        std::max(asking.ticket, random.last_turns[asking.uid]), asking.ticket});
        random.held[asking.uid] += asking.count * kWholeGpu;
      }
    }
    // random.held has grown meanwhile: take it back.
    for (const Asking& asking : random.line) random.held[asking.uid] -= asking.count * kWholeGpu;
    std::sort(keys.begin(), keys.end());
    Tickets expected;
    expected.reserve(keys.size());
    for (const Key& key : keys) expected.push_back(key.ticket);
    EXPECT_EQ(order_of(random.line, random.held, LineOrder::turns, random.last_turns), expected);
  });
}

TEST(TurnOrder, WithinAUserAndAClassTheyGoAsTheyCame) {
  for_many_lines([](RandomLine& random) {
    const Tickets order = order_of(random.line, random.held);
    for (std::size_t i = 0; i < order.size(); ++i) {
      for (std::size_t j = i + 1; j < order.size(); ++j) {
        const Asking& ahead = random.line[order[i] - 1];
        const Asking& behind = random.line[order[j] - 1];
        if (ahead.uid == behind.uid && ahead.nice == behind.nice) {
          EXPECT_LT(ahead.ticket, behind.ticket);
        }
      }
    }
  });
}

TEST(TurnOrder, OneThatComesNewChangesTheOrderOfNobodyElse) {
  for_many_lines([](RandomLine& random) {
    Tickets before = order_of(random.line, random.held);
    random.line.push_back({random.line.size() + 1, random.user(0, 4), random.pick(1, 4), false});
    Tickets after = order_of(random.line, random.held);
    // But where it comes before them: of its own user's nice ones each stands with more.
    std::erase(after, random.line.size());
    std::erase_if(before, [&](Ticket ticket) { return random.line[ticket - 1].nice; });
    std::erase_if(after, [&](Ticket ticket) { return random.line[ticket - 1].nice; });
    EXPECT_EQ(after, before);
  });
}

}  // namespace
}  // namespace gpu_gate
