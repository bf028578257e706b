#include "gate/fifo.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate/test_files.h"
#include "gate/test_process.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

class Fifo : public testing::Test {
 protected:
  bool held(const char* name) { return open_if_held(dir(), name).value().has_value(); }
  int dir() const { return folder_.fd(); }
  TestFolder folder_;
};

TEST_F(Fifo, IsHeldAsLongAsItsDescriptorIsOpen) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  EXPECT_TRUE(held("a"));
  lock.reset();
  EXPECT_FALSE(held("a"));
}

TEST_F(Fifo, ItsEndWakesWhoSleepsOnIt) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  std::optional<HeldFifo> seen = open_if_held(dir(), "a").value();
  ASSERT_TRUE(seen);
  EXPECT_FALSE(wakes(seen->read_end.get(), 0, 0));
  lock.reset();
  EXPECT_TRUE(wakes(seen->read_end.get(), 0));
}

TEST_F(Fifo, IsHeldByTheLastProcessThatInheritedIt) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  Idler heir;
  lock.reset();
  std::optional<HeldFifo> seen = open_if_held(dir(), "a").value();
  ASSERT_TRUE(seen);
  heir.end();
  EXPECT_TRUE(wakes(seen->read_end.get(), 0));
  EXPECT_FALSE(held("a"));
}

TEST_F(Fifo, ModesDoNotDependOnTheUmask) {
  const StrictUmask umask;
  create_held_fifo(dir(), "a").value();
  create_bell(dir(), "b").value();
  EXPECT_EQ(mode_of(folder_ / "a"), 01644U);
  EXPECT_EQ(mode_of(folder_ / "b"), 01622U);
}

TEST_F(Fifo, ANameThatIsTakenIsToldByErrno) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  EXPECT_EQ(create_held_fifo(dir(), "a").error().errnum, EEXIST);
  EXPECT_TRUE(held("a"));
}

TEST_F(Fifo, WhatIsNoFifoIsNotHeld) {
  UniqueFd(::openat(dir(), "file", O_CREAT | O_WRONLY, 0644));
  ASSERT_EQ(::mkdirat(dir(), "folder", 0755), 0);
  ASSERT_EQ(::symlinkat("file", dir(), "link"), 0);
  for (const char* name : {"file", "folder", "link", "gone"}) EXPECT_FALSE(held(name)) << name;
}

TEST_F(Fifo, ABellRemembersWhenItWasRung) {
  UniqueFd bell = create_bell(dir(), "b").value();
  EXPECT_FALSE(look_at_bell(dir(), "b").value()->pending);
  EXPECT_FALSE(ring(dir(), "b")->pending);
  EXPECT_TRUE(look_at_bell(dir(), "b").value()->pending);
  EXPECT_TRUE(ring(dir(), "b")->pending);
  answer_bell(bell.get());
  EXPECT_FALSE(look_at_bell(dir(), "b").value()->pending);
}

TEST_F(Fifo, RingingAgainDoesNotMakeAPendingRingYounger) {
  UniqueFd bell = create_bell(dir(), "b").value();
  ring(dir(), "b");
  const BellState before = *look_at_bell(dir(), "b").value();
  ::usleep(20000);  // more than the granularity of a file's time
  for (int i = 0; i < 100; ++i) ring(dir(), "b");
  EXPECT_GE(look_at_bell(dir(), "b").value()->age, before.age + std::chrono::milliseconds(20));
}

TEST_F(Fifo, AnAnswerEmptiesABellHoweverMuchSomebodyHasWritten) {
  UniqueFd bell = create_bell(dir(), "b").value();
  {
    const UniqueFd write_end(::openat(dir(), "b", O_WRONLY | O_NONBLOCK));
    ASSERT_GE(::fcntl(write_end.get(), F_SETPIPE_SZ, 1 << 16), 0);  // as anybody may who opens it
    const std::string noise(5000, 'a');
    ASSERT_EQ(::write(write_end.get(), noise.data(), noise.size()), 5000);
  }
  answer_bell(bell.get());
  EXPECT_FALSE(look_at_bell(dir(), "b").value()->pending);
}

TEST_F(Fifo, ABellThatNobodyHearsIsNothing) {
  create_bell(dir(), "b").value().reset();
  EXPECT_FALSE(ring(dir(), "b"));
  EXPECT_FALSE(look_at_bell(dir(), "gone").value());
}

TEST_F(Fifo, WhoOnlyWatchesDoesNotKeepItHeld) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  const std::optional<HeldFifo> watcher = open_if_held(dir(), "a").value();
  lock.reset();
  EXPECT_FALSE(held("a"));
}

TEST_F(Fifo, BytesInItDoNotMakeItLookDead) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  ASSERT_EQ(::write(lock.get(), "xy", 2), 2);
  EXPECT_TRUE(held("a"));
  EXPECT_TRUE(held("a"));
}

TEST_F(Fifo, BelongsToWhoMadeIt) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  EXPECT_EQ(open_if_held(dir(), "a").value()->owner, ::geteuid());
}

