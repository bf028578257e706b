#include "gate/waiter.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include "gate/test_lock_dir.h"
#include "gate/test_look.h"
#include "gate/test_process.h"
#include "gate/test_wait.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using Devices = std::vector<std::string>;

class WaiterTest : public testing::Test {
 protected:
  WaiterTest() {
    options_.poll = std::chrono::hours(1);
    options_.timeout = milliseconds(kPatienceMs);  // a wake-up that is lost fails the test
  }

  Result<WaitEnd> try_to_wait() {
    return wait_for_gpus(box_.paths, source_, make_request_, options_, observer_);
  }
  /// The wait, which has to end so; as a failure and a value of its own if it ends otherwise.
  template <class End>
  End wait() {
    Result<WaitEnd> end = try_to_wait();
    if (!end) ADD_FAILURE() << end.error().text;
    if (end && std::holds_alternative<End>(*end)) return std::get<End>(std::move(*end));
    ADD_FAILURE() << "it ended otherwise";
    return End{};
  }
  /// The wait is to end with the first sleep.
  void look_only() {
    lifeline_.write_end.reset();
    options_.lifeline = {.fd = lifeline_.read_end.get(), .events = 0};
  }
  Devices live() const {
    Devices devices;
    for (const Claim& claim : box_.live_claims()) devices.push_back(claim.uuid);
    return devices;
  }
  std::size_t files_in_line() const { return TestLockDir::files_in(box_.dir.queue()); }
  Place own_place() const { return box_.line.all_places().value().back(); }

  TestLockDir box_;
  FakeSource source_;
  Recorder observer_;
  Pipe lifeline_;
  WaitOptions options_{.owner = this_process({"job"})};
  Request request_ = wish(1);
  MakeRequest make_request_ = [this](const Surroundings&) { return request_; };
};

TEST_F(WaiterTest, AnIdleMachineIsGrantedAtOnce) {
  const auto granted = wait<Granted>();
  ASSERT_EQ(granted.devices.size(), 1U);
  EXPECT_EQ(granted.devices[0].uuid, "GPU-0");
  EXPECT_EQ(granted.held.size(), 1U);
  EXPECT_FALSE(granted.waited);
  EXPECT_EQ(source_.reads, 1);
  EXPECT_TRUE(observer_.fits.empty());
  EXPECT_EQ(files_in_line(), 0U);
}

TEST_F(WaiterTest, WhatIsGrantedIsClaimedAsLongAsItIsHeld) {
  auto granted = wait<Granted>();
  EXPECT_EQ(live(), Devices{"GPU-0"});
  const auto record = box_.claims.record(box_.live_claims().at(0));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->owner.command, "job");
  EXPECT_EQ(box_.live_claims().at(0).ticket, granted.claim);
  granted.held.clear();
  EXPECT_TRUE(live().empty());
}

TEST_F(WaiterTest, SeveralDevicesAreOneClaim) {
  source_.machine = idle_machine(3);
  request_ = wish(2);
  const auto granted = wait<Granted>();
  EXPECT_EQ(granted.devices.size(), 2U);
  EXPECT_EQ(live(), (Devices{"GPU-0", "GPU-1"}));
}

TEST_F(WaiterTest, LinksAreAskedForOnlyWhereTheyMatter) {
  source_.machine = idle_machine(1);
  wait<Granted>();
  source_.machine = idle_machine(3);
  request_ = wish(3);
  wait<Granted>();
  EXPECT_EQ(source_.link_reads, 0);
  request_ = wish(2);
  wait<Granted>();
  EXPECT_EQ(source_.link_reads, 1);
}

TEST_F(WaiterTest, OfEqualDevicesThoseAreGrantedThatAreLinkedBest) {
  source_.machine = idle_machine(4);
  source_.known_links = Links(4);
  source_.known_links.set_score(1, 3, 100);
  request_ = wish(2);
  const auto granted = wait<Granted>();
  EXPECT_EQ(live(), (Devices{"GPU-1", "GPU-3"}));
  request_ = wish(1);
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-0");
}

TEST_F(WaiterTest, LinksAreAskedForWithoutTheMutex) {
  source_.machine = idle_machine(2);
  source_.on_links = [&] {
    const auto guard =
        box_.mutex.lock(Clock::now() + milliseconds(kPatienceMs), sigset_t{}, nullptr);
    EXPECT_TRUE(guard && *guard);
  };
  wait<Granted>();
  EXPECT_EQ(source_.link_reads, 1);
}

