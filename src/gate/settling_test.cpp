#include "gate/settling.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Uuids = std::set<std::string>;

const Clock::time_point kBegin{seconds(1000)};

TEST(Settling, ADeviceSettlesAfterTenSeconds) {
  Settling settling;
  settling.note({"a"}, kBegin);
  EXPECT_TRUE(settling.settled(kBegin + milliseconds(9999)).empty());
  EXPECT_EQ(settling.settled(kBegin + seconds(10)), Uuids{"a"});
}

TEST(Settling, SeeingItAgainDoesNotBeginAnew) {
  Settling settling;
  for (int s = 0; s <= 9; ++s) settling.note({"a"}, kBegin + seconds(s));
  EXPECT_EQ(settling.settled(kBegin + seconds(10)), Uuids{"a"});
}

TEST(Settling, ABreakBeginsAnew) {
  Settling settling;
  settling.note({"a", "b"}, kBegin);
  settling.note({"b"}, kBegin + seconds(5));
  settling.note({"a", "b"}, kBegin + seconds(6));
  EXPECT_EQ(settling.settled(kBegin + seconds(10)), Uuids{"b"});
  EXPECT_EQ(settling.settled(kBegin + seconds(16)), (Uuids{"a", "b"}));
}

TEST(Settling, CountsForEachDeviceApart) {
  Settling settling;
  settling.note({"a"}, kBegin);
  settling.note({"a", "b"}, kBegin + seconds(3));
  EXPECT_EQ(settling.settled(kBegin + seconds(12)), Uuids{"a"});
  EXPECT_EQ(settling.settled(kBegin + seconds(13)), (Uuids{"a", "b"}));
}

TEST(Settling, TellsWhenTheNextOneSettles) {
  Settling settling;
  EXPECT_FALSE(settling.next(kBegin));
  settling.note({"a"}, kBegin);
  settling.note({"a", "b"}, kBegin + seconds(3));
  EXPECT_EQ(settling.next(kBegin + seconds(3)), kBegin + seconds(10));
}

TEST(Settling, NeverAsksForALookAtOnce) {
  Settling settling;
  settling.note({"a"}, kBegin);
  EXPECT_EQ(settling.next(kBegin + seconds(20)), kBegin + seconds(20) + milliseconds(100));
}

TEST(Settling, NothingContestedIsNothingToCount) {
  Settling settling;
  settling.note({"a"}, kBegin);
  settling.note({}, kBegin + seconds(1));
  EXPECT_FALSE(settling.next(kBegin + seconds(1)));
  EXPECT_TRUE(settling.settled(kBegin + seconds(60)).empty());
}

TEST(Settling, WhatHasSettledStaysSoWhileItIsContested) {
  Settling settling;
  settling.note({"a"}, kBegin);
  settling.note({"a"}, kBegin + seconds(20));
  EXPECT_EQ(settling.settled(kBegin + seconds(20)), Uuids{"a"});
}

TEST(Settling, WhatHasSettledBeginsAnewAfterABreak) {
  Settling settling;
  settling.note({"a"}, kBegin);
  settling.note({}, kBegin + seconds(20));
  settling.note({"a"}, kBegin + seconds(20));
  EXPECT_TRUE(settling.settled(kBegin + seconds(29)).empty());
}

TEST(Settling, TheNextLookIsForTheOneThatSettlesFirstWhateverItsName) {
  Settling settling;
  settling.note({"z"}, kBegin);
  settling.note({"a", "z"}, kBegin + seconds(3));
  EXPECT_EQ(settling.next(kBegin + seconds(4)), kBegin + seconds(10));
}

}  // namespace
}  // namespace gpu_gate
