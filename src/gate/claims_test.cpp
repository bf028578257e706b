#include "gate/claims.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "gate/test_lock_dir.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

using Devices = std::vector<std::string>;

class ClaimsTest : public testing::Test {
 protected:
  ClaimScan scan() const { return box_.claims.scan().value(); }
  Devices live() const {
    Devices devices;
    for (const Claim& claim : box_.live_claims()) devices.push_back(claim.uuid);
    return devices;
  }
  void remove(const std::string& name) const {
    EXPECT_EQ(::unlinkat(box_.dir.claims(), name.c_str(), 0), 0) << name;
  }
  void clear() {
    MutexGuard guard = box_.lock();
    box_.claims.clear(guard, scan());
  }
  Result<NewClaim> make(const Devices& devices) {
    MutexGuard guard = box_.lock();
    return box_.claims.make(guard, scan(), {.owner = this_process({}), .devices = devices});
  }
  /// A claim of that owner on GPU-1 whose FIFO somebody has removed.
  NewClaim claim_without_fifo(const Owner& owner) {
    NewClaim claim = box_.claim({"GPU-1"}, owner);
    remove(claim_name({.uuid = "GPU-1", .ticket = claim.ticket}));
    return claim;
  }
  /// A claim of a job on GPU-1 and GPU-2.
  NewClaim claim_of(const Child& job) {
    return box_.claim_record({.owner = other_process(job.pid()).value(),
                              .devices = {"GPU-1", "GPU-2"},
                              .with_process = true});
  }
  /// The same, of one that has closed its descriptors.
  NewClaim closed_claim_of(const Child& job) {
    NewClaim claim = claim_of(job);
    claim.held.clear();
    return claim;
  }
  /// Makes its record one of the next version.
  void make_newer(Ticket ticket) const {
    const std::string path = box_.claims_path(claim_record_name(ticket));
    std::string text = read_small_file(path, kMaxRecordBytes).value();
    text.replace(text.find("\"version\":1"), 11, "\"version\":2");
    write_text(path, text);
  }
  std::size_t files() const { return TestLockDir::files_in(box_.dir.claims()); }
  TestLockDir box_;
};

TEST_F(ClaimsTest, ADeviceIsHeldAsLongAsADescriptorIsOpen) {
  NewClaim claim = box_.claim({"GPU-1"});
  EXPECT_EQ(live(), Devices{"GPU-1"});
  claim.held.clear();
  EXPECT_TRUE(live().empty());
}

TEST_F(ClaimsTest, ADeadClaimKeepsNoDevice) {
  const Ticket ticket = box_.claim({"GPU-1"}).ticket;
  const ClaimScan found = scan();
  EXPECT_TRUE(found.live.empty());
  EXPECT_EQ(found.dead_fifos, (std::vector{ClaimName{"GPU-1", ticket}}));
}

TEST_F(ClaimsTest, AFifoWithoutAWriterIsAskedAgainOnlyWhereItMayStillBeInTheMaking) {
  const Ticket made = box_.claim({"GPU-1"}).ticket;
  const Ticket in_the_making = box_.claim({"GPU-2"}).ticket;
  remove(claim_record_name(in_the_making));
  EXPECT_TRUE(live().empty());
  std::vector<UniqueFd> writers;
  for (const ClaimName& fifo : {ClaimName{"GPU-1", made}, ClaimName{"GPU-2", in_the_making}}) {
    writers.emplace_back(
        ::openat(box_.dir.claims(), claim_name(fifo).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  }
  EXPECT_EQ(live(), Devices{"GPU-2"});
}

TEST_F(ClaimsTest, AJobThatInheritedItKeepsIt) {
  NewClaim claim = box_.claim({"GPU-1"});
  Idler job;
  claim.held.clear();
  EXPECT_EQ(live(), Devices{"GPU-1"});
  job.end();
  EXPECT_TRUE(live().empty());
}

TEST_F(ClaimsTest, BelongsToWhoMadeIt) {
  const NewClaim claim = box_.claim({"GPU-1"});
  const Claim found = box_.live_claims().at(0);
  EXPECT_EQ(found.ticket, claim.ticket);
  EXPECT_EQ(found.uid, ::geteuid());
  EXPECT_FALSE(found.by_process);
}

TEST_F(ClaimsTest, AreFoundByTicketAndThenByDevice) {
  const NewClaim first = box_.claim({"GPU-9", "GPU-2"});
  const NewClaim second = box_.claim({"GPU-1"});
  EXPECT_EQ(live(), (Devices{"GPU-2", "GPU-9", "GPU-1"}));
}

TEST_F(ClaimsTest, OneDeviceLetGoOfIsFreeWhileTheClaimKeepsTheOther) {
  NewClaim claim = box_.claim({"GPU-1", "GPU-2"});
  claim.held[0].reset();
  EXPECT_EQ(live(), Devices{"GPU-2"});
  clear();
  EXPECT_EQ(live(), Devices{"GPU-2"});
  EXPECT_EQ(files(), 3U);  // the dead FIFO is what says that its device is free
}

TEST_F(ClaimsTest, ARemovedFifoFreesNoDeviceWhileTheProcessLives) {
  const NewClaim claim = claim_without_fifo(this_process({}));
  const std::vector<Claim> found = box_.live_claims();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].uuid, "GPU-1");
  EXPECT_EQ(found[0].ticket, claim.ticket);
  EXPECT_TRUE(found[0].by_process);
}