TEST_F(WaiterTest, WhoOnlyWaitsClaimsNothing) {
  options_.keep_devices = false;
  const auto granted = wait<Granted>();
  EXPECT_EQ(granted.devices.size(), 1U);
  EXPECT_EQ(granted.claim, 0U);
  EXPECT_TRUE(granted.held.empty());
  EXPECT_TRUE(live().empty());
}

TEST_F(WaiterTest, OneTryEndsWithoutStandingInLine) {
  const NewClaim claim = box_.claim({"GPU-0"});
  options_.timeout = milliseconds(0);
  observer_.on_looked = [&] { EXPECT_EQ(files_in_line(), 0U); };
  wait<TimedOut>();
  EXPECT_EQ(observer_.fits, (std::vector<std::vector<Fit>>{{Fit::claimed}}));
}

TEST_F(WaiterTest, OneTryIsEnoughForWhatIsFree) {
  options_.timeout = milliseconds(0);
  EXPECT_EQ(wait<Granted>().devices.size(), 1U);
}

TEST_F(WaiterTest, OneTryDoesNotOvertake) {
  const OwnPlace first = box_.join(wish(1));
  options_.timeout = milliseconds(0);
  wait<TimedOut>();
  EXPECT_TRUE(box_.is_rung(first.place));
}

TEST_F(WaiterTest, ATimeOutEndsTheWaitAndLeavesTheLine) {
  const NewClaim claim = box_.claim({"GPU-0"});
  options_.timeout = milliseconds(20);
  observer_.on_looked = [&] { EXPECT_EQ(files_in_line(), 3U); };
  const Clock::time_point began = Clock::now();
  wait<TimedOut>();
  EXPECT_GE(Clock::now() - began, milliseconds(20));
  EXPECT_EQ(files_in_line(), 0U);
}

TEST_F(WaiterTest, ATimeOutOfCenturiesIsNone) {
  options_.timeout = std::chrono::nanoseconds::max();
  EXPECT_EQ(wait<Granted>().devices.size(), 1U);
}

TEST_F(WaiterTest, ARequestThatCannotBeMadeEndsTheWaitWithItsError) {
  make_request_ = [](const Surroundings&) {
    return Result<Request>(fail(ErrorKind::impossible, "never"));
  };
  const Result<WaitEnd> end = try_to_wait();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().kind, ErrorKind::impossible);
  EXPECT_EQ(end.error().text, "never");
}

TEST_F(WaiterTest, AMachineThatCannotBeReadEndsTheWaitWithItsError) {
  source_.error = Error{.kind = ErrorKind::gpu_state, .text = "no driver"};
  EXPECT_EQ(try_to_wait().error().text, "no driver");
}

TEST_F(WaiterTest, ADirectoryThatCannotBeUsedIsExplained) {
  ASSERT_EQ(::mkfifo((box_.dir.path() + "/mutex").c_str(), 0666), 0);
  const Error error = try_to_wait().error();
  EXPECT_EQ(error.kind, ErrorKind::lock_dir);
  EXPECT_NE(error.text.find(box_.dir.path()), std::string::npos);
}

TEST_F(WaiterTest, TheEndOfAClaimGrantsTheDevice) {
  NewClaim claim = box_.claim({"GPU-0"});
  observer_.on_looked = [&] { claim.held.clear(); };
  const auto granted = wait<Granted>();
  EXPECT_TRUE(granted.waited);
  EXPECT_GT(granted.claim, claim.ticket);
  EXPECT_EQ(source_.reads, 2);
}

TEST_F(WaiterTest, ASecondWaiterGetsTheDeviceWhenTheFirstLetsGo) {
  auto first = wait<Granted>();
  const Child second([&](const Child::Self& self) {
    first.held.clear();
    observer_.on_looked = [&] { self.tell(1); };
    const auto granted = wait<Granted>();
    self.tell(granted.waited ? granted.claim : 0);
  });
  ASSERT_EQ(second.hear(), 1U);
  EXPECT_FALSE(second.has_told());
  first.held.clear();
  EXPECT_GT(second.hear(), first.claim);
}

TEST_F(WaiterTest, TheEndOfAProcessOnTheDeviceMeansALook) {
  Idler job;
  source_.machine.devices[0].processes = {compute_process(job.pid())};
  observer_.on_looked = [&] {
    source_.machine = idle_machine(1);
    job.signal(SIGKILL);
  };
  EXPECT_TRUE(wait<Granted>().waited);
}

