#include "gate/line.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include "gate/test_lock_dir.h"
#include "gate/test_process.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

using Places = std::vector<Place>;

/// A request of a job inside that claim.
Request inside(Ticket claim) {
  Request request = wish(1);
  request.within = claim;
  return request;
}

class LineTest : public testing::Test {
 protected:
  Ahead ahead_of(const Place& place) const { return box_.line.ahead_of(place).value(); }
  void clear(const Ahead& ahead) {
    const MutexGuard guard = box_.lock();
    box_.line.clear(guard, ahead);
  }
  Result<OwnPlace> try_to_join(Ticket last_ticket = 0) {
    MutexGuard guard = box_.lock();
    return box_.line.join(guard, last_ticket, record_);
  }
  std::size_t files() const { return TestLockDir::files_in(box_.dir.queue()); }
  TestLockDir box_;
  const Line& line_ = box_.line;
  const WaiterRecord record_{.owner = this_process({"waiter"}), .request = wish(2)};
};

TEST_F(LineTest, PlacesStandInTheOrderInWhichTheyWereTaken) {
  const OwnPlace first = box_.join();
  const Place dead = box_.dead_place();
  const OwnPlace third = box_.join();
  EXPECT_EQ(line_.places({}).value(), (Places{first.place, dead, third.place}));
}

TEST_F(LineTest, TheOrderIsThatOfNumbersAndNotOfLetters) {
  for (const char* name : {"100", "9", "20"}) write_text(box_.queue_path(name), "");
  EXPECT_EQ(line_.places({}).value(), (Places{{9, 0}, {20, 0}, {100, 0}}));
}

TEST_F(LineTest, EveryVendorHasALineOfItsOwnAndTheTicketsAreCommon) {
  Request amd = wish(1);
  amd.vendor = Vendor::amd;
  const OwnPlace first = box_.join();
  const OwnPlace of_amd = box_.join(amd);
  const OwnPlace last = box_.join();
  const OwnPlace last_of_amd = box_.join(amd);
  EXPECT_EQ(line_.places({}).value(), (Places{first.place, last.place}));
  EXPECT_EQ(line_.places({.vendor = Vendor::amd}).value(),
            (Places{of_amd.place, last_of_amd.place}));
  EXPECT_LT(first.place.ticket, of_amd.place.ticket);
  EXPECT_LT(of_amd.place.ticket, last.place.ticket);
  EXPECT_FALSE(ahead_of(of_amd.place).leader);
  EXPECT_EQ(ahead_of(last_of_amd.place).leader, of_amd.place);
  EXPECT_EQ(ahead_of(last.place).predecessor, first.place);
  EXPECT_EQ(line_.record(of_amd.place, ::geteuid())->request.vendor, Vendor::amd);
}

TEST_F(LineTest, EveryClaimHasALineOfItsOwn) {
  const OwnPlace outside = box_.join();
  const OwnPlace within_seven = box_.join(inside(7));
  const OwnPlace within_eight = box_.join(inside(8));
  EXPECT_EQ(line_.places({}).value(), Places{outside.place});
  EXPECT_EQ(line_.places({.within = 7}).value(), Places{within_seven.place});
  EXPECT_EQ(line_.all_places().value().size(), 3U);
  EXPECT_FALSE(ahead_of(within_eight.place).predecessor);
}

TEST_F(LineTest, WhoStandsAtAPlaceIsToldUntilTheyLeave) {
  OwnPlace place = box_.join();
  EXPECT_EQ(line_.holder(place.place).value(), ::geteuid());
  place.held.reset();
  EXPECT_FALSE(line_.holder(place.place).value());
}

TEST_F(LineTest, ARecordIsWhatTheWaiterWroteAndTheClaimThatItsPlaceIsIn) {
  const OwnPlace place = box_.join(inside(7));
  const auto record = line_.record(place.place, ::geteuid());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->owner.command, "waiter");
  EXPECT_EQ(record->request.criteria.count, 1);
  EXPECT_EQ(record->request.within, 7U);
}