TEST_F(ClaimsTest, OfTwoDevicesTheOneWithoutAFifoIsHeldByTheProcess) {
  const NewClaim claim = box_.claim({"GPU-1", "GPU-2"});
  remove(claim_name({.uuid = "GPU-2", .ticket = claim.ticket}));
  const std::vector<Claim> found = box_.live_claims();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_FALSE(found[0].by_process);
  EXPECT_TRUE(found[1].by_process);
}

TEST_F(ClaimsTest, ARemovedFifoFreesTheDeviceOnceTheProcessHasEnded) {
  Idler job;
  const NewClaim claim = claim_without_fifo(other_process(job.pid()).value());
  EXPECT_EQ(live(), Devices{"GPU-1"});
  job.end();
  const ClaimScan found = scan();
  EXPECT_TRUE(found.live.empty());
  EXPECT_EQ(found.dead_records, std::vector<Ticket>{claim.ticket});
}

TEST_F(ClaimsTest, AProcessThatOnlyHasTheSamePidKeepsNothing) {
  Owner earlier = this_process({});
  --earlier.start_ticks;
  const NewClaim claim = claim_without_fifo(earlier);
  EXPECT_EQ(scan().dead_records, std::vector<Ticket>{claim.ticket});
  EXPECT_TRUE(live().empty());
}

TEST_F(ClaimsTest, ARecordFromAnotherPidNamespaceNeitherKeepsNorIsDead) {
  Owner elsewhere = this_process({});
  ++elsewhere.pid_namespace;
  const NewClaim claim = claim_without_fifo(elsewhere);
  EXPECT_TRUE(live().empty());
  EXPECT_TRUE(scan().dead_records.empty());
}

TEST_F(ClaimsTest, TheProcessMayBecomeAnotherUser) {
  NEEDS_ROOT();
  const Child command([](const Child::Self& self) {
    become_nobody();
    self.tell(1);
    Child::Self::stay();
  });
  command.hear();
  const NewClaim claim = claim_without_fifo(other_process(command.pid()).value());
  EXPECT_EQ(live(), Devices{"GPU-1"});
}

TEST_F(ClaimsTest, ARecordAboutAnotherUsersProcessKeepsNothing) {
  NEEDS_ROOT();
  const NewClaim claim = claim_without_fifo(this_process({}));
  EXPECT_EQ(live(), Devices{"GPU-1"});
  ASSERT_EQ(
      ::fchownat(box_.dir.claims(), claim_record_name(claim.ticket).c_str(), kNobody, kNobody, 0),
      0);
  EXPECT_TRUE(Claims(box_.dir).scan().value().live.empty());
}

TEST_F(ClaimsTest, AJobThatClosedItsDescriptorKeepsItsDevicesWhileItLives) {
  Idler job;
  const NewClaim claim = closed_claim_of(job);
  const std::vector<Claim> found = box_.live_claims();
  ASSERT_EQ(found.size(), 2U);
  for (const Claim& device : found) {
    EXPECT_TRUE(device.by_process);
    EXPECT_EQ(device.ticket, claim.ticket);
    EXPECT_EQ(device.uid, ::geteuid());
  }
  clear();
  EXPECT_EQ(files(), 3U);
  job.end();
  EXPECT_TRUE(live().empty());
  clear();
  EXPECT_EQ(files(), 0U);
}

TEST_F(ClaimsTest, AJobThatClosedOneOfItsDescriptorsKeepsBothDevices) {
  Idler job;
  NewClaim claim = claim_of(job);
  claim.held[0].reset();
  EXPECT_EQ(live(), (Devices{"GPU-1", "GPU-2"}));
}

