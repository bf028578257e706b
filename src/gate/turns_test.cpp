#include "gate/turns.h"

#include <gtest/gtest.h>

#include <list>

#include "gate/test_lock_dir.h"

namespace gpu_gate {
namespace {

using Tickets = std::vector<Ticket>;

constexpr uid_t kAlice = 1001;
constexpr uid_t kBob = 1002;

class TurnsTest : public testing::Test {
 protected:
  Ticket join(uid_t user, const Request& request = wish(1)) {
    OwnPlace& place = places_.emplace_back(box_.join(request));
    box_.give_to(place.place, user);
    return place.place.ticket;
  }
  void leave(Ticket ticket) {
    places_.remove_if([&](const OwnPlace& own) { return own.place.ticket == ticket; });
  }
  Tickets order(const Holdings& held = {}, const Oneself* oneself = nullptr) {
    EXPECT_TRUE(roster_.read(box_.line, {}, 0));
    Turns turns(box_.line, roster_, {}, {.order = LineOrder::turns, .held = held}, oneself,
                records_);
    Tickets tickets;
    while (const std::optional<Turn> turn = turns.next().value()) {
      EXPECT_EQ(turn->oneself, turn->record == nullptr);
      tickets.push_back(turn->place.ticket);
    }
    return tickets;
  }
  Tickets known() const {
    Tickets tickets;
    for (const Queued& queued : roster_.places()) tickets.push_back(queued.ticket);
    return tickets;
  }
  Standing standing(Ticket ticket, uid_t user, const Holdings& held = {}) {
    EXPECT_TRUE(roster_.read(box_.line, {}, 0));
    return standing_of({.ticket = ticket, .uid = user, .criteria = {}}, box_.line, roster_, {},
                       {.order = LineOrder::turns, .held = held})
        .value();
  }
  TestLockDir box_;
  std::list<OwnPlace> places_;
  Roster roster_;
  WaiterRecords records_;
};

TEST_F(TurnsTest, WhoCameBeforeAReadingIsKnownOnce) {
  join(kBob);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  join(kAlice);
  ASSERT_TRUE(roster_.read(box_.line, {}, 0));
  join(kBob);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  EXPECT_EQ(known().size(), 3U);
}

TEST_F(TurnsTest, CatchesUpWithThoseThatHaveComeSince) {
  const Ticket first = join(kBob);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  const Ticket second = join(kAlice);
  box_.claim({"GPU-1"});  // takes a ticket as well
  const Ticket third = join(kBob);
  EXPECT_FALSE(roster_.contains(second));
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  EXPECT_EQ(known(), (Tickets{first, second, third}));
}

TEST_F(TurnsTest, CatchesUpWithThoseThatCameWhileItWasRead) {
  const Ticket first = join(kBob);
  const Ticket coming = join(kBob);
  const std::string name = box_.queue_path(place_name({.ticket = coming, .within = 0}));
  ASSERT_EQ(::rename(name.c_str(), (name + ".hidden").c_str()), 0);  // counted, and not yet there
  ASSERT_TRUE(roster_.read(box_.line, {}, coming));
  EXPECT_TRUE(roster_.is_complete());
  EXPECT_EQ(known(), Tickets{first});
  ASSERT_EQ(::rename((name + ".hidden").c_str(), name.c_str()), 0);
  const Ticket last = join(kAlice);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  EXPECT_EQ(known(), (Tickets{first, coming, last}));
}

TEST_F(TurnsTest, NobodyIsKnownTwice) {
  const Ticket first = join(kBob);
  const Ticket counted = join(kBob);
  const Ticket last = join(kAlice);
  ASSERT_TRUE(roster_.read(box_.line, {}, counted));
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  EXPECT_EQ(known(), (Tickets{first, counted, last}));
}

TEST_F(TurnsTest, CatchesUpAlsoWhereMuchHasHappened) {
  join(kBob);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  {
    MutexGuard guard = box_.lock();
    Counters counters = guard.counters();
    counters.last_ticket += 100000;
    ASSERT_TRUE(guard.write(counters));
  }
  const Ticket last = join(kAlice);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  EXPECT_TRUE(roster_.contains(last));
}

TEST_F(TurnsTest, CatchesUpAlsoWhereSomebodyHasSetTheCountersBack) {
  const Ticket first = join(kBob);
  const Ticket second = join(kBob);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  leave(first);
  {
    MutexGuard guard = box_.lock();
    ASSERT_TRUE(guard.write({.last_ticket = first, .grants = 0}));
  }
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
    EXPECT_TRUE(roster_.contains(second));
  }
}

TEST_F(TurnsTest, OneThatHasLeftIsDroppedWhenItIsMet) {
  const Ticket first = join(kBob);
  const Ticket second = join(kBob);
  EXPECT_EQ(order(), (Tickets{first, second}));
  leave(first);
  ASSERT_TRUE(roster_.catch_up(box_.lock(), box_.line, {}));
  EXPECT_TRUE(roster_.contains(first));
  Turns turns(box_.line, roster_, {}, {}, nullptr, records_);
  EXPECT_EQ(turns.next().value()->place.ticket, second);
  EXPECT_FALSE(roster_.contains(first));
}

TEST_F(TurnsTest, OneselfIsThereAlsoBeforeTheRosterKnows) {
  ASSERT_TRUE(roster_.read(box_.line, {}, 0));
  const Ticket own = join(kBob);
  const Oneself me{.ticket = own, .uid = kBob, .criteria = {}};
  Turns turns(box_.line, roster_, {}, {}, &me, records_);
  EXPECT_TRUE(turns.next().value()->oneself);
}

TEST_F(TurnsTest, GoesByTheOwnersOfThePlaces) {
  const Ticket first = join(kBob);
  const Ticket second = join(kBob);
  const Ticket third = join(kAlice);
  EXPECT_EQ(order(), (Tickets{first, third, second}));
  EXPECT_EQ(order({{kBob, kWholeGpu}}), (Tickets{third, first, second}));
}

TEST_F(TurnsTest, ThoseThatHaveLeftAreStepped) {
  const Ticket first = join(kBob);
  const Ticket second = join(kBob);
  leave(first);
  EXPECT_EQ(order(), Tickets{second});
}

TEST_F(TurnsTest, ARecordThatItsOwnerDidNotWriteIsNone) {
  const Ticket first = join(kBob);
  const std::string record = box_.queue_path(record_name({.ticket = first, .within = 0}));
  ASSERT_EQ(::chown(record.c_str(), kAlice, gid_t(-1)), 0);
  EXPECT_EQ(order(), Tickets{});
}

TEST_F(TurnsTest, ANewcomerIsLastAmongItsEquals) {
  const Ticket first = join(kBob);
  const Oneself me{.ticket = kNewcomer, .uid = kAlice, .criteria = {}};
  EXPECT_EQ(order({}, &me), (Tickets{first, kNewcomer}));
  EXPECT_EQ(order({{kBob, kWholeGpu}}, &me), (Tickets{kNewcomer, first}));
}

TEST_F(TurnsTest, OneselfIsNotReadButKnown) {
  const Ticket first = join(kBob);
  const Ticket own = join(kBob, wish(3));
  Oneself me{.ticket = own, .uid = kBob, .criteria = {}};
  me.criteria.nice = true;
  const Ticket last = join(kBob);
  EXPECT_EQ(order({}, &me), (Tickets{first, last, own}));
}

TEST_F(TurnsTest, ARecordIsReadOnce) {
  const Ticket first = join(kBob);
  order();
  write_text(box_.queue_path(record_name({.ticket = first, .within = 0})), "{");
  EXPECT_EQ(order(), Tickets{first});
  records_.clear();
  EXPECT_EQ(order(), Tickets{});
}

TEST_F(TurnsTest, TheLastTurnOfAUserIsRemembered) {
  const Ticket bobs = join(kBob);
  const Ticket alices = join(kAlice);
  {
    MutexGuard guard = box_.lock();
    guard.note_turn(kBob, alices + 1);
  }
  EXPECT_EQ(order(), (Tickets{alices, bobs}));
}

TEST_F(TurnsTest, APlantedLastTurnThatWasNeverGivenOutIsNone) {
  const Ticket bobs = join(kBob);
  const Ticket alices = join(kAlice);
  {
    MutexGuard guard = box_.lock();
    guard.note_turn(kBob, highest_plausible_ticket() + 1000000000);
  }
  EXPECT_EQ(order(), (Tickets{bobs, alices}));
}

TEST_F(TurnsTest, TellsWhereOneStandsAndWhoCameForward) {
  join(kBob);
  const Ticket own = join(kBob);
  join(kAlice);
  EXPECT_EQ(standing(own, kBob),
            (Standing{.position = 3, .overtaking = {kAlice}, .hold_less = false}));
  EXPECT_EQ(standing(own, kBob, {{kBob, kWholeGpu}}),
            (Standing{.position = 3, .overtaking = {kAlice}, .hold_less = true}));
  EXPECT_EQ(standing(own, kBob, {{kAlice, 9 * kWholeGpu}}),
            (Standing{.position = 2, .overtaking = {}, .hold_less = true}));
}

TEST_F(TurnsTest, FarBackThePositionIsCountedWithoutReadingRecords) {
  for (int i = 0; i < 70; ++i) join(kBob);
  const Ticket own = join(kBob);
  for (const OwnPlace& place : places_) {
    if (place.place.ticket > own - 5) write_text(box_.queue_path(record_name(place.place)), "{");
  }
  EXPECT_EQ(standing(own, kBob).position, 71U);
}

}  // namespace
}  // namespace gpu_gate