TEST_F(LineTest, ARecordThatSomebodyElseWroteOrThatIsBrokenIsNone) {
  const OwnPlace place = box_.join();
  EXPECT_FALSE(line_.record(place.place, ::geteuid() + 1));
  write_text(box_.queue_path(record_name(place.place)), "{");
  EXPECT_FALSE(line_.record(place.place, ::geteuid()));
}

TEST_F(LineTest, NobodyIsAheadOfTheFirst) {
  const OwnPlace first = box_.join();
  const OwnPlace second = box_.join();
  const Ahead ahead = ahead_of(first.place);
  EXPECT_FALSE(ahead.leader);
  EXPECT_FALSE(ahead.predecessor);
  EXPECT_FALSE(ahead.predecessor_end);
  EXPECT_EQ(ahead.length, 0U);
}

TEST_F(LineTest, TheFirstLeadsAndTheNearestIsThePredecessor) {
  const OwnPlace first = box_.join();
  const OwnPlace second = box_.join();
  const OwnPlace third = box_.join();
  const Ahead ahead = ahead_of(third.place);
  EXPECT_EQ(ahead.leader, first.place);
  EXPECT_EQ(ahead.predecessor, second.place);
  EXPECT_EQ(ahead.length, 2U);
}

TEST_F(LineTest, TheDeadAreSteppedOverAndStillCountInTheLength) {
  const Place dead_front = box_.dead_place();
  const OwnPlace living = box_.join();
  box_.dead_place();
  const OwnPlace own = box_.join();
  const Ahead ahead = ahead_of(own.place);
  EXPECT_EQ(ahead.leader, living.place);
  EXPECT_EQ(ahead.predecessor, living.place);
  EXPECT_EQ(ahead.length, 3U);
  EXPECT_EQ(ahead.dead, Places{dead_front});
}

TEST_F(LineTest, AsFarAsTheDeadAreKnownTheyAreNotAskedAgain) {
  box_.dead_place();
  const OwnPlace silent = box_.join();
  box_.ring_in_vain(silent.place);
  const OwnPlace leader = box_.join();
  const Place unasked = box_.dead_place();
  OwnPlace predecessor = box_.join();
  box_.dead_place();
  const OwnPlace own = box_.join();
  const Ahead ahead = ahead_of(own.place);
  EXPECT_EQ(ahead.line,
            (Places{silent.place, leader.place, unasked, predecessor.place, own.place}));
  predecessor.held.reset();
  const Ahead later = line_.ahead_of(own.place, ahead.line).value().value();
  EXPECT_EQ(later.line, (Places{silent.place, leader.place, own.place}));
  EXPECT_EQ(later.predecessor, leader.place);
  EXPECT_EQ(later.leader, leader.place);
}

TEST_F(LineTest, WhereManyHaveLeftSinceTheLineIsToBeReadAgain) {
  std::vector<Place> known;
  for (int i = 0; i < 100; ++i) known.push_back(box_.dead_place());
  const OwnPlace own = box_.join();
  EXPECT_FALSE(line_.ahead_of(own.place, known).value());
}

TEST_F(LineTest, WithOnlyTheDeadAheadThereIsNoLeader) {
  const Place dead = box_.dead_place();
  const OwnPlace own = box_.join();
  const Ahead ahead = ahead_of(own.place);
  EXPECT_FALSE(ahead.leader);
  EXPECT_FALSE(ahead.predecessor);
  EXPECT_EQ(ahead.dead, Places{dead});
}

TEST_F(LineTest, OneThatDoesNotAnswerDoesNotLeadButStaysThePredecessor) {
  const OwnPlace first = box_.join();
  const OwnPlace second = box_.join();
  const OwnPlace own = box_.join();
  box_.ring_in_vain(first.place);
  EXPECT_EQ(ahead_of(own.place).leader, second.place);
  box_.ring_in_vain(second.place);
  EXPECT_FALSE(ahead_of(own.place).leader);
  EXPECT_EQ(ahead_of(own.place).predecessor, second.place);
}