TEST_F(ClaimsTest, AJobThatHasEndedKeepsNothingThoughNobodyWaitedForIt) {
  Idler job;
  const NewClaim claim = closed_claim_of(job);
  job.signal(SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(job.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(live().empty());
}

TEST_F(ClaimsTest, AnotherProcessWithThePidOfTheJobKeepsNothing) {
  Idler job;
  Owner earlier = other_process(job.pid()).value();
  --earlier.start_ticks;
  box_.claim_record({.owner = earlier, .devices = {"GPU-1"}, .with_process = true});
  EXPECT_TRUE(live().empty());
}

TEST_F(ClaimsTest, AWatchOnAJobThatClosedItsDescriptorWakesAtItsEnd) {
  Idler job;
  const NewClaim claim = closed_claim_of(job);
  const auto watch = box_.claims.watch(box_.live_claims().at(0)).value();
  ASSERT_TRUE(watch);
  EXPECT_FALSE(wakes(watch->fd.get(), watch->events, 0));
  job.end();
  EXPECT_TRUE(wakes(watch->fd.get(), watch->events));
}

TEST_F(ClaimsTest, OneOfANewerVersionLastsAsLongAsItsProcess) {
  Idler job;
  NewClaim claim = box_.claim({"GPU-1"}, other_process(job.pid()).value());
  make_newer(claim.ticket);
  EXPECT_EQ(live(), Devices{"GPU-1"});
  claim.held.clear();
  EXPECT_EQ(live(), Devices{"GPU-1"});
  job.end();
  EXPECT_TRUE(live().empty());
}

TEST_F(ClaimsTest, ABrokenRecordFreesNoDevice) {
  const NewClaim claim = box_.claim({"GPU-1"});
  write_text(box_.claims_path(claim_record_name(claim.ticket)), "{");
  EXPECT_EQ(live(), Devices{"GPU-1"});
  remove(claim_record_name(claim.ticket));
  EXPECT_EQ(live(), Devices{"GPU-1"});
}

TEST_F(ClaimsTest, WhatIsNoFifoHoldsNothing) {
  const NewClaim claim = box_.claim({"GPU-1"});
  const std::string target = claim_name({.uuid = "GPU-1", .ticket = claim.ticket});
  write_text(box_.claims_path("GPU-2@17"), "text");
  ASSERT_EQ(::symlinkat(target.c_str(), box_.dir.claims(), "GPU-3@17"), 0);
  EXPECT_EQ(live(), Devices{"GPU-1"});
}

TEST_F(ClaimsTest, OneThatWasNeverGivenOutIsIgnored) {
  const ClaimName planted{"GPU-1", highest_plausible_ticket() * 2};
  const UniqueFd held = create_held_fifo(box_.dir.claims(), claim_name(planted)).value();
  const ClaimScan found = scan();
  EXPECT_TRUE(found.live.empty());
  EXPECT_TRUE(found.dead_fifos.empty());
  EXPECT_EQ(found.last_ticket, 0U);
}

TEST_F(ClaimsTest, ALackOfDescriptorsIsAnErrorAndNotAFreeDevice) {
  const NewClaim claim = box_.claim({"GPU-1"});
  const NoDescriptors none;
  EXPECT_EQ(box_.claims.scan().error().kind, ErrorKind::system);
}

TEST_F(ClaimsTest, ClearingRemovesAllOfTheDeadAndNothingOfTheLiving) {
  box_.claim({"GPU-1", "GPU-2"});
  const NewClaim living = box_.claim({"GPU-3"});
  clear();
  EXPECT_EQ(live(), Devices{"GPU-3"});
  EXPECT_EQ(files(), 2U);
}

TEST_F(ClaimsTest, ClearingRemovesARecordThatOutlivedItsFifosAndItsProcess) {
  Idler job;
  claim_without_fifo(other_process(job.pid()).value());
  job.end();
  clear();
  EXPECT_EQ(files(), 0U);
}

TEST_F(ClaimsTest, ClearingStepsOverWhatBelongsToOthers) {
  NEEDS_ROOT();
  box_.claim({"GPU-1"});
  ASSERT_EQ(::fchmod(box_.dir.claims(), 0777), 0);  // not even the sticky bit forbids it
  MutexGuard guard = box_.lock();
  Child other([&](const Child::Self&) {
    become_nobody();
    box_.claims.clear(guard, scan());
  });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(files(), 2U);
}

TEST_F(ClaimsTest, ItsRecordIsWhatItsOwnerWrote) {
  const NewClaim claim = box_.claim({"GPU-1", "GPU-2"}, this_process({"train", "--fast"}));
  const auto record = box_.claims.record(box_.live_claims().at(0));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->devices, (Devices{"GPU-1", "GPU-2"}));
  EXPECT_EQ(record->owner.command, "train") << "arguments may be secret";
}

TEST_F(ClaimsTest, ARecordThatIsNotItsOwnersIsNone) {
  const NewClaim claim = box_.claim({"GPU-1"});
  Claim found = box_.live_claims().at(0);
  ++found.uid;
  EXPECT_FALSE(box_.claims.record(found));
}

TEST_F(ClaimsTest, AWatchWakesWhenTheLastDescriptorIsClosed) {
  NewClaim claim = box_.claim({"GPU-1"});
  const auto watch = box_.claims.watch(box_.live_claims().at(0)).value();
  ASSERT_TRUE(watch);
  EXPECT_FALSE(wakes(watch->fd.get(), watch->events, 0));
  claim.held.clear();
  EXPECT_TRUE(wakes(watch->fd.get(), watch->events, 0));
}

TEST_F(ClaimsTest, AWatchOnAClaimWithoutAFifoWakesWhenItsProcessEnds) {
  Idler job;
  const NewClaim claim = claim_without_fifo(other_process(job.pid()).value());
  const auto watch = box_.claims.watch(box_.live_claims().at(0)).value();
  ASSERT_TRUE(watch);
  EXPECT_FALSE(wakes(watch->fd.get(), watch->events, 0));
  job.end();
  EXPECT_TRUE(wakes(watch->fd.get(), watch->events));
}

TEST_F(ClaimsTest, ThereIsNoWatchOnAClaimThatHasEnded) {
  Idler job;
  NewClaim fifo = box_.claim({"GPU-2"});
  const NewClaim process = claim_without_fifo(other_process(job.pid()).value());
  const std::vector<Claim> found = box_.live_claims();
  ASSERT_EQ(found.size(), 2U);
  job.end();
  fifo.held.clear();
  for (const Claim& claim : found) EXPECT_FALSE(box_.claims.watch(claim).value()) << claim.uuid;
}

TEST_F(ClaimsTest, AWatchThatCannotBeOpenedIsAnError) {
  const NewClaim claim = box_.claim({"GPU-1"});
  const Claim found = box_.live_claims().at(0);
  const NoDescriptors none;
  EXPECT_FALSE(box_.claims.watch(found));
}

TEST_F(ClaimsTest, MakingOneCountsATicketAndAGrant) {
  const Counters before = box_.counters();
  const NewClaim claim = box_.claim({"GPU-1"});
  EXPECT_EQ(claim.ticket, before.last_ticket + 1);
  const Counters after = box_.counters();
  EXPECT_EQ(after.last_ticket, claim.ticket);
  EXPECT_EQ(after.grants, before.grants + 1);
}

TEST_F(ClaimsTest, AClaimTellsInsideOfWhichOneItWasMade) {
  const NewClaim outer = box_.claim({"GPU-1"});
  const NewClaim part =
      box_.claim_record({.owner = this_process({}), .devices = {"GPU-1"}, .within = outer.ticket});
  const std::vector<Claim> live = box_.live_claims();
  ASSERT_EQ(live.size(), 2U);
  EXPECT_EQ(live[0].within, 0U);
  EXPECT_EQ(live[1].within, outer.ticket);
}

TEST_F(ClaimsTest, ATicketIsHigherThanAnyInAName) {
  const Ticket planted = first_ticket() + 1000000;
  write_text(box_.claims_path(claim_record_name(planted)), "{}");
  EXPECT_EQ(box_.claim({"GPU-1"}).ticket, planted + 1);
}

TEST_F(ClaimsTest, ATicketThatADeadClaimerDidNotCountIsNotGivenOutAgain) {
  const Ticket uncounted = box_.counters().last_ticket + 1;
  create_held_fifo(box_.dir.claims(), claim_name({.uuid = "GPU-1", .ticket = uncounted})).value();
  clear();
  EXPECT_EQ(files(), 0U);
  EXPECT_EQ(box_.claim({"GPU-1"}).ticket, uncounted + 1);
}

TEST_F(ClaimsTest, OnOneTakenNameTheNextTicketIsTriedForAllDevices) {
  const Ticket taken = box_.counters().last_ticket + 1;
  ClaimScan before = scan();
  const std::string in_the_way = claim_name({.uuid = "GPU-2", .ticket = taken});
  ASSERT_EQ(::mkfifoat(box_.dir.claims(), in_the_way.c_str(), 0644), 0);
  MutexGuard guard = box_.lock();
  const Result<NewClaim> claim = box_.claims.make(
      guard, before, {.owner = this_process({}), .devices = {"GPU-1", "GPU-2", "GPU-3"}});
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->ticket, taken + 1);
  EXPECT_EQ(files(), 1 + 3 + 1U);  // in the way, the devices, the record
  EXPECT_TRUE(exists(box_.claims_path(in_the_way)));
}