TEST_F(Fifo, ALackOfDescriptorsIsAnErrorAndNotAnEnd) {
  UniqueFd lock = create_held_fifo(dir(), "a").value();
  UniqueFd bell = create_bell(dir(), "b").value();
  const NoDescriptors none;
  EXPECT_EQ(open_if_held(dir(), "a").error().kind, ErrorKind::system);
  EXPECT_EQ(look_at_bell(dir(), "b").error().kind, ErrorKind::system);
}

TEST_F(Fifo, OneThatCouldNotBeOpenedIsRemovedAgain) {
  const NoDescriptors none;
  EXPECT_EQ(create_held_fifo(dir(), "a").error().errnum, EMFILE);
  EXPECT_FALSE(exists(folder_ / "a"));
}

TEST_F(Fifo, NoCommandInheritsADescriptorUnasked) {
  const UniqueFd lock = create_held_fifo(dir(), "a").value();
  const UniqueFd bell = create_bell(dir(), "b").value();
  const std::optional<HeldFifo> seen = open_if_held(dir(), "a").value();
  ASSERT_TRUE(seen);
  for (const int fd : {lock.get(), bell.get(), seen->read_end.get()}) {
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(Fifo, OthersWatchAHeldFifoAndRingABellButDoNoMore) {
  NEEDS_ROOT();
  const UniqueFd lock = create_held_fifo(dir(), "a").value();
  const UniqueFd bell = create_bell(dir(), "b").value();
  const Child other([&](const Child::Self& self) {
    become_nobody();
    self.tell(open_if_held(dir(), "a").value().has_value() ? 1 : 0);
    self.tell(ring(dir(), "b").has_value() ? 1 : 0);
    self.tell(::openat(dir(), "a", O_RDWR | O_NONBLOCK) < 0 ? 1 : 0);
    self.tell(::openat(dir(), "b", O_RDONLY | O_NONBLOCK) < 0 ? 1 : 0);
  });
  for (const char* what : {"watches", "rings", "cannot hold", "cannot hear"}) {
    EXPECT_EQ(other.hear(), 1U) << what;
  }
}

TEST_F(Fifo, ARingDoesNotKeepABellAlive) {
  UniqueFd bell = create_bell(dir(), "b").value();
  ring(dir(), "b");
  bell.reset();
  EXPECT_FALSE(look_at_bell(dir(), "b").value());
}

/// How many bytes are pending.
int pending_in(const UniqueFd& bell) {
  int bytes = 0;
  EXPECT_EQ(::ioctl(bell.get(), FIONREAD, &bytes), 0);
  return bytes;
}

/// As if the last byte had come that long ago.
void age(const UniqueFd& bell, std::chrono::milliseconds by) {
  const auto then = std::chrono::system_clock::now().time_since_epoch() - by;
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(then);
  const struct timespec time{
      .tv_sec = whole.count(),
      .tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(then - whole).count()};
  const struct timespec times[] = {time, time};
  ASSERT_EQ(::futimens(bell.get(), times), 0);
}

TEST_F(Fifo, ABellShowsThatItsWaiterIsInTheDriver) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  {
    const InDriver mark(bell.get());
    EXPECT_TRUE(look_at_bell(dir(), "b").value()->in_driver);
    EXPECT_TRUE(ring(dir(), "b")->in_driver);
  }
  EXPECT_FALSE(look_at_bell(dir(), "b").value()->in_driver);
  EXPECT_EQ(mode_of(folder_ / "b"), 01622U);
}

TEST_F(Fifo, AnybodyMakesARingYoungThatIsInTheFuture) {
  NEEDS_ROOT();
  const UniqueFd bell = create_bell(dir(), "b").value();
  age(bell, std::chrono::hours(-1));
  const Child other([&](const Child::Self& self) {
    become_nobody();
    self.tell(ring(dir(), "b")->age.count() == 0 ? 1 : 0);
  });
  EXPECT_EQ(other.hear(), 1U);
  const BellState state = *look_at_bell(dir(), "b").value();
  EXPECT_GE(state.age.count(), 0);
  EXPECT_LT(state.age, timing::kAnswer);
}

TEST_F(Fifo, ManyRingsAreTwoBytes) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  for (int i = 0; i < 5; ++i) ring(dir(), "b");
  EXPECT_EQ(pending_in(bell), 2);
}

TEST_F(Fifo, AQuestionIsAnsweredWithoutALook) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  for (int i = 0; i < 5; ++i) ask(dir(), "b");
  EXPECT_TRUE(look_at_bell(dir(), "b").value()->pending);
  EXPECT_EQ(answer_bell(bell.get()), Heard::question);
  EXPECT_FALSE(look_at_bell(dir(), "b").value()->pending);
}

TEST_F(Fifo, AnythingElseMeansALook) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  ring(dir(), "b");
  EXPECT_EQ(answer_bell(bell.get()), Heard::ring);
  for (const std::string bytes : {"l", "x", "aa", "al", "la"}) {
    const UniqueFd write_end(::openat(dir(), "b", O_WRONLY | O_NONBLOCK));
    ASSERT_EQ(::write(write_end.get(), bytes.data(), bytes.size()), ssize_t(bytes.size()));
    EXPECT_EQ(answer_bell(bell.get()), Heard::ring) << bytes;
  }
}