TEST_F(WaiterTest, WhatFreesItselfIsNoticedByThePoll) {
  source_.machine.devices = {occupied_card(0)};
  options_.poll = milliseconds(1);
  observer_.on_looked = [&] {
    if (source_.reads == 3) source_.machine = idle_machine(1);
  };
  wait<Granted>();
  EXPECT_EQ(source_.reads, 4);
}

TEST_F(WaiterTest, ARingIsAnsweredAndThenMeansALook) {
  source_.machine.devices = {occupied_card(0)};
  source_.on_read = [&] {
    if (source_.reads == 2) {
      EXPECT_FALSE(box_.is_rung(own_place()));
    }
  };
  observer_.on_looked = [&] {
    source_.machine = idle_machine(1);
    box_.line.ring_bell(own_place());
  };
  wait<Granted>();
  EXPECT_EQ(source_.reads, 2);
}

TEST_F(WaiterTest, OthersSeeWhenItIsInTheDriver) {
  NewClaim claim = box_.claim({"GPU-0"});
  const auto in_driver = [&] {
    const std::vector<Place> places = box_.line.all_places().value();
    return !places.empty() && box_.line.bell_state(places.back()).value()->in_driver;
  };
  std::vector<bool> while_reading;
  source_.on_read = [&] { while_reading.push_back(in_driver()); };
  observer_.on_looked = [&] {
    EXPECT_FALSE(in_driver());
    claim.held.clear();
  };
  wait<Granted>();
  EXPECT_EQ(while_reading, (std::vector{false, true})) << "it has no bell at first";
}

TEST_F(WaiterTest, NobodyOvertakesTheFirstInLine) {
  const NewClaim claim = box_.claim({"GPU-1"});
  source_.machine = idle_machine(2);
  const OwnPlace first = box_.join(wish(2));
  look_only();
  wait<Abandoned>();
  EXPECT_EQ(observer_.fits.at(0), (std::vector{Fit::reserved, Fit::claimed}));
  EXPECT_EQ(observer_.positions.at(0), 2U);
}

TEST_F(WaiterTest, WhoseTurnItIsIsRungByWhoFindsOut) {
  const OwnPlace first = box_.join();
  look_only();
  wait<Abandoned>();
  EXPECT_TRUE(box_.is_rung(first.place));
}

TEST_F(WaiterTest, TheNextIsServedWhenTheFirstLeavesTheLine) {
  OwnPlace first = box_.join();
  observer_.on_looked = [&] { first.held.reset(); };
  EXPECT_TRUE(wait<Granted>().waited);
}

TEST_F(WaiterTest, WhoDoesNotAnswerIsPassedOver) {
  const OwnPlace stopped = box_.join();
  box_.ring_in_vain(stopped.place);
  EXPECT_FALSE(wait<Granted>().waited);
}

TEST_F(WaiterTest, WhatTheFirstCannotUseIsNotKeptForIt) {
  source_.machine = idle_machine(2);
  const OwnPlace first = box_.join(wish_without({"GPU-1"}));
  const auto granted = wait<Granted>();
  EXPECT_EQ(granted.devices.at(0).uuid, "GPU-1");
}

TEST_F(WaiterTest, WhoTakesADeviceFromBehindRingsTheLeader) {
  source_.machine = idle_machine(2);
  source_.machine.devices[0] = occupied_card(0);
  const OwnPlace first = box_.join(wish_without({"GPU-1"}));
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-1");
  EXPECT_TRUE(box_.is_rung(first.place));
}

TEST_F(WaiterTest, OnlyALeaderKeepsTheDriverOpen) {
  const NewClaim claim = box_.claim({"GPU-0"});
  look_only();
  wait<Abandoned>();
  EXPECT_EQ(source_.closed, 0);
  const OwnPlace first = box_.join();
  wait<Abandoned>();
  EXPECT_EQ(source_.closed, 1);
}

TEST_F(WaiterTest, AGrantOnAMachineThatWasReadBeforeTheLastClaimIsNotMade) {
  source_.on_read = [&] {
    if (source_.reads == 1) box_.claim({"GPU-0"});  // made and let go of during the read
  };
  EXPECT_FALSE(wait<Granted>().waited);
  EXPECT_EQ(source_.reads, 2);
}

