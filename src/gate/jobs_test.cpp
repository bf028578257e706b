#include "gate/jobs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/process.h"
#include "gate/test_lock_dir.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

using Tickets = std::vector<Ticket>;

/// A made-up /proc.
class JobsTest : public testing::Test {
 protected:
  void add(pid_t pid, pid_t parent, int start = 99, const std::string& name = "x") const {
    const std::string process = proc_ / std::to_string(pid);
    std::filesystem::create_directory(process);
    std::ofstream(process + "/stat")
        << pid << " (" << name << ") S " << parent << " 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 "
        << start << " 0 0\n";
    std::ofstream(process + "/comm") << name << "\n";
  }
  Tickets not_of(pid_t pid, const std::vector<JobProcess>& of) const {
    return jobs_of({pid}, of, proc_.path()).at(pid).not_of;
  }
  Tickets claims_of(pid_t pid, const std::vector<JobProcess>& of) const {
    const Jobs jobs = jobs_of({pid}, of, proc_.path());
    return jobs.contains(pid) ? jobs.at(pid).claims : Tickets{};
  }
  const TestFolder proc_;
};

TEST_F(JobsTest, AProcessWorksForTheClaimsOfItselfAndItsAncestors) {
  add(50, 40);
  add(40, 30);
  add(30, 1);
  EXPECT_EQ(claims_of(50, {{.pid = 30, .claim = 5}, {.pid = 40, .claim = 7}}), (Tickets{7, 5}));
  EXPECT_EQ(claims_of(50, {{.pid = 50, .claim = 5}}), Tickets{5});
  EXPECT_EQ(claims_of(30, {{.pid = 50, .claim = 5}}), Tickets{}) << "not for that of a child";
}

TEST_F(JobsTest, InAContainerInitMayBeTheJob) {
  add(1, 0);
  add(50, 1);
  EXPECT_EQ(claims_of(50, {{.pid = 1, .claim = 5}}), Tickets{5});
}

const std::vector<JobProcess> kClaims{{.pid = 30, .claim = 5, .start_ticks = 200},
                                      {.pid = 31, .claim = 6, .start_ticks = 400}};

TEST_F(JobsTest, AnOrphanMayBeOfEachJobThatBeganBeforeIt) {
  add(1, 0, 0);
  add(50, 1, 300);
  EXPECT_EQ(not_of(50, kClaims), Tickets{6});
}

TEST_F(JobsTest, SoMayWhatTheServicesOfAUserHaveTaken) {
  add(1, 0, 0);
  add(20, 1, 10, "systemd");
  add(50, 20, 300);
  add(51, 50, 500);
  EXPECT_EQ(not_of(51, kClaims), Tickets{6}) << "its parent is as old as it";
}

TEST_F(JobsTest, WhatAnOlderProcessHasStartedIsNoOrphanOfALaterJob) {
  add(1, 0, 0);
  add(20, 1, 100, "sshd");
  add(50, 20, 500);
  EXPECT_EQ(not_of(50, kClaims), (Tickets{5, 6}));
}

TEST_F(JobsTest, NothingIsAskedOfAProcessThatWorksForAClaim) {
  add(20, 1, 100);
  add(30, 20, 200);
  add(50, 30, 500);
  EXPECT_EQ(claims_of(50, kClaims), Tickets{5});
  EXPECT_EQ(not_of(50, kClaims), Tickets{});
}

TEST_F(JobsTest, TellsWhoseItIs) {
  add(50, 1);
  EXPECT_EQ(jobs_of({50}, {}, proc_.path()).at(50).uid, ::geteuid());
}

TEST_F(JobsTest, OfAProcessThatIsGoneNothingIsKnown) {
  EXPECT_TRUE(jobs_of({50}, {{.pid = 50, .claim = 5}}, proc_.path()).empty());
}

TEST_F(JobsTest, EndsWhereTheParentsGoRoundInACircle) {
  add(50, 51);
  add(51, 50);
  EXPECT_EQ(claims_of(50, {{.pid = 40, .claim = 5}}), Tickets{});
}

TEST(JobProcesses, AreThoseOfTheRecordsThatLive) {
  TestLockDir box;
  const Idler job;
  const NewClaim claim =
      box.claim_record({.owner = other_process(job.pid()).value(), .devices = {"GPU-1", "GPU-2"}});
  Owner elsewhere = this_process({});
  ++elsewhere.pid_namespace;
  const NewClaim other = box.claim({"GPU-3"}, elsewhere);
  Owner earlier = other_process(job.pid()).value();
  --earlier.start_ticks;
  const NewClaim ended = box.claim({"GPU-4"}, earlier);
  const auto processes = job_processes(box.claims, box.live_claims());
  ASSERT_EQ(processes.size(), 1U);
  EXPECT_EQ(processes[0].pid, job.pid());
  EXPECT_EQ(processes[0].claim, claim.ticket);
}

TEST(JobsOnShared, AreReadOnlyWhereThereIsAShare) {
  TestLockDir box;
  const Idler job;
  Snapshot machine = idle_machine(2);
  for (Device& device : machine.devices) device.processes = {{.pid = job.pid(), .memory_mib = 100}};
  const NewClaim whole = box.claim({"GPU-0"}, other_process(job.pid()).value());
  EXPECT_TRUE(jobs_on_shared(machine, box.claims, box.live_claims()).empty());
  const NewClaim share =
      box.claim_record({.owner = this_process({}), .devices = {"GPU-1"}, .share_mib = 8000});
  EXPECT_EQ(jobs_on_shared(machine, box.claims, box.live_claims()).at(job.pid()).claims.front(),
            whole.ticket);
}

}  // namespace
}  // namespace gpu_gate
