#include "report/usage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/process.h"
#include "policy/fit.h"
#include "report/test_board.h"
#include "report/test_shared_dir.h"

namespace gpu_gate {
namespace {

constexpr uid_t kStranger = 4'123'456;  // has no name

/// A child of this process that lives until it is killed; with `uid`, another user's.
class Child {
 public:
  explicit Child(std::optional<uid_t> uid = {}) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool changed = !uid || ::setresuid(*uid, *uid, *uid) == 0;
      // A process that changes its user would be shown as root's until it executes something.
      ::prctl(PR_SET_DUMPABLE, 1);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (!changed || ::write(ready[1], "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    ready_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill();
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  bool is_ready() const { return ready_; }

  /// It is a zombie then.
  void kill() const {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
};

DeviceProcess described(pid_t pid) {
  return describe({.pid = pid, .graphics = false, .memory_mib = {}});
}

TEST(ClaimantOf, NamesTheJobThatTheRecordTells) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("python"));
  const Claimant who = claimant_of(shared.claims(), shared.live().at(0));
  EXPECT_EQ(who.uid, ::geteuid());
  EXPECT_EQ(who.user, user_name(::geteuid()));
  ASSERT_TRUE(who.job);
  EXPECT_EQ(who.job->command, "python");
  EXPECT_EQ(who.job->pid, ::getpid());
  EXPECT_EQ(who.job->uid, ::geteuid());
}

/// A claim for a process that has ended.
ClaimRecord of_ended(const Child& child) {
  Owner owner = this_process({"python"});
  const std::optional<ProcessIdentity> identity = process_identity(child.pid());
  owner.pid = child.pid();
  owner.start_ticks = identity ? identity->start_ticks : 0;
  child.kill();
  return {.owner = owner, .devices = {"GPU-0"}, .with_process = true};
}

TEST(ClaimantOf, NamesWhoHoldsTheClaimOfAJobThatHasEnded) {
  SharedDir shared;
  const Child child;
  const NewClaim held = shared.claim(of_ended(child));
  const Claimant who = claimant_of(shared.claims(), shared.live().at(0));
  ASSERT_TRUE(who.job);
  EXPECT_EQ(who.job->pid, ::getpid());
  EXPECT_EQ(who.job->command, process_command(::getpid(), kMaxCommandBytes));
}

TEST(ClaimantOf, StillNamesAJobWhoseClaimHasJustEnded) {
  SharedDir shared;
  const Child child;
  const ClaimRecord record = of_ended(child);
  std::optional<NewClaim> held = shared.claim(record);
  const Claim claim = shared.live().at(0);
  held.reset();
  const Claimant who = claimant_of(shared.claims(), claim);
  ASSERT_TRUE(who.job);
  EXPECT_EQ(who.job->pid, child.pid());
  EXPECT_EQ(who.job->command, "python");
}

TEST(ClaimantOf, KnowsTheUserWhereThereIsNoRecord) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  std::filesystem::remove(shared.claim_record_path(held.ticket));
  const Claimant who = claimant_of(shared.claims(), shared.live().at(0));
  EXPECT_EQ(who.uid, ::geteuid());
  EXPECT_FALSE(who.job);
}

TEST(ClaimantOf, BelievesNoRecordThatIsNotWhole) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  std::filesystem::resize_file(shared.claim_record_path(held.ticket), 20);
  EXPECT_FALSE(claimant_of(shared.claims(), shared.live().at(0)).job);
}

TEST(ClaimantOf, BelievesNoRecordOfAnotherUser) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  Claim claim = shared.live().at(0);
  claim.uid = kStranger;
  const Claimant who = claimant_of(shared.claims(), claim);
  EXPECT_FALSE(who.job);
  EXPECT_EQ(who.uid, kStranger) << "the claim is its own all the same";
}

TEST(ClaimantOf, IsANumberWhereTheUserHasNoName) {
  SharedDir shared;
  EXPECT_EQ(claimant_of(shared.claims(), {.ticket = 1, .uuid = "GPU-0", .uid = kStranger}).user,
            std::to_string(kStranger));
}

TEST(Describe, NamesUserAndCommandOfAProcess) {
  const DeviceProcess process = described(::getpid());
  EXPECT_EQ(process.uid, ::geteuid());
  EXPECT_EQ(process.user, user_name(::geteuid()));
  EXPECT_EQ(process.command, process_command(::getpid(), kMaxCommandBytes));
  EXPECT_NE(process.command, "");
}

