#include "gate/claim_log.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

/// A log of so many claims, each on a device of its own: GPU-1, GPU-2, ...
ClaimLog log_of(std::uint64_t claims) {
  ClaimLog log;
  for (std::uint64_t i = 1; i <= claims; ++i) log.note({"GPU-" + std::to_string(i)}, i, 100 + i);
  return log;
}
ClaimMark mark_after(std::uint64_t claims) { return {.grants = claims, .noted = claims}; }

TEST(ClaimLog, TellsWhichDevicesWereClaimedSinceAMark) {
  const ClaimLog log = log_of(5);
  for (const char* uuid : {"GPU-4", "GPU-5"}) {
    EXPECT_NE(log.claims_since(mark_after(3), 5, uuid), 0) << uuid;
  }
  for (const char* uuid : {"GPU-1", "GPU-3", "GPU-6", ""}) {
    EXPECT_EQ(log.claims_since(mark_after(3), 5, uuid), 0) << uuid;
  }
}

TEST(ClaimLog, NotesEveryDeviceOfAClaim) {
  ClaimLog log;
  log.note({"GPU-1", "GPU-2"}, 1, 101);
  EXPECT_EQ(log.claims_since({}, 1, "GPU-1"), 1);
  EXPECT_NE(log.claims_since({}, 1, "GPU-2"), 0);
  EXPECT_EQ(log.claims_since({}, 1, "GPU-3"), 0);
}

TEST(ClaimLog, KnowsAsMuchAsItHasRoomFor) {
  constexpr std::uint64_t kClaims = 5 + ClaimLog::kDevices;
  const ClaimLog log = log_of(kClaims);
  EXPECT_NE(log.claims_since(mark_after(5), kClaims, "GPU-6"), 0);
  EXPECT_EQ(log.claims_since(mark_after(5), kClaims, "GPU-5"), 0);
  EXPECT_NE(log.claims_since(mark_after(4), kClaims, "any"), 0) << "older than all that it knows";
}

TEST(ClaimLog, AfterAClaimThatWasNotNotedEverythingMayHaveBeenClaimed) {
  ClaimLog log = log_of(3);
  EXPECT_NE(log.claims_since(mark_after(3), 4, "any"), 0);
  log.note({"GPU-1"}, 5, 105);
  EXPECT_NE(log.claims_since(mark_after(3), 5, "any"), 0);
  EXPECT_EQ(log.claims_since({.grants = 5, .noted = log.ends().noted}, 5, "any"), 0);
}

TEST(ClaimLog, AMarkFromTheFutureIsOfNoUse) {
  EXPECT_NE(log_of(3).claims_since(mark_after(4), 3, "any"), 0);
}

TEST(ClaimLog, IsReadAsItWasWritten) {
  const ClaimLog log = ClaimLog::parse(log_of(300).text());
  EXPECT_EQ(log.ends().noted, 300U);
  EXPECT_EQ(log.ends().last_claim, 400U);
  EXPECT_EQ(log.text(), log_of(300).text());
  EXPECT_EQ(log.text().size(), ClaimLog::kTextSize);
  EXPECT_NE(log.claims_since(mark_after(299), 300, "GPU-300"), 0);
}

TEST(ClaimLog, WhatCannotBeReadWasNeverNoted) {
  const std::string good = log_of(3).text();
  std::string garbled = good;
  garbled[good.size() - 50] = 'x';
  // As an older program wrote it, which did not note the ticket.
  const std::string shorter = good.substr(0, good.size() - 22) + "\n";
  for (const std::string& text :
       {std::string(), good.substr(1), std::string("x"), garbled, shorter,
        shorter + good.substr(good.size() - 21), std::string(ClaimLog::kTextSize, '\0')}) {
    const ClaimLog log = ClaimLog::parse(text);
    EXPECT_EQ(log.ends().noted, 0U);
    EXPECT_NE(log.claims_since({}, 3, "any"), 0);
  }
}

TEST(ClaimLog, CountsTheClaimsOnADevice) {
  ClaimLog log;
  log.note({"GPU-0"}, 1, 101);
  log.note({"GPU-0", "GPU-1"}, 2, 102);
  log.note({"GPU-2"}, 3, 103);
  EXPECT_EQ(log.claims_since({}, 3, "GPU-0"), 2);
  EXPECT_EQ(log.claims_since({.grants = 1, .noted = 1}, 3, "GPU-0"), 1);
  EXPECT_EQ(log.claims_since({.grants = 2, .noted = 3}, 3, "GPU-0"), 0);
  EXPECT_EQ(log.claims_since({}, 4, "GPU-0"), std::nullopt);
}

}  // namespace
}  // namespace gpu_gate