TEST_F(WaiterTest, WhereOneDeviceWasClaimedAndLetGoDuringTheReadAnotherIsGrantedByIt) {
  source_.machine = idle_machine(2);
  source_.on_read = [&] { box_.claim({"GPU-0"}); };
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-1");
  EXPECT_EQ(source_.reads, 1);
}

TEST_F(WaiterTest, AClaimOnAnotherDeviceDoesNotMakeAReadingUseless) {
  source_.machine = idle_machine(2);
  NewClaim claim;
  source_.on_read = [&] { claim = box_.claim({"GPU-0"}); };
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-1");
  EXPECT_EQ(source_.reads, 1);
}

TEST_F(WaiterTest, AShareThatIsNotedAndNotCountedYetLeavesTheRestOfItsDevice) {
  source_.machine = idle_machine(2);
  request_.criteria.share_mib = 100;
  const std::string mutex = box_.dir.path() + "/mutex";
  const NewClaim earlier = box_.claim({"GPU-1"});
  const std::string before = read_text(mutex);
  const NewClaim share =
      box_.claim_record({.owner = this_process({}), .devices = {"GPU-0"}, .share_mib = 100});
  const std::string after = read_text(mutex);
  const std::size_t count = before.find('\n') + 1;
  write_text(mutex, before.substr(0, count) + after.substr(count));
  source_.on_read = [&] { write_text(mutex, after); };
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-0");
  EXPECT_EQ(source_.reads, 1);
}

TEST_F(WaiterTest, WhoIsServedAsTheFirstTellsThoseBehindForWhomSomethingIsLeft) {
  const NewClaim claim = box_.claim({"GPU-1"});
  source_.machine.devices = {occupied_card(0), card(1)};
  std::vector<OwnPlace> behind;
  observer_.on_looked = [&] {
    if (!behind.empty()) return;
    for (int i = 0; i < 3; ++i) behind.push_back(box_.join());
    for (const OwnPlace& place : behind) answer_bell(place.bell.get());
    source_.machine = idle_machine(3);
    source_.machine.devices.erase(source_.machine.devices.begin() + 1);  // two cards, unclaimed
    box_.line.ring_bell(box_.line.all_places().value().front());
  };
  wait<Granted>();
  EXPECT_TRUE(box_.is_rung(behind.at(0).place));
  EXPECT_FALSE(box_.is_rung(behind.at(1).place));
}

TEST_F(WaiterTest, AClaimThatEndsDuringTheReadMeansAnotherRead) {
  NewClaim claim = box_.claim({"GPU-0"});
  source_.on_read = [&] { claim.held.clear(); };
  options_.timeout = milliseconds(0);
  EXPECT_EQ(wait<Granted>().devices.size(), 1U);
  EXPECT_EQ(source_.reads, 2);
}

TEST_F(WaiterTest, AReleaseDuringTheReadBeginsTheLooksAfterARelease) {
  NewClaim claim = box_.claim({"GPU-0"});
  source_.machine.devices = {occupied_card(0)};
  source_.on_read = [&] {
    claim.held.clear();
    if (source_.reads == 4) source_.machine = idle_machine(1);
  };
  EXPECT_TRUE(wait<Granted>().waited);
}

TEST_F(WaiterTest, ADeviceThatIsClaimedDuringTheReadIsNotGranted) {
  NewClaim claim;
  source_.on_read = [&] {
    if (source_.reads == 1) claim = box_.claim({"GPU-0"});
  };
  options_.timeout = milliseconds(0);
  wait<TimedOut>();
}

TEST_F(WaiterTest, TheEndOfTheLifelineEndsTheWait) {
  const NewClaim claim = box_.claim({"GPU-0"});
  options_.lifeline = {.fd = lifeline_.read_end.get(), .events = 0};
  observer_.on_looked = [&] { lifeline_.write_end.reset(); };
  wait<Abandoned>();
  EXPECT_EQ(files_in_line(), 0U);
}

TEST_F(WaiterTest, AnEndingSignalEndsTheWaitInOrder) {
  const NewClaim claim = box_.claim({"GPU-0"});
  observer_.on_looked = [] { ::raise(SIGTERM); };
  EXPECT_EQ(wait<Signalled>().signal, SIGTERM);
  EXPECT_EQ(files_in_line(), 0U);
  sigset_t mask{};
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(::sigismember(&mask, SIGTERM), 0);
}