TEST(Describe, KeepsWhatTheDriverTold) {
  const DeviceProcess process = describe({.pid = ::getpid(), .graphics = true, .memory_mib = 300});
  EXPECT_EQ(process.process.pid, ::getpid());
  EXPECT_TRUE(process.process.graphics);
  EXPECT_EQ(process.process.memory_mib, 300);
}

TEST(Describe, NamesTheUserOfAnothersProcess) {
  const Child child(kStranger);
  if (!child.is_ready()) GTEST_SKIP() << "only root can become another user";
  const DeviceProcess process = described(child.pid());
  EXPECT_EQ(process.uid, kStranger);
  EXPECT_EQ(process.user, std::to_string(kStranger));
}

TEST(Describe, KnowsNoUserOfAProcessThatHasEnded) {
  pid_t pid = 0;
  {
    const Child child;
    ASSERT_TRUE(child.is_ready());
    pid = child.pid();
    EXPECT_EQ(described(pid).uid, ::geteuid());
    child.kill();
    EXPECT_FALSE(described(pid).uid) << "a zombie uses no GPU";
  }
  EXPECT_FALSE(described(pid).uid);
  EXPECT_EQ(described(pid).user, "");
  EXPECT_EQ(described(pid).command, "");
}

TEST(UseOf, NamesTheClaimantsOfThatDeviceOnly) {
  SharedDir shared;
  const NewClaim both = shared.claim({"GPU-0", "GPU-1"}, unseen_job("both"));
  const NewClaim other = shared.claim({"GPU-2"}, unseen_job("other"));
  const DeviceUse use = use_of(card(1), shared.claims(), shared.live(), 0);
  ASSERT_EQ(use.claimants.size(), 1U);
  EXPECT_EQ(use.claimants[0].job->command, "both");
  EXPECT_TRUE(use_of(card(3), shared.claims(), shared.live(), 0).claimants.empty());
}

TEST(UseOf, HasTheOutermostClaimantFirst) {
  SharedDir shared;
  const NewClaim outer = shared.claim({"GPU-0"}, unseen_job("outer"));
  const NewClaim inner = shared.claim({"GPU-0"}, unseen_job("inner"));
  const DeviceUse use = use_of(card(0), shared.claims(), shared.live(), 0);
  ASSERT_EQ(use.claimants.size(), 2U);
  EXPECT_EQ(use.claimants[0].job->command, "outer");
  EXPECT_EQ(use.claimants[1].job->command, "inner");
}

TEST(UseOf, LeavesOutThePartsOfAShare) {
  SharedDir shared;
  const NewClaim alice =
      shared.claim({.owner = unseen_job("alice"), .devices = {"GPU-0"}, .share_mib = 2000});
  const NewClaim part = shared.claim({.owner = unseen_job("part"),
                                      .devices = {"GPU-0"},
                                      .within = alice.ticket,
                                      .share_mib = 1000});
  const NewClaim bob =
      shared.claim({.owner = unseen_job("bob"), .devices = {"GPU-0"}, .share_mib = 2000});
  const DeviceUse use = use_of(card(0), shared.claims(), shared.live(), 0);
  ASSERT_EQ(use.claimants.size(), 2U);
  EXPECT_EQ(use.claimants[0].job->command, "alice");
  EXPECT_EQ(use.claimants[1].job->command, "bob");
}

TEST(UseOf, LeavesOutTheClaimThatItIsInsideOf) {
  SharedDir shared;
  const NewClaim outer = shared.claim({"GPU-0"}, unseen_job("outer"));
  EXPECT_TRUE(use_of(card(0), shared.claims(), shared.live(), outer.ticket).claimants.empty());
  const NewClaim inner = shared.claim({"GPU-0"}, unseen_job("inner"));
  const DeviceUse use = use_of(card(0), shared.claims(), shared.live(), outer.ticket);
  ASSERT_EQ(use.claimants.size(), 1U);
  EXPECT_EQ(use.claimants[0].job->command, "inner");
}

TEST(UseOf, HasThoseThatOccupyTheDevice) {
  SharedDir shared;
  Device device = card(0);
  device.processes = {{.pid = ::getpid(), .graphics = true, .memory_mib = {}},
                      {.pid = ::getppid(), .graphics = false, .memory_mib = {}}};
  const DeviceUse use = use_of(device, shared.claims(), {}, 0);
  ASSERT_EQ(use.processes.size(), 1U);
  EXPECT_EQ(use.processes[0].process.pid, ::getppid());
  device.processes[0].memory_mib = kDesktopMemoryMib + 1;
  EXPECT_EQ(use_of(device, shared.claims(), {}, 0).processes.size(), 2U);
}

}  // namespace
}  // namespace gpu_gate
