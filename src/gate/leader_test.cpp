#include "gate/leader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "gate/test_lock_dir.h"
#include "gate/test_look.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// A leader that waits for GPU-0 alone, and others behind it.
class LeaderTest : public testing::Test {
 protected:
  bool looked(const Look& look) {
    EXPECT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
    looked_ = Clock::now();
    calls_.forget();
    return leader_.looked(look, post(), calls_).value();
  }
  bool looked(std::vector<Device> devices) {
    return looked(look_at(std::move(devices), own_wish_, box_.live_claims()));
  }
  Post post() {
    return {.line = box_.line,
            .claims = box_.claims,
            .place = own_.place,
            .poll = std::chrono::hours(1),
            .roster = roster_,
            .settling = settling_};
  }
  /// Is the next look due within this time after the last one?
  bool due_within(nanoseconds time) {
    WaitSet set;
    leader_.add_to(set);
    return leader_.woke(set, looked_ + time);
  }
  /// Was it rung since this was last asked?
  bool heard(const OwnPlace& waiter) {
    const bool rung = box_.is_rung(waiter.place);
    answer_bell(waiter.bell.get());
    return rung;
  }
  TestLockDir box_;
  const Request own_wish_ = wish_without({"GPU-1", "GPU-2"});
  const OwnPlace own_ = box_.join(own_wish_);
  Roster roster_;
  Settling settling_;
  Leader leader_;
  Calls calls_;
  Clock::time_point looked_;
};

TEST_F(LeaderTest, RingsTheOneBehindWhoseTurnItIs) {
  const OwnPlace next = box_.join();
  const OwnPlace last = box_.join();
  looked({occupied_card(0), card(1, 45000)});
  EXPECT_TRUE(heard(next));
  EXPECT_FALSE(heard(last));
  EXPECT_TRUE(calls_.answer_due());
}

TEST_F(LeaderTest, RingsAllWhoseTurnItIs) {
  const OwnPlace next = box_.join();
  const OwnPlace last = box_.join();
  looked({occupied_card(0), card(1, 45000), card(2, 45000)});
  EXPECT_TRUE(heard(next));
  EXPECT_TRUE(heard(last));
}

TEST_F(LeaderTest, AsksNobodyForWhomNothingIsLeft) {
  const OwnPlace next = box_.join();
  OwnPlace gone = box_.join();
  gone.held.reset();
  looked({card(1, 45000)});
  EXPECT_TRUE(heard(next));
  EXPECT_TRUE(roster_.contains(gone.place.ticket));  // whoever is asked and is gone is dropped
}

TEST_F(LeaderTest, KeepsFromOthersWhatItNeedsItself) {
  const OwnPlace next = box_.join();
  looked(look_at({card(0, 45000), occupied_card(1)}, wish(2)));
  EXPECT_FALSE(heard(next));
  EXPECT_FALSE(calls_.answer_due());
}

TEST_F(LeaderTest, RingsOneThatCameLaterAndHoldsLess) {
  const OwnPlace next = box_.join();
  box_.give_to(next.place, 1000);
  Look look = look_at({card(0, 45000), occupied_card(1)}, wish(2));
  look.turns.held = {{::geteuid(), kWholeGpu}};
  looked(look);
  EXPECT_TRUE(heard(next));
}

/// A look that finds the leader's only device claimed, where its user holds two.
Look look_while_all_is_claimed(const Request& wish, const std::vector<Claim>& claims) {
  Look look = look_at({card(0)}, wish, claims);
  look.turns.held = {{::geteuid(), 2 * kWholeGpu}};
  return look;
}

TEST_F(LeaderTest, TellsTheOneThatIsNextByTurns) {
  NewClaim claim = box_.claim({"GPU-0"});
  const OwnPlace same_user = box_.join();
  const OwnPlace next = box_.join();
  const OwnPlace last = box_.join();
  for (const OwnPlace* place : {&next, &last}) box_.give_to(place->place, 1000);
  looked(look_while_all_is_claimed(own_wish_, box_.live_claims()));
  EXPECT_FALSE(heard(same_user));
  EXPECT_FALSE(heard(last));
  EXPECT_TRUE(box_.is_rung(next.place));
  EXPECT_EQ(answer_bell(next.bell.get()), Heard::next);
}

TEST_F(LeaderTest, TellsTheOneAfterOneThatDoesNotAnswer) {
  NewClaim claim = box_.claim({"GPU-0"});
  const OwnPlace stopped = box_.join();
  const OwnPlace next = box_.join();
  for (const OwnPlace* place : {&stopped, &next}) box_.give_to(place->place, 1000);
  box_.ring_in_vain(stopped.place);
  looked(look_while_all_is_claimed(own_wish_, box_.live_claims()));
  EXPECT_EQ(answer_bell(next.bell.get()), Heard::next);
}

