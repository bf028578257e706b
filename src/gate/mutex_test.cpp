#include "gate/mutex.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate/names.h"
#include "gate/test_lock_dir.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;

/// A file has one lock for each time it was opened, so a second Mutex is as good as a second
/// process.
class MutexTest : public testing::Test {
 protected:
  std::string file() const { return dir_.path() + "/mutex"; }
  static Result<std::optional<MutexGuard>> try_lock(Mutex& mutex, const MutexDelay& delayed = {}) {
    return mutex.lock(Clock::now() + milliseconds(10), sigset_t{}, delayed);
  }
  /// What the next holder takes the file's text for.
  Counters counters_of(const std::string& text) {
    write_text(file(), text);
    return box_.lock().counters();
  }
  TestLockDir box_;
  const LockDir& dir_ = box_.dir;
  Mutex& mutex_ = box_.mutex;
  Mutex other_{dir_};
};

TEST_F(MutexTest, IsHeldByOneAtATime) {
  {
    const MutexGuard guard = box_.lock();
    EXPECT_FALSE(try_lock(other_).value());
  }
  EXPECT_TRUE(try_lock(other_).value());
}

TEST_F(MutexTest, MovingAGuardDoesNotLetGo) {
  MutexGuard first = box_.lock();
  {
    const MutexGuard second = std::move(first);
    EXPECT_FALSE(try_lock(other_).value());
  }
  EXPECT_TRUE(try_lock(other_).value());
}

TEST_F(MutexTest, ADeadHolderHoldsNobodyOff) {
  Child holder([&](const Child::Self& self) {
    Mutex its(dir_);
    const auto guard = its.lock(std::nullopt, sigset_t{}, nullptr);
    self.tell(1);
    Child::Self::stay();
  });
  holder.hear();
  EXPECT_FALSE(try_lock(mutex_).value());
  holder.end();
  EXPECT_TRUE(try_lock(mutex_).value());
}

TEST_F(MutexTest, WaitsUntilItIsLetGo) {
  std::optional<MutexGuard> guard(box_.lock());
  Child waiter([&](const Child::Self& self) {
    Mutex its(dir_);
    self.tell(1);
    if (its.lock(std::nullopt, sigset_t{}, nullptr).value()) self.tell(2);
  });
  waiter.hear();
  EXPECT_FALSE(waiter.has_told());
  guard.reset();
  EXPECT_EQ(waiter.hear(), 2U);
}

TEST_F(MutexTest, WhoeverHasAnOldDeadlineStillGetsAFreeOne) {
  EXPECT_TRUE(mutex_.lock(Clock::now() - std::chrono::hours(1), sigset_t{}, nullptr).value());
}

TEST_F(MutexTest, EverybodyMayOpenItWhateverTheUmask) {
  const StrictUmask umask;
  box_.lock();
  EXPECT_EQ(mode_of(file()), 01666U);
}

TEST_F(MutexTest, AnotherUserTakesItToo) {
  NEEDS_ROOT();
  box_.lock();
  const Child other([&](const Child::Self& self) {
    become_nobody();
    self.tell(try_lock(other_).value() ? 1 : 0);
  });
  EXPECT_EQ(other.hear(), 1U);
}

TEST_F(MutexTest, ANewDirectoryCountsFromTheClock) {
  const Ticket earliest = first_ticket();
  const Counters counters = box_.lock().counters();
  EXPECT_GE(counters.last_ticket, earliest);
  EXPECT_LE(counters.last_ticket, first_ticket());
  EXPECT_EQ(counters.grants, 0U);
}

TEST_F(MutexTest, WhatOneHolderWritesTheNextOneReads) {
  ASSERT_TRUE(box_.lock().write({.last_ticket = 17, .grants = 4}));
  const Counters counters = try_lock(other_).value()->counters();
  EXPECT_EQ(counters.last_ticket, 17U);
  EXPECT_EQ(counters.grants, 4U);
  EXPECT_EQ(read_text(file()), "00000000000000000017 00000000000000000004\n");
}

TEST_F(MutexTest, AHolderSeesWhatItHasWritten) {
  MutexGuard guard = box_.lock();
  ASSERT_TRUE(guard.write({.last_ticket = 17, .grants = 4}));
  EXPECT_EQ(guard.counters().last_ticket, 17U);
}

TEST_F(MutexTest, CountersCanBeReadWhileItIsHeld) {
  MutexGuard guard = box_.lock();
  ASSERT_TRUE(guard.write({.last_ticket = 17, .grants = 4}));
  EXPECT_EQ(other_.peek().grants, 4U);
}

