#include "history/past_claims.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

constexpr std::int64_t kNow = 100'000;

PastDevice device(const std::string& label) {
  return {.uuid = "GPU-" + label, .label = label, .name = "", .pci = ""};
}

HistoryEntry entry(std::uint64_t claim, std::int64_t begin, std::optional<std::int64_t> end,
                   const std::vector<std::string>& labels = {"0"}) {
  HistoryEntry made;
  made.uid = 7;
  made.claim = claim;
  made.begin_ms = begin;
  made.end_ms = end;
  made.boot = "this";
  made.booted_ms = 1;
  for (const std::string& label : labels) made.devices.push_back(device(label));
  return made;
}

std::vector<PastClaim> past(std::vector<HistoryEntry> entries, std::uint64_t alive = 0) {
  return past_claims(std::move(entries),
                     {.now_ms = kNow,
                      .boot = {.id = "this", .began_ms = 1},
                      .lives = [=](const HistoryEntry& each) { return each.claim == alive; }});
}

TEST(PastClaims, AreSortedByBeginAndKeepTheEndThatWasWrittenDown) {
  const auto claims = past({entry(2, 500, 600), entry(1, 100, 200)});
  EXPECT_EQ(claims[0].entry.claim, 1U);
  EXPECT_EQ(claims[0].entry.end_ms, 200);
  EXPECT_FALSE(claims[0].at_latest);
}

TEST(PastClaims, AnEndThatWasWrittenDownLateIsThatOfTheHandOver) {
  EXPECT_EQ(past({entry(1, 100, 250), entry(2, 200, 300)})[0].entry.end_ms, 200);
  EXPECT_EQ(past({entry(1, 100, 9000), entry(2, 200, 300)})[0].entry.end_ms, 9000)
      << "no delay: whoever says so may say anything";
}

TEST(PastClaims, OneThatLivesHasNoEnd) {
  const auto claims = past({entry(1, 100, {})}, 1);
  EXPECT_FALSE(claims[0].entry.end_ms);
  EXPECT_FALSE(claims[0].at_latest);
}

TEST(PastClaims, AnEndThatIsMissingCameBeforeTheNextClaimOfOneOfItsGpus) {
  const auto claims = past({entry(1, 100, {}, {"0", "1"}), entry(2, 700, 800, {"0"}),
                            entry(3, 400, 500, {"1"}), entry(4, 200, 300, {"2"})});
  EXPECT_EQ(claims[0].entry.end_ms, 400);
  EXPECT_TRUE(claims[0].at_latest);
}

TEST(PastClaims, ASharedOneMayHaveOthersBesideIt) {
  HistoryEntry first = entry(1, 100, {});
  first.share_mib = 5;
  HistoryEntry second = entry(2, 200, 900);
  second.share_mib = 5;
  EXPECT_EQ(past({first, second})[0].entry.end_ms, kNow);
  EXPECT_EQ(past({first, second, entry(3, 950, 960)})[0].entry.end_ms, 950);
  EXPECT_EQ(past({entry(4, 50, {}), second})[0].entry.end_ms, 200);
}

TEST(PastClaims, PartsOfAJobSayNothingOfItsEnd) {
  HistoryEntry part = entry(2, 200, 300);
  part.within = 1;
  const auto claims = past({entry(1, 100, {}), part});
  EXPECT_EQ(claims[0].entry.end_ms, kNow);
  EXPECT_FALSE(claims[0].inside);
  EXPECT_TRUE(claims[1].inside);
}

TEST(PastClaims, APartOfAClaimThatTheHistoryDoesNotHaveCounts) {
  HistoryEntry part = entry(2, 200, 300);
  part.within = 1;
  HistoryEntry of_another = entry(1, 100, 400);
  of_another.uid = 8;
  EXPECT_FALSE(past({part})[0].inside);
  EXPECT_FALSE(past({of_another, part})[1].inside);
  of_another.uid = 0;  // sudo -u alice gpu-gate run, in a job of root's
  EXPECT_TRUE(past({of_another, part})[1].inside);
}

TEST(PastClaims, ABootEndsWhatIsLeft) {
  HistoryEntry earlier = entry(1, 100, {});
  earlier.boot = "first";
  HistoryEntry between = entry(2, 5000, 5100, {"1"});
  between.boot = "second";
  between.booted_ms = 4000;
  EXPECT_EQ(past({earlier, between}, 1)[0].entry.end_ms, 4000) << "its pid may live again";
  const auto claims = past_claims({earlier}, {.now_ms = kNow,
                                              .boot = {.id = "third", .began_ms = 9000},
                                              .lives = [](const HistoryEntry&) { return true; }});
  EXPECT_EQ(claims[0].entry.end_ms, 9000);
  EXPECT_TRUE(claims[0].at_latest);
}