TEST_F(ClaimsTest, WhereEveryNameIsTakenNothingIsMadeOrCounted) {
  const Counters counters = box_.counters();
  constexpr Ticket kTaken = 70;
  for (Ticket i = 1; i <= kTaken; ++i) {
    write_text(box_.claims_path(claim_name({.uuid = "GPU-2", .ticket = counters.last_ticket + i})),
               "");
  }
  MutexGuard guard = box_.lock();
  const Result<NewClaim> claim = box_.claims.make(
      guard, ClaimScan{}, {.owner = this_process({}), .devices = {"GPU-1", "GPU-2"}});
  ASSERT_FALSE(claim);
  EXPECT_EQ(claim.error().errnum, EEXIST);
  EXPECT_EQ(files(), kTaken);
  EXPECT_EQ(guard.counters().grants, counters.grants);
}

TEST_F(ClaimsTest, WithoutRoomForItsRecordNothingIsMade) {
  box_.claim({});  // so that the counters are there
  const std::size_t before = files();
  const FullFileSystem full(60);
  const Result<NewClaim> claim = make({"GPU-1", "GPU-2"});
  ASSERT_FALSE(claim);
  EXPECT_EQ(claim.error().kind, ErrorKind::system);
  EXPECT_EQ(files(), before);
}