TEST_F(MutexTest, TellsWhichDevicesWereClaimedSinceALook) {
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 17, .grants = 1}, {"GPU-0"}));
  const ClaimMark mark = other_.peek();
  EXPECT_EQ(box_.lock().claims_since(mark, "GPU-0"), 0);
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 18, .grants = 2}, {"GPU-1"}));
  const MutexGuard guard = box_.lock();
  EXPECT_NE(guard.claims_since(mark, "GPU-1"), 0);
  EXPECT_EQ(guard.claims_since(mark, "GPU-0"), 0);
}

TEST_F(MutexTest, ALookThatBeginsBetweenTheLogAndTheCountKnowsTheClaim) {
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 17, .grants = 1}, {"GPU-0"}));
  const std::string before = read_text(file());
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 18, .grants = 2}, {"GPU-0"}));
  const std::string after = read_text(file());
  const std::size_t counters = before.find('\n') + 1;
  write_text(file(), before.substr(0, counters) + after.substr(counters));
  const ClaimMark mark = other_.peek();
  EXPECT_EQ(mark.last_claim, 18U);
  write_text(file(), after);
  EXPECT_EQ(box_.lock().claims_since(mark, "GPU-0"), 0);
}

TEST_F(MutexTest, APlaceInLineIsNoClaim) {
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 17, .grants = 1}, {"GPU-0"}));
  const ClaimMark mark = other_.peek();
  ASSERT_TRUE(box_.lock().write({.last_ticket = 18, .grants = 1}));
  EXPECT_EQ(box_.lock().claims_since(mark, "GPU-0"), 0);
}

TEST_F(MutexTest, AClaimOfAnOlderProgramMayHaveBeenOnAnyDevice) {
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 17, .grants = 1}, {"GPU-0"}));
  const ClaimMark mark = other_.peek();
  ASSERT_TRUE(box_.lock().write({.last_ticket = 18, .grants = 2}));  // it writes no more than that
  EXPECT_NE(box_.lock().claims_since(mark, "GPU-1"), 0);
  ASSERT_TRUE(box_.lock().write_claim({.last_ticket = 19, .grants = 3}, {"GPU-2"}));
  EXPECT_NE(box_.lock().claims_since(mark, "GPU-1"), 0);
}

TEST_F(MutexTest, WithoutRoomToNoteAClaimItIsCountedAndAllIsReadAnew) {
  ASSERT_TRUE(box_.lock().write({.last_ticket = 17, .grants = 0}));
  const ClaimMark mark = other_.peek();
  {
    MutexGuard guard = box_.lock();
    const FullFileSystem full(100);
    ASSERT_TRUE(guard.write_claim({.last_ticket = 18, .grants = 1}, {"GPU-0"}));
  }
  const MutexGuard guard = box_.lock();
  EXPECT_EQ(guard.counters().grants, 1U);
  EXPECT_NE(guard.claims_since(mark, "GPU-1"), 0);
  EXPECT_EQ(other_.peek().last_claim, 18U);
}

TEST_F(MutexTest, ATicketThatWasNeverGivenOutIsNotCountedOn) {
  for (const char* text : {"18446744073709551615 5", "00000000000000000000 5"}) {
    const Counters counters = counters_of(text);
    EXPECT_LE(counters.last_ticket, highest_plausible_ticket()) << text;
    EXPECT_GE(counters.last_ticket, first_ticket() - 60000) << text;
    EXPECT_EQ(counters.grants, 5U) << text;
  }
}

TEST_F(MutexTest, WhatIsNotTwoNumbersCountsNothing) {
  for (const char* text : {"", "x", "17", "17x5", "99999999999999999999999 5", "-1 5"}) {
    const Counters counters = counters_of(text);
    EXPECT_GE(counters.last_ticket, first_ticket() - 60000) << text;
    EXPECT_EQ(counters.grants, 0U) << text;
  }
}

TEST_F(MutexTest, CountersThatCannotBeWrittenAreAnError) {
  MutexGuard guard = box_.lock();
  const FullFileSystem full(10);
  EXPECT_EQ(guard.write({.last_ticket = 17, .grants = 4}).error().kind, ErrorKind::lock_file);
  EXPECT_NE(guard.counters().last_ticket, 17U);
}

TEST_F(MutexTest, ALockOnAFileThatWasReplacedIsNotBelieved) {
  other_.peek();  // opens the old file
  ASSERT_EQ(::unlink(file().c_str()), 0);
  const MutexGuard guard = box_.lock();  // of the new one
  EXPECT_FALSE(try_lock(other_).value());
}

TEST_F(MutexTest, ADirectoryThatWasRemovedIsReplaced) {
  std::filesystem::remove_all(dir_.path());
  EXPECT_EQ(try_lock(mutex_).error().kind, ErrorKind::replaced);
}