TEST_F(Fifo, ARingIsHeardBesideAQuestion) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  ask(dir(), "b");
  ring(dir(), "b");
  ring(dir(), "b");
  EXPECT_EQ(pending_in(bell), 3);
  EXPECT_EQ(answer_bell(bell.get()), Heard::ring);
}

TEST_F(Fifo, AnOldQuestionMeansALookAndNoRingMakesItYounger) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  ask(dir(), "b");
  age(bell, timing::kQuestionIsRing);
  ring(dir(), "b");
  EXPECT_EQ(pending_in(bell), 1);
  EXPECT_EQ(answer_bell(bell.get()), Heard::ring);
}

TEST_F(Fifo, WhatARingRelatesToIsNeverThrownAway) {
  EXPECT_GT(timing::kQuestionIsRing, timing::kNoAnswer);
  const UniqueFd bell = create_bell(dir(), "b").value();
  ask(dir(), "b");
  age(bell, std::chrono::hours(-1));  // the clock was set back since
  EXPECT_EQ(answer_bell(bell.get()), Heard::ring);
}

TEST_F(Fifo, TheWordThatOneIsNextIsHeardAsSuch) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  EXPECT_TRUE(tell_next(dir(), "b"));
  EXPECT_FALSE(may_be_rung(bell.get()));
  EXPECT_EQ(answer_bell(bell.get()), Heard::next);
}

TEST_F(Fifo, ARingIsHeardBesideTheWordThatOneIsNext) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  tell_next(dir(), "b");
  ring(dir(), "b");
  EXPECT_TRUE(may_be_rung(bell.get()));
  EXPECT_EQ(answer_bell(bell.get()), Heard::ring);
}

TEST_F(Fifo, AnOldWordThatOneIsNextMeansALookAndNoRingMakesItYounger) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  tell_next(dir(), "b");
  age(bell, timing::kQuestionIsRing);
  ring(dir(), "b");
  EXPECT_EQ(pending_in(bell), 1);
  EXPECT_EQ(answer_bell(bell.get()), Heard::ring);
}

TEST_F(Fifo, NobodyIsToldWhoHasSomethingToHear) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  ask(dir(), "b");
  EXPECT_FALSE(tell_next(dir(), "b"));
  EXPECT_EQ(answer_bell(bell.get()), Heard::question);
  EXPECT_FALSE(tell_next(dir(), "nobody"));
}

TEST_F(Fifo, WhatIsPendingIsNoQuestionsBusiness) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  ring(dir(), "b");
  ask(dir(), "b");
  EXPECT_EQ(pending_in(bell), 2);
}

TEST_F(Fifo, AFloodedBellIsReadToAnEnd) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  const Child flood([&](const Child::Self& self) {
    const int fd = ::openat(dir(), "b", O_WRONLY);
    ::fcntl(fd, F_SETPIPE_SZ, 1 << 20);
    const std::string bytes(1 << 16, 'l');
    for (bool told = false;; told = true) {
      if (::write(fd, bytes.data(), bytes.size()) < 0) ::_exit(1);
      if (!told) self.tell(1);
    }
  });
  flood.hear();
  answer_bell(bell.get());  // returns, whatever comes meanwhile
}

TEST_F(Fifo, ThousandsTakeNothingOfWhatAUsersPipesMayHave) {
  NEEDS_ROOT();
  struct rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  constexpr int kWaiters = 1200;
  if (limit.rlim_max < 2 * kWaiters + 100) GTEST_SKIP() << "too few descriptors may be open";
  ASSERT_EQ(::fchmod(dir(), 0777), 0);
  const Child user([&](const Child::Self& self) {
    const struct rlimit all{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &all);
    become_nobody();
    std::vector<UniqueFd> fifos;
    for (int i = 0; i < kWaiters; ++i) {
      for (const auto& fifo : {&create_held_fifo, &create_bell}) {
        auto made = fifo(dir(), std::to_string(fifos.size()));
        if (!made) ::_exit(1);
        fifos.push_back(std::move(*made));
      }
    }
    const Pipe another;
    self.tell(static_cast<std::uint64_t>(::fcntl(another.write_end.get(), F_GETPIPE_SZ)));
  });
  EXPECT_EQ(user.hear(), 65536U);
}

TEST_F(Fifo, WhatIsNoBellIsNeitherRungNorWrittenTo) {
  const UniqueFd bell = create_bell(dir(), "b").value();
  write_text(folder_ / "file", "text");
  ASSERT_EQ(::symlinkat("b", dir(), "link"), 0);
  for (const char* name : {"file", "link"}) EXPECT_FALSE(ring(dir(), name)) << name;
  EXPECT_EQ(read_text(folder_ / "file"), "text");
  EXPECT_FALSE(look_at_bell(dir(), "b").value()->pending);
}

}  // namespace
}  // namespace gpu_gate