TEST(PastClaims, AClockThatWasSetBackMakesNoEndBeforeTheBegin) {
  const auto claims = past({entry(1, kNow + 500, {})});
  EXPECT_EQ(claims[0].entry.end_ms, kNow + 500);
}

TEST(Within, IsThePartThatOverlaps) {
  const Span span{.from_ms = 100, .to_ms = 200};
  const auto part = within({.from_ms = 50, .to_ms = 150}, span);
  ASSERT_TRUE(part);
  EXPECT_EQ(part->length_ms(), 50);
  EXPECT_FALSE(within({.from_ms = 50, .to_ms = 99}, span));
  EXPECT_FALSE(within({.from_ms = 200, .to_ms = 300}, span));
  EXPECT_TRUE(within({.from_ms = 150, .to_ms = 150}, span)) << "a job of no time";
}

TEST(UseIn, CountsEachGpuOfAClaimWithinTheSpan) {
  const auto claims = past({entry(1, 0, 2000, {"0", "1"}), entry(2, 2000, {}, {"0"})}, 2);
  const HistoryUse use = use_in({.from_ms = 1000, .to_ms = 3000}, claims, claims, 2500);
  ASSERT_EQ(use.users.size(), 1U);
  EXPECT_EQ(use.users[0].gpu_ms, 2 * 1000 + 500);
  EXPECT_EQ(use.users[0].jobs, 2U);
  EXPECT_EQ(use.cards, 2U);
  ASSERT_EQ(use.devices.size(), 2U);
  EXPECT_EQ(use.devices[0].claimed_ms, 1500);
  EXPECT_EQ(use.devices[1].claimed_ms, 1000);
}

TEST(UseIn, CountsSharesAsTheirPartAndTimeOfAGpuOnce) {
  HistoryEntry a = entry(1, 0, 1000);
  HistoryEntry b = entry(2, 500, 1500);
  a.devices[0].thousandths = 250;
  b.devices[0].thousandths = 500;
  a.share_mib = b.share_mib = 1;
  b.uid = 8;
  const auto claims = past({a, b});
  const HistoryUse use = use_in({.from_ms = 0, .to_ms = 2000}, claims, claims, kNow);
  EXPECT_EQ(use.users[0].uid, 8U) << "who had most comes first";
  EXPECT_EQ(use.users[0].gpu_ms, 500);
  EXPECT_EQ(use.users[1].gpu_ms, 250);
  EXPECT_EQ(use.devices[0].claimed_ms, 1500);
}

TEST(UseIn, TakesTheMedianWait) {
  std::vector<HistoryEntry> entries;
  for (const std::int64_t waited : {50, 10, 30}) {
    entries.push_back(entry(entries.size() + 1, 1, 2));
    entries.back().waited_ms = waited;
  }
  const auto three = past(entries);
  EXPECT_EQ(use_in({.from_ms = 0, .to_ms = 9}, three, three, kNow).users[0].median_wait_ms, 30);
  entries.push_back(entry(4, 1, 2));
  entries.back().waited_ms = 70;
  const auto four = past(entries);
  EXPECT_EQ(use_in({.from_ms = 0, .to_ms = 9}, four, four, kNow).users[0].median_wait_ms, 40);
}

TEST(KnownDevices, AreThoseThatWereTheLastOfTheirIndexAndThoseAskedFor) {
  HistoryEntry replaced = entry(1, 0, 1, {"0"});
  replaced.devices[0].uuid = "GPU-old";
  HistoryEntry amd = entry(4, 5, 6, {"0"});
  amd.devices[0].uuid = "GPU-0123456789abcdef";
  const auto all = past({replaced, entry(2, 2, 3, {"10", "2", "0"}), entry(3, 3, 4, {"2:1"}), amd});
  const auto labels = [](const std::vector<PastDevice>& devices) {
    std::vector<std::string> names;
    for (const PastDevice& each : devices) names.push_back(each.uuid);
    return names;
  };
  EXPECT_EQ(
      labels(known_devices({}, all)),
      (std::vector<std::string>{"GPU-0", "GPU-2", "GPU-2:1", "GPU-10", "GPU-0123456789abcdef"}));
  EXPECT_EQ(known_devices({all[0]}, all).size(), 6U);
  EXPECT_EQ(use_in({.from_ms = 0, .to_ms = 9}, {}, all, kNow).cards, 4U);
}

}  // namespace
}  // namespace gpu_gate