TEST_F(LineTest, OneThatAnswersAgainLeadsAgain) {
  const OwnPlace first = box_.join();
  const OwnPlace own = box_.join();
  box_.ring_in_vain(first.place);
  ASSERT_FALSE(ahead_of(own.place).leader);
  answer_bell(first.bell.get());
  EXPECT_EQ(ahead_of(own.place).leader, first.place);
}

TEST_F(LineTest, AWaiterIsPassedOverAfterFiveSecondsWithoutAnAnswer) {
  const OwnPlace place = box_.join();
  box_.age_bell(place.place, std::chrono::hours(1));
  EXPECT_FALSE(line_.is_passed_over(place.place).value()) << "nobody has rung";
  line_.ring_bell(place.place);
  box_.age_bell(place.place, timing::kAnswer - std::chrono::seconds(1));
  EXPECT_FALSE(line_.is_passed_over(place.place).value());
  box_.age_bell(place.place, timing::kAnswer);
  EXPECT_TRUE(line_.is_passed_over(place.place).value());
}

TEST_F(LineTest, AWaiterThatWasRungBeforeTheClockWasSetBackHasFiveSecondsFromNow) {
  const OwnPlace place = box_.join();
  line_.ring_bell(place.place);
  box_.age_bell(place.place, -std::chrono::hours(1));
  EXPECT_FALSE(line_.is_passed_over(place.place).value());
  ::usleep(20000);  // more than the granularity of a file's time
  const BellState bell = *line_.bell_state(place.place).value();
  EXPECT_TRUE(bell.pending);
  EXPECT_GT(bell.age, std::chrono::milliseconds(0));
  EXPECT_LT(bell.age, timing::kAnswer);
}

TEST_F(LineTest, AWaiterInTheDriverIsPassedOverAfterThirtySeconds) {
  const OwnPlace place = box_.join();
  line_.ring_bell(place.place);
  {
    const InDriver mark(place.bell.get());
    box_.age_bell(place.place, timing::kAnswerInDriver - std::chrono::seconds(1));
    EXPECT_FALSE(line_.is_passed_over(place.place).value());
    box_.age_bell(place.place, timing::kAnswerInDriver);
    EXPECT_TRUE(line_.is_passed_over(place.place).value());
    box_.age_bell(place.place, timing::kAnswer);
  }
  EXPECT_TRUE(line_.is_passed_over(place.place).value());
}

TEST_F(LineTest, AWaiterThatCannotBeRungIsPassedOver) {
  const OwnPlace place = box_.join();
  ASSERT_EQ(::unlink(box_.queue_path(bell_name(place.place)).c_str()), 0);
  EXPECT_TRUE(line_.is_passed_over(place.place).value());
}

TEST_F(LineTest, ALackOfDescriptorsPassesNobodyOver) {
  const OwnPlace first = box_.join();
  const OwnPlace second = box_.join();
  const NoDescriptors none;
  EXPECT_FALSE(line_.is_passed_over(first.place));
  EXPECT_FALSE(line_.holder(first.place));
  EXPECT_FALSE(line_.ahead_of(second.place));
}

TEST_F(LineTest, EverybodyIsAheadOfANewcomer) {
  const OwnPlace first = box_.join();
  const OwnPlace second = box_.join();
  const OwnPlace elsewhere = box_.join(inside(7));
  const Ahead ahead = ahead_of(Place{});
  EXPECT_EQ(ahead.leader, first.place);
  EXPECT_EQ(ahead.predecessor, second.place);
  EXPECT_EQ(ahead.length, 2U);
}

TEST_F(LineTest, OnlyANewcomerMeetsTheDeadOfOtherLines) {
  const Place dead_inside = box_.dead_place(inside(7));
  const OwnPlace own = box_.join();
  EXPECT_EQ(ahead_of(Place{}).dead, Places{dead_inside});
  EXPECT_TRUE(ahead_of(own.place).dead.empty());
}

