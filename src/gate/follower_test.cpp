#include "gate/follower.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "gate/test_lock_dir.h"
#include "gate/test_look.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Wake = Follower::Wake;

/// The second in a line, with the one that leads it.
class FollowerTest : public testing::Test {
 protected:
  FollowerTest() { stand(own_); }

  void stand(const OwnPlace& place) {
    place_ = place.place;
    follower_.stand_behind(box_.line.ahead_of(place_).value());
  }
  Post post() {
    return {.line = box_.line,
            .claims = box_.claims,
            .place = place_,
            .poll = poll_,
            .roster = roster_,
            .settling = settling_};
  }
  bool looked(const Look& look) {
    acted_ = Clock::now();
    return follower_.looked(look, post()).value();
  }
  bool looked(std::vector<Device> devices) {
    return looked(look_at(std::move(devices), wish(1), box_.live_claims()));
  }
  bool checked_line() {
    acted_ = Clock::now();
    return follower_.checked_line(post()).value();
  }
  /// What it does when it wakes by time alone, so long after it last acted.
  Wake after(nanoseconds time) {
    WaitSet set;
    follower_.add_to(set);
    return follower_.woke(set, acted_ + time, post());
  }
  /// How long it has taken since then: the clock that it read is at most so much ahead.
  nanoseconds lag() const { return Clock::now() - acted_; }
  /// Was the leader rung since this was last asked?
  bool leader_heard() {
    const bool rung = box_.is_rung(leader_.place);
    answer_bell(leader_.bell.get());
    return rung;
  }
  TestLockDir box_;
  const OwnPlace leader_ = box_.join();
  OwnPlace own_ = box_.join();
  Place place_;
  Roster roster_;
  Settling settling_;
  nanoseconds poll_ = timing::kLineCheck;
  Follower follower_;
  Clock::time_point acted_;
};

TEST_F(FollowerTest, KnowsWhoLeads) { EXPECT_EQ(follower_.leader(), leader_.place); }

/// One that is neither the second in line nor knows anything of the claims.
class NextTest : public FollowerTest {
 protected:
  NextTest() {
    own_ = box_.join();
    place_ = own_.place;
    follower_.stand_behind(box_.line.ahead_of(place_).value());
    looked({card(0)});
  }
  bool is_next() { return follower_.is_next(post(), 0).value(); }
  /// What it does when a claim ends.
  Wake after_end_of(NewClaim& claim) {
    WaitSet set;
    follower_.add_to(set);
    claim.held.clear();
    set.until(Clock::now() + milliseconds(100));
    EXPECT_TRUE(set.sleep());
    return follower_.woke(set, Clock::now(), post());
  }
  const OwnPlace between_ = std::move(own_);
  NewClaim claim_ = box_.claim({"GPU-0"});
};

TEST_F(NextTest, LooksWhenAClaimEnds) {
  EXPECT_TRUE(is_next());
  EXPECT_EQ(after_end_of(claim_), Wake::look);
}

TEST_F(NextTest, WithoutTheWordItLeavesThatToTheLeader) {
  EXPECT_EQ(after_end_of(claim_), Wake::sleep_on);
}

TEST_F(NextTest, StaysSoWhenTheLineIsChecked) {
  is_next();
  EXPECT_TRUE(checked_line());
  EXPECT_EQ(after_end_of(claim_), Wake::look);
}

TEST_F(NextTest, IsSoUntilItHasLooked) {
  is_next();
  looked({card(0)});
  EXPECT_EQ(after_end_of(claim_), Wake::sleep_on);
}

TEST_F(FollowerTest, TellsTheLeaderWhenItAwaitsADevice) {
  looked({occupied_card(0)});
  EXPECT_TRUE(leader_heard());
}