TEST_F(MutexTest, ADirectoryThatAnotherStandsInForIsReplaced) {
  ASSERT_EQ(::rename(dir_.path().c_str(), (box_.folder / "away").c_str()), 0);
  const LockDir instead = LockDir::open(box_.paths).value();
  EXPECT_EQ(try_lock(mutex_).error().kind, ErrorKind::replaced);
  Mutex in_it(instead);
  EXPECT_TRUE(try_lock(in_it).value());
}

TEST_F(MutexTest, WhatIsNoRegularFileIsAnErrorThatNamesWhoCanRemoveIt) {
  ASSERT_EQ(::mkfifo(file().c_str(), 0666), 0);
  const Result<std::optional<MutexGuard>> locked = try_lock(mutex_);
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().kind, ErrorKind::lock_file);
  EXPECT_NE(locked.error().text.find("not a regular file"), std::string::npos);
  EXPECT_NE(locked.error().text.find("can remove it"), std::string::npos);
}

TEST_F(MutexTest, ALinkIsNotFollowed) {
  write_text(box_.folder / "target", "");
  ASSERT_EQ(::symlink((box_.folder / "target").c_str(), file().c_str()), 0);
  EXPECT_EQ(try_lock(mutex_).error().errnum, ELOOP);
}

TEST_F(MutexTest, CatchableSignalsAreBlockedWhileItIsHeld) {
  sigset_t mask{};
  {
    const MutexGuard guard = box_.lock();
    ::sigprocmask(SIG_BLOCK, nullptr, &mask);
    for (const int signal : {SIGTERM, SIGINT, SIGTSTP, SIGALRM, SIGUSR1}) {
      EXPECT_EQ(::sigismember(&mask, signal), 1) << signal;
    }
    EXPECT_EQ(::sigismember(&mask, SIGSEGV), 0);
  }
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(::sigismember(&mask, SIGTERM), 0);
}

TEST_F(MutexTest, ASignalThatCameMeanwhileIsDeliveredAfterTheRelease) {
  static volatile std::sig_atomic_t came;
  came = 0;
  const auto before = std::signal(SIGUSR1, [](int) { came = 1; });
  {
    const MutexGuard guard = box_.lock();
    ::raise(SIGUSR1);
    EXPECT_EQ(came, 0);
  }
  EXPECT_EQ(came, 1);
  std::signal(SIGUSR1, before);
}

TEST_F(MutexTest, AnEndingSignalEndsTheWaitForIt) {
  const MutexGuard guard = box_.lock();
  Child waiter([&](const Child::Self& self) {
    sigset_t ending{};
    ::sigaddset(&ending, SIGTERM);
    ::sigprocmask(SIG_SETMASK, &ending, nullptr);
    self.tell(1);
    Mutex(dir_).lock(Clock::now() + milliseconds(kPatienceMs), ending, nullptr).value();
  });
  waiter.hear();
  waiter.signal(SIGTERM);
  const int status = waiter.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST_F(MutexTest, TheWaitForItChangesNoSignal) {
  sigset_t before{};
  ::sigprocmask(SIG_BLOCK, nullptr, &before);
  const MutexGuard guard = box_.lock();
  sigset_t held{};
  ::sigprocmask(SIG_BLOCK, nullptr, &held);
  EXPECT_FALSE(try_lock(other_).value());
  sigset_t after{};
  ::sigprocmask(SIG_BLOCK, nullptr, &after);
  for (int signal = 1; signal < NSIG; ++signal) {
    EXPECT_EQ(::sigismember(&held, signal), ::sigismember(&after, signal)) << signal;
  }
  for (const int signal : {SIGALRM, SIGURG}) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_DFL) << signal;
  }
}

/// Whom the callback names, where a child has taken the lock in this mode.
std::optional<pid_t> named_holder(const LockDir& dir, Mutex& mutex, int mode, pid_t& child) {
  mutex.peek();  // makes the file
  const Child holder([&](const Child::Self& self) {
    const int fd = ::openat(dir.root(), "mutex", O_RDONLY);
    self.tell(::flock(fd, mode) == 0 ? 1 : 0);
    Child::Self::stay();
  });
  EXPECT_EQ(holder.hear(), 1U);
  child = holder.pid();
  std::optional<pid_t> named;
  EXPECT_FALSE(mutex
                   .lock(Clock::now() + milliseconds(10), sigset_t{},
                         [&](std::optional<pid_t> pid) { named = pid; })
                   .value());
  return named;
}

TEST_F(MutexTest, WhoKeepsOthersWaitingIsNamed) {
  pid_t child = 0;
  EXPECT_EQ(named_holder(dir_, mutex_, LOCK_EX, child), child);
}

TEST_F(MutexTest, WhoHoldsItSharedIsNamedToo) {
  pid_t child = 0;
  EXPECT_EQ(named_holder(dir_, mutex_, LOCK_SH, child), child);
}

}  // namespace
}  // namespace gpu_gate