TEST_F(WaiterTest, ASignalThatIsIgnoredDoesNotEndTheWait) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  NewClaim claim = box_.claim({"GPU-0"});
  observer_.on_looked = [&] {
    ::raise(SIGHUP);
    claim.held.clear();
  };
  EXPECT_TRUE(wait<Granted>().waited);
  std::signal(SIGHUP, before);
}

TEST_F(WaiterTest, ASignalEndsTheProcessWhileTheDriverIsRead) {
  source_.on_read = [] {
    sigset_t mask{};
    ::sigprocmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(::sigismember(&mask, SIGTERM), 0);
  };
  EXPECT_EQ(wait<Granted>().devices.size(), 1U);
  EXPECT_EQ(source_.reads, 1);
}

TEST_F(WaiterTest, ADirectoryThatWasReplacedIsOpenedAnew) {
  NewClaim claim = box_.claim({"GPU-0"});
  observer_.on_looked = [&] {
    ASSERT_EQ(::rename(box_.dir.path().c_str(), (box_.folder / "away").c_str()), 0);
    claim.held.clear();
  };
  const auto granted = wait<Granted>();
  EXPECT_TRUE(granted.waited);
  const LockDir now = LockDir::open_existing(box_.paths).value();
  EXPECT_EQ(Claims(now).scan().value().live.at(0).ticket, granted.claim);
}

TEST_F(WaiterTest, ADirectoryThatIsRemovedAgainAndAgainIsAnError) {
  source_.on_read = [&] { std::filesystem::remove_all(box_.dir.path()); };
  const Error error = try_to_wait().error();
  EXPECT_EQ(error.kind, ErrorKind::lock_dir);
  EXPECT_NE(error.text.find("somebody keeps removing it"), std::string::npos);
}

TEST_F(WaiterTest, WhoComesClearsTheDeadAway) {
  box_.dead_place();
  box_.claim({"GPU-0"});
  const auto granted = wait<Granted>();
  EXPECT_EQ(files_in_line(), 0U);
  EXPECT_EQ(TestLockDir::files_in(box_.dir.claims()), 2U);
}

TEST_F(WaiterTest, AChangedRequestIsTold) {
  source_.machine.devices = {occupied_card(0)};
  options_.poll = milliseconds(1);
  options_.lifeline = {.fd = lifeline_.read_end.get(), .events = 0};
  request_ = wish_without({"GPU-7"});
  std::vector<Devices> told;
  observer_.on_looked = [&] {
    told.push_back(box_.line.record(own_place(), ::geteuid())->request.barred);
    request_ = wish_without({"GPU-8"});
    if (told.size() == 2) lifeline_.write_end.reset();
  };
  wait<Abandoned>();
  EXPECT_EQ(told, (std::vector<Devices>{{"GPU-7"}, {"GPU-8"}}));
}

TEST_F(WaiterTest, AFollowerThatChangesItsRequestRingsTheLeader) {
  const OwnPlace leader = box_.join();
  source_.machine.devices = {occupied_card(0)};
  options_.lifeline = {.fd = lifeline_.read_end.get(), .events = 0};
  observer_.on_looked = [&] {
    if (source_.reads == 2) {
      EXPECT_TRUE(box_.is_rung(leader.place));
      lifeline_.write_end.reset();
    }
    answer_bell(leader.bell.get());
    request_ = wish_without({"GPU-8"});
    box_.line.ring_bell(own_place());
  };
  wait<Abandoned>();
  EXPECT_EQ(source_.reads, 2);
}

TEST_F(WaiterTest, RingsTheLeaderWhenTheOneBeforeItLeaves) {
  const OwnPlace leader = box_.join(wish(2));
  OwnPlace predecessor = box_.join();
  source_.machine.devices = {occupied_card(0)};
  options_.lifeline = {.fd = leader.bell.get(), .events = POLLIN};
  options_.timeout = timing::kRungJustNow;  // later the leader is rung in any case
  observer_.on_looked = [&] {
    answer_bell(leader.bell.get());
    predecessor.held.reset();
  };
  wait<Abandoned>();
}