TEST_F(FollowerTest, TellsTheLeaderOnce) {
  looked({occupied_card(0)});
  leader_heard();
  looked({occupied_card(0)});
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, TellsTheLeaderWhenItAwaitsMoreAndNotWhenLess) {
  const NewClaim claim = box_.claim({"GPU-1"});
  looked({occupied_card(0), card(1)});
  leader_heard();
  looked(look_at({occupied_card(0), occupied_card(1)}, wish(1)));
  EXPECT_TRUE(leader_heard());
  looked({occupied_card(0), card(1)});
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, AwaitsNothingThatIsClaimed) {
  const NewClaim claim = box_.claim({"GPU-0"});
  looked({occupied_card(0)});
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, LooksWhenADeviceWillHaveSettled) {
  settling_.note({"GPU-0"}, Clock::now() - timing::kSettle + seconds(2));
  looked(std::vector<Device>{});
  EXPECT_EQ(after(seconds(1)), Wake::sleep_on);
  EXPECT_EQ(after(seconds(2) + lag()), Wake::look);
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, TellsTheLeaderWhenItsCountWasCutShort) {
  settling_.note({"GPU-0"}, Clock::now());
  looked(std::vector<Device>{});
  EXPECT_FALSE(leader_heard());
  settling_.note({}, Clock::now());
  looked(std::vector<Device>{});
  EXPECT_TRUE(leader_heard());
  looked(std::vector<Device>{});
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, LooksAtTheLineEveryFiveSeconds) {
  looked(std::vector<Device>{});
  EXPECT_EQ(after(timing::kLineCheck - milliseconds(100)), Wake::sleep_on);
  EXPECT_EQ(after(timing::kLineCheck + lag()), Wake::check_line);
}

TEST_F(FollowerTest, HasTheLeaderLookAtItsOwnPollWhereThatIsShorter) {
  poll_ = seconds(2);
  looked(std::vector<Device>{});
  box_.age_bell(leader_.place, seconds(2));
  EXPECT_EQ(after(milliseconds(1900)), Wake::sleep_on);
  EXPECT_FALSE(leader_heard());
  EXPECT_EQ(after(seconds(2) + lag()), Wake::sleep_on);
  EXPECT_TRUE(leader_heard());
}

TEST_F(FollowerTest, HasTheLeaderLookOnceASecondAtMost) {
  poll_ = milliseconds(50);
  looked(std::vector<Device>{});
  box_.age_bell(leader_.place, seconds(2));
  EXPECT_EQ(after(milliseconds(900)), Wake::sleep_on);
  EXPECT_FALSE(leader_heard());
  EXPECT_EQ(after(seconds(1) + lag()), Wake::sleep_on);
  EXPECT_TRUE(leader_heard());
}

TEST_F(FollowerTest, DoesNotHaveItLookWhereSomebodyElseHasJustNow) {
  poll_ = seconds(3);
  looked(std::vector<Device>{});
  box_.age_bell(leader_.place, seconds(2));
  after(seconds(3) + lag());
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, OfTheUsualPollAsksNoMoreOftenThanToSeeThatTheLeaderIsAwake) {
  looked(std::vector<Device>{});
  box_.age_bell(leader_.place, seconds(60));
  EXPECT_EQ(after(timing::kLineCheck - milliseconds(100)), Wake::sleep_on);
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, FarBackLooksAtTheLineLessOften) {
  for (int i = 0; i < 14; ++i) box_.dead_place();
  const OwnPlace far = box_.join();
  stand(far);
  looked(std::vector<Device>{});
  EXPECT_EQ(after(2 * timing::kLineCheck - milliseconds(100)), Wake::sleep_on);
  EXPECT_EQ(after(2 * timing::kLineCheck + lag()), Wake::check_line);
}

TEST_F(FollowerTest, FarBackSeesInTimeThatALeaderItRangDoesNotAnswer) {
  for (int i = 0; i < 14; ++i) box_.dead_place();
  const OwnPlace far = box_.join();
  stand(far);
  box_.age_bell(leader_.place, timing::kRungJustNow);
  checked_line();
  EXPECT_EQ(after(timing::kAnswer + lag()), Wake::check_line);
}

TEST_F(FollowerTest, DoesNotRingALeaderThatSomebodyRangJustNow) {
  box_.age_bell(leader_.place, timing::kRungJustNow - seconds(1));
  checked_line();
  EXPECT_FALSE(leader_heard());
}

TEST_F(FollowerTest, RingsALeaderThatNobodyRangForLong) {
  box_.age_bell(leader_.place, timing::kRungJustNow);
  checked_line();
  EXPECT_TRUE(leader_heard());
  EXPECT_EQ(after(timing::kAnswer - milliseconds(100)), Wake::sleep_on);
  EXPECT_EQ(after(timing::kAnswer + lag()), Wake::check_line);
}

