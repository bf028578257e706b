#include "gate/card_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <list>

#include "gate/test_lock_dir.h"
#include "gate/test_look.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

using Uuids = std::set<std::string>;

class CardWatchTest : public testing::Test {
 protected:
  bool watch_claims(const Uuids& devices, Ticket within = 0) {
    return watch_.watch_claims(box_.claims, box_.live_claims(), devices, within).value();
  }
  /// Watches the processes on device 0.
  bool watch_processes(const std::vector<pid_t>& pids) {
    Snapshot snapshot = idle_machine(1);
    for (const pid_t pid : pids) snapshot.devices[0].processes.push_back(compute_process(pid));
    return watch_.watch_processes(snapshot, {{.whole = false}});
  }
  std::size_t watched() { return gpu_gate::watched(watch_); }
  /// Sleeps until one of them ends.
  CardWatch::Ended sleep() { return watch_.ended(sleep_of(watch_)); }
  TestLockDir box_;
  CardWatch watch_;
};

TEST_F(CardWatchTest, TheEndOfAClaimWakes) {
  NewClaim claim = box_.claim({"GPU-0"});
  EXPECT_TRUE(watch_claims({"GPU-0"}));
  claim.held.clear();
  const CardWatch::Ended ended = sleep();
  EXPECT_TRUE(ended.claim);
  EXPECT_FALSE(ended.process);
}

TEST_F(CardWatchTest, AClaimThatHasEndedIsNotWatchedAgain) {
  NewClaim claim = box_.claim({"GPU-0"});
  const NewClaim other = box_.claim({"GPU-1"});
  watch_claims({"GPU-0", "GPU-1"});
  claim.held.clear();
  sleep();
  EXPECT_EQ(watched(), 1U);
}

TEST_F(CardWatchTest, ClaimsOnOtherDevicesAreWatchedAsWell) {
  NewClaim claim = box_.claim({"GPU-0", "GPU-1", "GPU-2"});
  watch_claims({"GPU-1", "GPU-2", "GPU-3"});
  EXPECT_EQ(watched(), 3U);
  claim.held[0].reset();
  EXPECT_TRUE(sleep().claim);
}

TEST_F(CardWatchTest, OfClaimsOnOtherDevicesOnlyAFewAreWatched) {
  std::vector<NewClaim> claims;
  for (int i = 0; i < 50; ++i) claims.push_back(box_.claim({"GPU-" + std::to_string(i)}));
  watch_claims({"GPU-1"});
  EXPECT_EQ(watched(), 17U);
}

TEST_F(CardWatchTest, HoweverManyClaimsThereAreOnADeviceOneIsWatched) {
  std::vector<NewClaim> claims;
  for (int i = 0; i < 5; ++i) claims.push_back(box_.claim({"GPU-0"}));
  watch_claims({"GPU-0"});
  EXPECT_EQ(watched(), 1U);
}

TEST_F(CardWatchTest, EveryClaimOnASharedDeviceIsWatchedAlsoOneWithoutARecord) {
  const NewClaim share = box_.claim_record(
      {.owner = this_process({}), .devices = {"GPU-0"}, .share_mib = std::int64_t{1000}});
  NewClaim unrecorded = box_.claim({"GPU-0"});
  ASSERT_EQ(::unlinkat(box_.dir.claims(), claim_record_name(unrecorded.ticket).c_str(), 0), 0);
  watch_claims({"GPU-0"});
  EXPECT_EQ(watched(), 2U);
  unrecorded.held.clear();
  EXPECT_TRUE(sleep().claim);
}

TEST_F(CardWatchTest, InsideAClaimThatClaimAndThoseAboveItAreWatched) {
  const NewClaim stranger = box_.claim({"GPU-0"});
  NewClaim outer = box_.claim({"GPU-0", "GPU-1"});
  NewClaim inner = box_.claim({"GPU-0"});
  watch_claims({"GPU-0", "GPU-1"}, outer.ticket);
  EXPECT_EQ(watched(), 2U);
  inner.held.clear();
  EXPECT_TRUE(sleep().claim);
  outer.held.clear();
  EXPECT_TRUE(sleep().claim);
}