TEST_F(LeaderTest, TellsNobodyWhereItIsNextItself) {
  NewClaim claim = box_.claim({"GPU-0"});
  const OwnPlace same_user = box_.join();
  const OwnPlace other = box_.join();
  box_.give_to(other.place, 1000);
  looked(look_at({card(0)}, own_wish_, box_.live_claims()));
  EXPECT_FALSE(heard(same_user));
  EXPECT_FALSE(heard(other));
}

TEST_F(LeaderTest, TheDeviceOfAWaiterThatDoesNotAnswerGoesToTheNext) {
  const OwnPlace stopped = box_.join();
  const OwnPlace next = box_.join();
  box_.ring_in_vain(stopped.place);
  looked({occupied_card(0), card(1, 45000)});
  EXPECT_TRUE(heard(next));
}

TEST_F(LeaderTest, AWaiterWithoutARecordIsSteppedOver) {
  const OwnPlace broken = box_.join();
  write_text(box_.queue_path(record_name(broken.place)), "{");
  box_.dead_place();
  const OwnPlace next = box_.join();
  looked({occupied_card(0), card(1, 45000)});
  EXPECT_FALSE(heard(broken));
  EXPECT_TRUE(heard(next));
}

TEST_F(LeaderTest, ReadsAChangedRecordWhenItIsRung) {
  const Request elsewhere = wish_without({"GPU-1"});
  const OwnPlace next = box_.join(elsewhere);
  const std::vector<Device> machine{occupied_card(0), card(1, 45000)};
  looked(machine);
  EXPECT_FALSE(heard(next));
  ASSERT_TRUE(
      box_.line.rewrite(next.place, {.owner = this_process({}), .request = wish_without({})}));
  leader_.rung();
  looked(machine);
  EXPECT_TRUE(heard(next));
}

/// The leader needs more memory than there is free on the card, and the one behind does not.
class ContestedTest : public LeaderTest {
 protected:
  bool look() { return looked(look_at({card(0, 40000)}, wish_of_memory(44000))); }
  const OwnPlace next_ = box_.join(wish_of_memory(1000));
};

TEST_F(ContestedTest, ADeviceThatTheLeaderMayGetIsOfferedOnce) {
  look();
  EXPECT_TRUE(heard(next_));
  look();
  EXPECT_FALSE(heard(next_));
}

TEST_F(ContestedTest, AnOfferIsNoCallThatMustBeAnswered) {
  look();
  EXPECT_FALSE(calls_.answer_due());
}

TEST_F(ContestedTest, IsOfferedAgainToOneWhoRang) {
  look();
  heard(next_);
  leader_.rung();
  look();
  EXPECT_TRUE(heard(next_));
}

TEST_F(ContestedTest, IsOfferedAgainAfterItWasNotToBeHad) {
  look();
  heard(next_);
  looked(look_at({card(0, 500)}, wish_of_memory(44000)));
  look();
  EXPECT_TRUE(heard(next_));
}

TEST_F(LeaderTest, LooksAgainWhenThePollSaysSo) {
  looked({occupied_card(0)});
  EXPECT_FALSE(due_within(std::chrono::minutes(59)));
  EXPECT_TRUE(due_within(std::chrono::minutes(61)));
}

TEST_F(LeaderTest, LooksAgainSoonAtADeviceThatBeginsToDrain) {
  looked({occupied_card(0)});
  looked({draining_card(0)});
  EXPECT_TRUE(due_within(Clock::now() - looked_ + milliseconds(1)));
}

TEST_F(LeaderTest, LooksAgainSoonAtADeviceThatDrainsBesideAJobThatStays) {
  Device device = draining_card(0);
  device.processes.push_back(compute_process(0));
  device.processes[0].memory_mib = device.memory_used_mib;
  looked({device});
  EXPECT_FALSE(due_within(milliseconds(100)));
  device.processes[0].memory_mib = 5000;
  looked({device});
  EXPECT_TRUE(due_within(milliseconds(100)));
}

TEST_F(LeaderTest, ASharedDeviceThatIsPromisedDoesNotDrain) {
  Request request = own_wish_;
  request.criteria.share_mib = 10000;
  const Claim share{.ticket = 1, .uuid = "GPU-0", .share_mib = 40000};
  looked(look_at({card(0, 46068 - 600)}, request, {share}));
  EXPECT_FALSE(due_within(milliseconds(100)));
  looked(look_at({draining_card(0)}, request, {share}));
  EXPECT_TRUE(due_within(milliseconds(100)));
}

TEST_F(LeaderTest, LooksAgainEverMoreSeldomWhileItGoesOnDraining) {
  looked({draining_card(0)});
  ::usleep(10000);
  looked({draining_card(0)});
  EXPECT_FALSE(due_within(milliseconds(4)));
  EXPECT_TRUE(due_within(timing::kOften + (Clock::now() - looked_)));
}