TEST_F(ClaimsTest, WithoutRoomForItsRecordItIsMadeWhereThatIsEnough) {
  box_.claim({});
  const Result<NewClaim> claim = [&] {
    const FullFileSystem full(60);
    MutexGuard guard = box_.lock();
    return box_.claims.make(guard, scan(), {.owner = this_process({}), .devices = {"GPU-1"}},
                            Recording::if_possible);
  }();
  ASSERT_TRUE(claim);
  EXPECT_EQ(live(), Devices{"GPU-1"});
}

TEST_F(ClaimsTest, InADirectoryThatIsBeingRemovedThereIsNoneToMake) {
  MutexGuard guard = box_.lock();
  ASSERT_EQ(::rmdir((box_.dir.path() + "/claims").c_str()), 0);
  const Result<NewClaim> claim =
      box_.claims.make(guard, ClaimScan{}, {.owner = this_process({}), .devices = {"GPU-1"}});
  ASSERT_FALSE(claim);
  EXPECT_EQ(claim.error().kind, ErrorKind::replaced);
}

TEST_F(ClaimsTest, NoCommandInheritsOneUnasked) {
  const NewClaim claim = box_.claim({"GPU-1"});
  EXPECT_NE(::fcntl(claim.held.at(0).get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ClaimsTest, AShareIsTheOneThatItsRecordTells) {
  const NewClaim claim = box_.claim_record(
      {.owner = this_process({}), .devices = {"GPU-1", "GPU-2"}, .share_mib = 8000});
  for (const Claim& live : box_.live_claims()) EXPECT_EQ(live.share_mib, 8000);
  EXPECT_EQ(live(), (Devices{"GPU-1", "GPU-2"}));
}

TEST_F(ClaimsTest, AShareWithoutItsRecordIsAllOfTheDevice) {
  const NewClaim claim =
      box_.claim_record({.owner = this_process({}), .devices = {"GPU-1"}, .share_mib = 8000});
  remove(claim_record_name(claim.ticket));
  ASSERT_EQ(box_.live_claims().size(), 1U);
  EXPECT_FALSE(box_.live_claims()[0].share_mib);
}

TEST_F(ClaimsTest, AnotherUsersRecordSaysNothingOfAShare) {
  const NewClaim claim =
      box_.claim_record({.owner = this_process({}), .devices = {"GPU-1"}, .share_mib = 1});
  const std::string name = claim_record_name(claim.ticket);
  ASSERT_EQ(::fchownat(box_.dir.claims(), name.c_str(), 1001, gid_t(-1), 0), 0);
  ASSERT_EQ(box_.live_claims().size(), 1U);
  EXPECT_FALSE(box_.live_claims()[0].share_mib);
}

TEST_F(ClaimsTest, AShareOfARecordOfANewerVersionIsAllOfTheDevice) {
  const NewClaim claim =
      box_.claim_record({.owner = this_process({}), .devices = {"GPU-1"}, .share_mib = 8000});
  make_newer(claim.ticket);
  ASSERT_EQ(box_.live_claims().size(), 1U);
  EXPECT_FALSE(box_.live_claims()[0].share_mib);
}

}  // namespace
}  // namespace gpu_gate