TEST_F(LineTest, TheLastTicketIsTheHighestInAnyNameThatWasGivenOut) {
  const OwnPlace own = box_.join();
  const Ticket orphan = own.place.ticket + 1000;
  write_text(box_.queue_path(bell_name({orphan, 0})), "");
  write_text(box_.queue_path(place_name({highest_plausible_ticket() * 2, 0})), "");
  EXPECT_EQ(ahead_of(own.place).last_ticket, orphan);
}

TEST_F(LineTest, TheEndOfThePredecessorWakes) {
  OwnPlace first = box_.join();
  const OwnPlace own = box_.join();
  const Ahead ahead = ahead_of(own.place);
  EXPECT_FALSE(wakes(ahead.predecessor_end.get(), 0, 0));
  first.held.reset();
  EXPECT_TRUE(wakes(ahead.predecessor_end.get(), 0, 0));
}

TEST_F(LineTest, ClearingRemovesEveryFileOfTheDeadAndNoneOfTheLiving) {
  const Place dead = box_.dead_place();
  write_text(box_.queue_path(new_record_name(dead)), "half of a rec");
  const OwnPlace living = box_.join();
  clear(ahead_of(Place{}));
  EXPECT_EQ(line_.all_places().value(), Places{living.place});
  EXPECT_EQ(files(), 3U);
}

TEST_F(LineTest, ClearingStepsOverWhatBelongsToOthers) {
  NEEDS_ROOT();
  box_.dead_place();
  ASSERT_EQ(::fchmod(box_.dir.queue(), 0777), 0);  // not even the sticky bit forbids it
  const MutexGuard guard = box_.lock();
  Child other([&](const Child::Self&) {
    become_nobody();
    line_.clear(guard, ahead_of(Place{}));
  });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(files(), 3U);
}

TEST_F(LineTest, ANewPlaceIsTheLastAndIsCounted) {
  const Ticket before = box_.counters().last_ticket;
  const OwnPlace own = box_.join();
  EXPECT_EQ(own.place.ticket, before + 1);
  EXPECT_EQ(box_.counters().last_ticket, own.place.ticket);
  EXPECT_EQ(line_.record(own.place, ::geteuid())->request.criteria.count, 1);
}

TEST_F(LineTest, ANewPlaceIsBehindEveryNameInTheLine) {
  const Ticket in_a_name = box_.counters().last_ticket + 1000;
  EXPECT_EQ(try_to_join(in_a_name)->place.ticket, in_a_name + 1);
}

TEST_F(LineTest, OnATakenNameTheNextTicketIsTried) {
  const Ticket taken = box_.counters().last_ticket + 1;
  write_text(box_.queue_path(bell_name({taken, 0})), "");
  const Result<OwnPlace> own = try_to_join();
  ASSERT_TRUE(own);
  EXPECT_EQ(own->place.ticket, taken + 1);
  EXPECT_FALSE(exists(box_.queue_path(place_name({taken, 0}))));
}

TEST_F(LineTest, WhereEveryNameIsTakenNobodyStandsInLine) {
  const Ticket last = box_.counters().last_ticket;
  constexpr Ticket kTaken = 70;
  for (Ticket i = 1; i <= kTaken; ++i) write_text(box_.queue_path(place_name({last + i, 0})), "");
  EXPECT_EQ(try_to_join().error().errnum, EEXIST);
  EXPECT_FALSE(exists(box_.queue_path(bell_name({last + 1, 0}))));
}

TEST_F(LineTest, APlaceWithoutRoomForItsRecordLeavesNothingBehind) {
  box_.lock();
  const FullFileSystem full(60);
  EXPECT_EQ(try_to_join().error().kind, ErrorKind::system);
  EXPECT_EQ(files(), 0U);
}

TEST_F(LineTest, InADirectoryThatIsBeingRemovedThereIsNoLineToJoin) {
  MutexGuard guard = box_.lock();
  ASSERT_EQ(::rmdir((box_.dir.path() + "/queue").c_str()), 0);
  const Result<OwnPlace> own = line_.join(guard, 0, record_);
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().kind, ErrorKind::replaced);
}