TEST_F(CardWatchTest, AClaimThatEndedBeforeItCouldBeWatchedIsTold) {
  NewClaim claim = box_.claim({"GPU-0"});
  const std::vector<Claim> live = box_.live_claims();
  claim.held.clear();
  EXPECT_FALSE(watch_.watch_claims(box_.claims, live, {"GPU-0"}, 0).value());
  EXPECT_EQ(watched(), 0U);
}

TEST_F(CardWatchTest, WithoutClaimsNothingIsWatchedAnyMore) {
  NewClaim claim = box_.claim({"GPU-0"});
  watch_claims({"GPU-0"});
  claim.held.clear();
  EXPECT_TRUE(watch_claims({"GPU-0"}));
  EXPECT_EQ(watched(), 0U);
}

TEST_F(CardWatchTest, ALackOfDescriptorsIsAnError) {
  const NewClaim claim = box_.claim({"GPU-0"});
  const std::vector<Claim> live = box_.live_claims();
  const NoDescriptors none;
  EXPECT_EQ(watch_.watch_claims(box_.claims, live, {"GPU-0"}, 0).error().kind, ErrorKind::system);
}

TEST_F(CardWatchTest, TheEndOfAProcessWakes) {
  Idler job;
  EXPECT_TRUE(watch_processes({job.pid()}));
  job.signal(SIGKILL);
  const CardWatch::Ended ended = sleep();
  EXPECT_TRUE(ended.process);
  EXPECT_FALSE(ended.claim);
}

TEST_F(CardWatchTest, AProcessThatHasEndedIsNotWatchedAgainThoughTheDriverListsIt) {
  Idler job;
  watch_processes({job.pid()});
  job.signal(SIGKILL);
  sleep();
  EXPECT_TRUE(watch_processes({job.pid()})) << "it is not met for the first time";
  EXPECT_EQ(watched(), 0U);
}

TEST_F(CardWatchTest, AProcessThatCannotBeWatchedIsToldOnce) {
  Idler job;
  const pid_t gone = job.pid();
  job.end();
  EXPECT_FALSE(watch_processes({gone}));
  EXPECT_TRUE(watch_processes({gone}));
  watch_processes({});
  EXPECT_FALSE(watch_processes({gone})) << "it came back";
}

TEST_F(CardWatchTest, AProcessThatTheDriverNoLongerListsIsNotWatched) {
  const Idler job;
  watch_processes({job.pid()});
  EXPECT_EQ(watched(), 1U);
  watch_processes({});
  EXPECT_EQ(watched(), 0U);
}

TEST_F(CardWatchTest, AProcessOnTwoDevicesIsWatchedOnce) {
  const Idler job;
  Snapshot snapshot = idle_machine(2);
  for (Device& device : snapshot.devices) device.processes = {compute_process(job.pid())};
  watch_.watch_processes(snapshot, {{}, {}});
  EXPECT_EQ(watched(), 1U);
}

TEST_F(CardWatchTest, WhatRunsOnAClaimedDeviceIsTheClaimsAffair) {
  const Idler job;
  Snapshot snapshot = idle_machine(1);
  snapshot.devices[0].processes = {compute_process(job.pid())};
  EXPECT_TRUE(watch_.watch_processes(snapshot, {{.whole = true}}));
  EXPECT_EQ(watched(), 0U);
}

TEST_F(CardWatchTest, AProcessWithoutAPidIsNoProcessToWatch) {
  EXPECT_TRUE(watch_processes({0}));
  EXPECT_EQ(watched(), 0U);
}

TEST_F(CardWatchTest, NoMoreThanSixtyFourProcessesAreWatched) {
  std::list<Idler> jobs(65);
  std::vector<pid_t> pids;
  for (const Idler& job : jobs) pids.push_back(job.pid());
  EXPECT_TRUE(watch_processes(pids));
  EXPECT_EQ(watched(), 64U);
}

TEST_F(CardWatchTest, ASleepThatEndedByTimeEndsNothing) {
  const Idler job;
  const NewClaim claim = box_.claim({"GPU-0"});
  watch_claims({"GPU-0"});
  watch_processes({job.pid()});
  WaitSet set;
  watch_.add_to(set);
  set.until(Clock::now());
  ASSERT_TRUE(set.sleep());
  const CardWatch::Ended ended = watch_.ended(set);
  EXPECT_FALSE(ended.claim || ended.process);
  EXPECT_EQ(watched(), 2U);
}

}  // namespace
}  // namespace gpu_gate