TEST_F(WaiterTest, ADriverThatGoesAwayWhileItWaitsEndsNoWait) {
  const NewClaim claim = box_.claim({"GPU-0"});
  options_.poll = milliseconds(1);
  observer_.on_looked = [&] {
    EXPECT_EQ(own_place().within, 0U);
    if (source_.reads == 1) source_.error = Error{.kind = ErrorKind::gpu_state, .text = "gone"};
    if (source_.reads == 3) ::raise(SIGTERM);
  };
  wait<Signalled>();
  EXPECT_EQ(observer_.failures, std::vector<std::string>{"gone"});
  EXPECT_EQ(observer_.fits.back(), std::vector<Fit>{Fit::unhealthy});
}

TEST_F(WaiterTest, ADriverThatReturnsIsGoneOnWith) {
  NewClaim claim = box_.claim({"GPU-0"});
  options_.poll = milliseconds(1);
  observer_.on_looked = [&] {
    if (source_.reads == 1) source_.error = Error{.kind = ErrorKind::gpu_state, .text = "gone"};
    if (source_.reads == 2) claim.held.clear();
    if (source_.reads == 3) source_.error.reset();
  };
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-0");
  EXPECT_EQ(observer_.returns, 1);
}

TEST_F(WaiterTest, ADirectoryReplacedWhileTheDriverIsAwayIsStoodInAnew) {
  NewClaim claim = box_.claim({"GPU-0"});
  options_.poll = milliseconds(1);
  observer_.on_looked = [&] {
    if (source_.reads == 1) source_.error = Error{.kind = ErrorKind::gpu_state, .text = "gone"};
    if (source_.reads == 2) std::filesystem::remove_all(box_.dir.path());
    if (source_.reads == 4) source_.error.reset();
  };
  EXPECT_TRUE(wait<Granted>().waited);
}

TEST_F(WaiterTest, TicksWhileItWaits) {
  const NewClaim claim = box_.claim({"GPU-0"});
  options_.lifeline = {.fd = lifeline_.read_end.get(), .events = 0};
  observer_.ticks_every = milliseconds(1);
  int ticks = 0;
  observer_.on_tick = [&] {
    if (++ticks == 3) lifeline_.write_end.reset();
  };
  wait<Abandoned>();
  EXPECT_EQ(ticks, 3);
}

/// What a job does that holds GPU-0 and GPU-1 of three cards and asks again.
class NestedWaiterTest : public WaiterTest {
 protected:
  NestedWaiterTest() {
    source_.machine = idle_machine(3);
    options_.within = outer_.ticket;
    make_request_ = [this](const Surroundings& around) {
      given_ = around.claim != nullptr ? std::optional(around.claim->devices) : std::nullopt;
      return wish_without({"GPU-2"});
    };
  }
  NewClaim outer_ = box_.claim({"GPU-0", "GPU-1"});
  std::optional<Devices> given_;
};

TEST_F(NestedWaiterTest, ChoosesAmongTheDevicesOfItsClaim) {
  const auto granted = wait<Granted>();
  EXPECT_EQ(given_, (Devices{"GPU-0", "GPU-1"}));
  EXPECT_EQ(granted.devices.at(0).uuid, "GPU-0");
  EXPECT_GT(granted.claim, outer_.ticket);
  EXPECT_FALSE(granted.waited);
}

TEST_F(NestedWaiterTest, WaitsForWhatOtherPartsOfTheJobHold) {
  NewClaim sibling = box_.claim({"GPU-0", "GPU-1"});
  observer_.on_looked = [&] {
    EXPECT_EQ(own_place().within, outer_.ticket);
    sibling.held[1].reset();
  };
  EXPECT_EQ(wait<Granted>().devices.at(0).uuid, "GPU-1");
}

TEST_F(NestedWaiterTest, DoesNotStandBehindThoseOutside) {
  const OwnPlace outside = box_.join();
  EXPECT_FALSE(wait<Granted>().waited);
}

TEST_F(NestedWaiterTest, IsAJobLikeAnyOtherOnceItsClaimHasEnded) {
  outer_.held.clear();
  EXPECT_EQ(wait<Granted>().devices.size(), 1U);
  EXPECT_FALSE(given_);
}

TEST_F(NestedWaiterTest, IsAJobLikeAnyOtherWhenItsClaimEndsWhileItWaits) {
  const NewClaim sibling = box_.claim({"GPU-0", "GPU-1"});
  observer_.on_looked = [&] {
    outer_.held.clear();
    if (source_.reads == 1) return;
    EXPECT_EQ(own_place().within, 0U);
    ::raise(SIGTERM);
  };
  wait<Signalled>();
  EXPECT_FALSE(given_);
}

}  // namespace
}  // namespace gpu_gate