TEST_F(LineTest, ARewrittenRecordIsTheNewOne) {
  const OwnPlace own = box_.join();
  ASSERT_TRUE(line_.rewrite(own.place, record_));
  EXPECT_EQ(line_.record(own.place, ::geteuid())->request.criteria.count, 2);
  EXPECT_EQ(files(), 3U);
}

TEST_F(LineTest, WhoLeavesLeavesNothingBehind) {
  const OwnPlace own = box_.join();
  write_text(box_.queue_path(new_record_name(own.place)), "half of a rec");
  line_.leave(own.place);
  EXPECT_EQ(files(), 0U);
}

TEST_F(LineTest, LeavingTakesNobodyElseAlong) {
  const OwnPlace own = box_.join();
  const OwnPlace inner = box_.join(inside(own.place.ticket));
  line_.leave(own.place);
  EXPECT_EQ(line_.all_places().value(), Places{inner.place});
}

/// A line of whom the first was called and has not answered.
class RollCallTest : public LineTest {
 protected:
  RollCallTest() {
    line_.ring_bell(silent_.place);
    box_.age_bell(silent_.place, std::chrono::seconds(1));
    for (const OwnPlace* place : {&second_, &own_, &last_}) {
      box_.age_bell(place->place, std::chrono::minutes(1));
    }
  }
  void call() { line_.roll_call(silent_.place, own_.place); }
  const OwnPlace silent_ = box_.join();
  const OwnPlace second_ = box_.join();
  const OwnPlace own_ = box_.join();
  const OwnPlace last_ = box_.join();
};

TEST_F(RollCallTest, AsksAllOthersForASignOfLifeAndNotForALook) {
  call();
  EXPECT_FALSE(box_.is_rung(own_.place));
  for (const OwnPlace* place : {&second_, &last_}) {
    EXPECT_TRUE(box_.is_rung(place->place));
    EXPECT_EQ(answer_bell(place->bell.get()), Heard::question);
  }
}

TEST_F(RollCallTest, IsNotHeldWhereTheSilentOneHasAnswered) {
  answer_bell(silent_.bell.get());
  call();
  EXPECT_FALSE(box_.is_rung(last_.place));
}

TEST_F(RollCallTest, IsNotHeldForOneInTheDriver) {
  const InDriver mark(silent_.bell.get());
  call();
  EXPECT_FALSE(box_.is_rung(last_.place));
}

TEST_F(RollCallTest, IsHeldOnce) {
  call();
  for (const OwnPlace* place : {&second_, &last_}) answer_bell(place->bell.get());
  call();
  EXPECT_FALSE(box_.is_rung(second_.place));
  EXPECT_FALSE(box_.is_rung(last_.place));
}

TEST_F(RollCallTest, IsNotDecidedByOneWhoHasBeenSilentForLonger) {
  line_.ring_bell(second_.place);
  box_.age_bell(second_.place, std::chrono::seconds(3));
  call();
  EXPECT_TRUE(box_.is_rung(last_.place));
  EXPECT_GE(line_.bell_state(second_.place).value()->age, std::chrono::seconds(3));
}

TEST_F(RollCallTest, IsNotDecidedByOneWhoWasRungAtTheSameTime) {
  line_.ring_bell(second_.place);
  box_.age_bell(second_.place, std::chrono::seconds(1));
  answer_bell(second_.bell.get());
  call();
  EXPECT_TRUE(box_.is_rung(last_.place));
}

TEST_F(LineTest, ARingIsHeardByTheOneItIsFor) {
  const OwnPlace one = box_.join();
  const OwnPlace other = box_.join();
  line_.ring_bell(one.place);
  EXPECT_TRUE(wakes(one.bell.get(), POLLIN, 0));
  EXPECT_FALSE(wakes(other.bell.get(), POLLIN, 0));
}

}  // namespace
}  // namespace gpu_gate