TEST_F(FollowerTest, WhereTheLeaderDoesNotAnswerForHalfASecondTheOthersAreAsked) {
  const OwnPlace last = box_.join();
  box_.age_bell(last.place, seconds(60));
  box_.age_bell(leader_.place, timing::kRungJustNow);
  checked_line();
  box_.age_bell(leader_.place, seconds(1));
  EXPECT_EQ(after(timing::kNoAnswer - milliseconds(100)), Wake::sleep_on);
  EXPECT_FALSE(box_.is_rung(last.place));
  EXPECT_EQ(after(timing::kNoAnswer + lag()), Wake::sleep_on);
  EXPECT_TRUE(box_.is_rung(last.place));
  EXPECT_FALSE(box_.is_rung(place_));
}

TEST_F(FollowerTest, LooksAtTheLineWhenTheAnswerOfTheLeaderIsDue) {
  box_.line.ring_bell(leader_.place);
  box_.age_bell(leader_.place, seconds(3));
  checked_line();
  EXPECT_EQ(after(milliseconds(900)), Wake::sleep_on);
  EXPECT_EQ(after(seconds(2) + lag()), Wake::check_line);
}

TEST_F(FollowerTest, ALeaderWithoutABellIsLeftToTheNextLook) {
  ASSERT_EQ(::unlink(box_.queue_path(bell_name(leader_.place)).c_str()), 0);
  EXPECT_TRUE(checked_line());
  EXPECT_EQ(after(timing::kLineCheck + lag()), Wake::check_line);
}

TEST_F(FollowerTest, TheSecondRingsTheLeaderAtARelease) {
  NewClaim claim = box_.claim({"GPU-0"});
  looked({card(0)});
  EXPECT_FALSE(leader_heard());
  claim.held.clear();
  acted_ = Clock::now();
  EXPECT_EQ(follower_.woke(sleep_of(follower_), acted_, post()), Wake::sleep_on);
  EXPECT_TRUE(leader_heard());
}

TEST_F(FollowerTest, TheSecondSeesInTimeThatTheLeaderDoesNotAnswerARelease) {
  own_.held.reset();
  for (int i = 0; i < 14; ++i) box_.dead_place();
  const OwnPlace far = box_.join();  // the second alive, in a long line
  stand(far);
  NewClaim claim = box_.claim({"GPU-0"});
  looked({card(0)});
  EXPECT_EQ(after(timing::kAnswer + lag()), Wake::sleep_on);
  claim.held.clear();
  acted_ = Clock::now();
  follower_.woke(sleep_of(follower_), acted_, post());
  EXPECT_EQ(after(timing::kAnswer), Wake::check_line);
}

TEST_F(FollowerTest, TheSecondLooksAgainWhereAClaimEndedDuringTheLook) {
  NewClaim claim = box_.claim({"GPU-0"});
  const Look look = look_at({card(0)}, wish(1), box_.live_claims());
  claim.held.clear();
  EXPECT_FALSE(looked(look));
}

TEST_F(FollowerTest, TheSecondWatchesClaimsThatWereMadeSinceItsLook) {
  looked({card(0)});
  EXPECT_EQ(watched(follower_), 0U);
  const NewClaim claim = box_.claim({"GPU-0"});
  EXPECT_TRUE(checked_line());
  EXPECT_EQ(watched(follower_), 1U);
}

TEST_F(FollowerTest, TheThirdWatchesNoClaims) {
  const NewClaim claim = box_.claim({"GPU-0"});
  const OwnPlace third = box_.join();
  stand(third);
  looked({card(0)});
  EXPECT_EQ(watched(follower_), 0U);
}

TEST_F(FollowerTest, OneThatIsNoLongerTheSecondWatchesNoClaims) {
  const NewClaim claim = box_.claim({"GPU-0"});
  looked({card(0)});
  ASSERT_EQ(watched(follower_), 1U);
  const OwnPlace third = box_.join();
  stand(third);
  EXPECT_TRUE(checked_line());
  EXPECT_EQ(watched(follower_), 0U);
}

}  // namespace
}  // namespace gpu_gate