TEST_F(LeaderTest, ADeviceThatDrainsForSomebodyBehindCountsAsWell) {
  const OwnPlace next = box_.join();
  looked({occupied_card(0), draining_card(1)});
  EXPECT_TRUE(due_within(Clock::now() - looked_ + milliseconds(1)));
}

TEST_F(LeaderTest, ADeviceThatDrainsForNobodyIsLeftToThePoll) {
  looked({occupied_card(0), draining_card(1)});
  EXPECT_FALSE(due_within(std::chrono::minutes(59)));
}

TEST_F(LeaderTest, ARingDoesNotBeginTheLooksAnew) {
  looked({draining_card(0)});
  ::usleep(10000);
  leader_.rung();
  looked({draining_card(0)});
  EXPECT_FALSE(due_within(milliseconds(4)));
}

TEST_F(LeaderTest, LooksAgainSoonAfterAReleaseThatNoSleepTold) {
  looked({occupied_card(0)});
  leader_.released();
  looked({occupied_card(0)});
  EXPECT_TRUE(due_within(timing::kOften + (Clock::now() - looked_)));
}

TEST_F(LeaderTest, AfterAReleaseNobodyIsWaitingForThereIsNothingToLookFor) {
  leader_.released();
  looked({occupied_card(1)});
  EXPECT_FALSE(due_within(std::chrono::minutes(59)));
}

TEST_F(LeaderTest, TheEndOfAClaimWakesItAndBeginsTheLooks) {
  NewClaim claim = box_.claim({"GPU-0"});
  EXPECT_TRUE(looked({card(0)}));
  EXPECT_FALSE(due_within(std::chrono::minutes(59)));
  claim.held.clear();
  EXPECT_TRUE(leader_.woke(sleep_of(leader_), Clock::now()));
  looked({occupied_card(0)});
  EXPECT_TRUE(due_within(timing::kOften + (Clock::now() - looked_)));
}

TEST_F(LeaderTest, TheEndOfAProcessWakesItAndBeginsTheLooks) {
  Idler job;
  Device device = card(0);
  device.processes = {compute_process(job.pid())};
  looked({device});
  EXPECT_FALSE(due_within(std::chrono::minutes(59)));
  job.signal(SIGKILL);
  EXPECT_TRUE(leader_.woke(sleep_of(leader_), Clock::now()));
  looked({device});
  EXPECT_TRUE(due_within(timing::kOften + (Clock::now() - looked_)));
}

TEST_F(LeaderTest, AClaimThatEndedDuringTheLookMeansAnotherLook) {
  NewClaim claim = box_.claim({"GPU-0"});
  const Look look = look_at({card(0)}, own_wish_, box_.live_claims());
  claim.held.clear();
  EXPECT_FALSE(looked(look));
}

/// Somebody holds less than the leader, so the last in line stands ahead of it.
class OvertakenTest : public LeaderTest {
 protected:
  OvertakenTest() { box_.give_to(last_.place, 1000); }
  bool look() {
    Look look = look_at({card(0), occupied_card(1)}, wish(2));
    look.turns.held = {{::geteuid(), kWholeGpu}};
    return looked(look);
  }
  OwnPlace last_ = box_.join(wish(2));
};

TEST_F(OvertakenTest, TheEndOfTheLastInLineWakes) {
  EXPECT_TRUE(look());
  EXPECT_EQ(watched(leader_), 1U);
  last_.held.reset();
  EXPECT_TRUE(leader_.woke(sleep_of(leader_), looked_));
}

TEST_F(OvertakenTest, OfTheDeadNoneIsTheLast) {
  box_.dead_place();
  look();
  last_.held.reset();
  EXPECT_TRUE(leader_.woke(sleep_of(leader_), looked_));
}

TEST_F(OvertakenTest, WhereTheLastIsLastByTurnsItsEndIsNobodysGain) {
  const OwnPlace behind = box_.join();
  look();
  EXPECT_EQ(watched(leader_), 0U);
}

TEST_F(OvertakenTest, WhereNothingIsFreeItIsNotWatched) {
  Look look = look_at({card(0)}, wish(1));
  look.occupancy[0].whole = true;
  look.turns.held = {{::geteuid(), kWholeGpu}};
  looked(look);
  EXPECT_EQ(watched(leader_), 0U);
}

TEST_F(OvertakenTest, OneAheadThatEndsBeforeItDecidesForOthersLeavesItItsTurn) {
  // As by a decision under the mutex that found the other ahead.
  Look look = look_at({card(0, 45000), card(1, 45000)}, wish(2));
  look.turns.held = {{::geteuid(), kWholeGpu}};
  last_.held.reset();
  EXPECT_FALSE(looked(look));
}

TEST_F(LeaderTest, WatchesTheClaimsOnEveryDevice) {
  const NewClaim own = box_.claim({"GPU-0"});
  const NewClaim other = box_.claim({"GPU-1"});
  looked({card(0), card(1)});
  EXPECT_EQ(watched(leader_), 2U);
}

}  // namespace
}  // namespace gpu_gate
