#include "base/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/test_child.h"
#include "base/test_folder.h"

namespace gpu_gate {
namespace {

/// A folder in place of /proc.
class FakeProc : public testing::Test {
 protected:
  /// A stat file as proc(5) has it, of a process with this name.
  void set_stat(const std::string& name, char state = 'S', const char* start = "987654") const {
    proc_.write("42/stat", stat_of(name, state, kLiving, 1, start));
  }
  /// The same of a process whose first thread is in this state, with so many threads.
  void set_threads(char state, unsigned flags, int threads) const {
    proc_.write("42/stat", stat_of("python", state, flags, threads, "987654"));
  }
  void set_thread(int tid, char state, unsigned flags) const {
    proc_.write("42/task/" + std::to_string(tid) + "/stat",
                stat_of("python", state, flags, 2, "1"));
  }
  static std::string stat_of(const std::string& name, char state, unsigned flags, int threads,
                             const char* start) {
    return "42 (" + name + ") " + state + " 7 42 42 0 -1 " + std::to_string(flags) +
           " 1 2 3 4 5 6 7 8 20 0 " + std::to_string(threads) + " 0 " + start +
           " 1000 200 18446744073709551615\n";
  }
  static constexpr unsigned kLiving = 4194560;
  static constexpr unsigned kExiting = kLiving | 4;
  bool lives(std::uint64_t start = 987654) const { return process_lives(42, start, proc_.path()); }
  std::optional<ProcessIdentity> identity() const { return process_identity(42, proc_.path()); }
  pid_t parent() const { return parent_of(42, proc_.path()); }
  std::string command(std::size_t limit = 4096) const {
    return process_command(42, limit, proc_.path());
  }

  TestFolder proc_;
};

TEST_F(FakeProc, AnIdentityIsThePidTheStartAndTheOwnerOfTheFolder) {
  set_stat("python");
  ASSERT_TRUE(identity());
  EXPECT_EQ(identity()->pid, 42);
  EXPECT_EQ(identity()->start_ticks, 987654U);
  EXPECT_EQ(identity()->uid, ::geteuid());
}

TEST_F(FakeProc, TheOwnerMayBeAnotherUser) {
  set_stat("python");
  if (::chown(proc_.path("42").c_str(), 12345, 12345) != 0) {
    GTEST_SKIP() << "only root can give a folder away";
  }
  ASSERT_TRUE(identity());
  EXPECT_EQ(identity()->uid, 12345U);
}

TEST_F(FakeProc, ANameMayHoldWhateverItWants) {
  for (const char* name :
       {"", " ", ")", "(", "a) Z 1 (b", ") Z 1 1 1 1", "tmux: server", "new\nline", "\xff\xfe"}) {
    set_stat(name);
    ASSERT_TRUE(identity()) << name;
    EXPECT_EQ(identity()->start_ticks, 987654U) << name;
    EXPECT_EQ(parent(), 7) << name;
  }
}

TEST_F(FakeProc, AStartTimeMayTakeAllItsBits) {
  set_stat("python", 'S', "18446744073709551615");
  ASSERT_TRUE(identity());
  EXPECT_EQ(identity()->start_ticks, 18446744073709551615U);
}

TEST_F(FakeProc, AZombieIsDead) {
  for (const char state : {'Z', 'X'}) {
    set_stat("python", state);
    EXPECT_FALSE(identity()) << state;
  }
}

TEST_F(FakeProc, EveryOtherStateIsAlive) {
  for (const char state : {'R', 'S', 'D', 'T', 't', 'I', 'P'}) {
    set_stat("python", state);
    EXPECT_TRUE(identity()) << state;
  }
}

TEST_F(FakeProc, AProcessLivesUntilItBeginsToEnd) {
  for (const char state : {'R', 'S', 'D', 'T', 't', 'I', 'P'}) {
    set_threads(state, kLiving, 1);
    EXPECT_TRUE(lives()) << state;
    set_threads(state, kExiting, 1);
    EXPECT_FALSE(lives()) << state;
  }
  for (const char state : {'Z', 'X'}) {
    set_threads(state, kExiting, 1);
    EXPECT_FALSE(lives()) << state;
  }
}

TEST_F(FakeProc, OneWithAnotherStartTimeIsAnother) {
  set_stat("python");
  EXPECT_FALSE(lives(987653));
}

TEST_F(FakeProc, AProcessWhoseFirstThreadHasEndedLivesWithTheOthers) {
  set_threads('Z', kExiting, 2);
  set_thread(42, 'Z', kExiting);
  set_thread(43, 'S', kLiving);
  EXPECT_TRUE(lives());
  set_thread(43, 'R', kExiting);
  EXPECT_FALSE(lives());
}

/// A process 42 of parent 7 and session 5; who else is there and whose they are is the test's.
class MayBeProcessOf : public FakeProc {
 protected:
  void process(int pid, uid_t uid, const std::string& stat = "") const {
    const std::string name = std::to_string(pid);
    proc_.write(name + "/stat", stat);
    if (::chown(proc_.path(name).c_str(), uid, uid) != 0) GTEST_SKIP() << "only root can give";
  }
  void SetUp() override { set_parent(7); }
  void set_parent(int pid) const {
    process(42, 0, "42 (sudo) S " + std::to_string(pid) + " 42 5 0 -1 4194560 1");
  }
  bool is_of(uid_t uid) const { return may_be_process_of(uid, 42, proc_.path()); }
};

TEST_F(MayBeProcessOf, TheUserWhoseItIs) {
  process(5, 12345);
  EXPECT_TRUE(is_of(0));
  EXPECT_FALSE(is_of(1));
}

TEST_F(MayBeProcessOf, TheUserWhoseParentOrSessionItHas) {
  process(7, 1000);
  process(5, 1001);
  EXPECT_TRUE(is_of(1000));
  EXPECT_TRUE(is_of(1001));
  EXPECT_FALSE(is_of(1002));
}

TEST_F(MayBeProcessOf, AnybodyOnceItsParentAndTheLeaderOfItsSessionHaveEnded) {
  process(7, 0);
  EXPECT_FALSE(is_of(1000));
  process(1, 0);
  set_parent(1);
  EXPECT_TRUE(is_of(1000));
  process(5, 0);
  EXPECT_FALSE(is_of(1000));
}

TEST_F(MayBeProcessOf, NobodyWhereItIsAThreadOfTheKernel) {
  process(42, 0, "42 (kworker) S 2 0 0 0 -1 69238880 0");
  process(2, 0);
  EXPECT_FALSE(is_of(1000));
}

TEST_F(MayBeProcessOf, AnybodyWhereItCannotBeLookedAt) {
  EXPECT_TRUE(may_be_process_of(1000, 43, proc_.path()));
}

TEST(ProcessLives, WhereItCannotBeLookedAtIfItsPidDoes) {
  const std::string nowhere = "/nonexistent";
  EXPECT_TRUE(process_lives(::getpid(), 1, nowhere));
  EXPECT_TRUE(process_lives(1, 1, nowhere));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(process_lives(child, 1, nowhere)) << "a zombie";
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(process_lives(child, 1, nowhere)) << "gone";
}

TEST(OpenPidfd, WakesAtTheEndOfTheProcess) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const PidFd end = open_pidfd(child);
  ASSERT_TRUE(end.fd);
  EXPECT_EQ(end.errnum, 0);
  struct pollfd wait{.fd = end.fd.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
  ::kill(child, SIGKILL);
  EXPECT_EQ(::poll(&wait, 1, 10000), 1);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(open_pidfd(child).errnum, ESRCH);
}

TEST_F(FakeProc, AProcessThatIsGoneHasNothing) {
  EXPECT_FALSE(identity());
  EXPECT_EQ(parent(), 0);
  EXPECT_EQ(command(), "");
}

TEST_F(FakeProc, AStatFileWithoutAStateIsNoProcess) {
  proc_.make_folder("42");
  EXPECT_FALSE(identity());  // its stat is hidden, or it ended just now
  for (const char* text : {"", "42", "42 (python", "42 (python)", "42 (python) "}) {
    proc_.write("42/stat", text);
    EXPECT_FALSE(identity()) << text;
    EXPECT_EQ(parent(), 0) << text;
  }
}

TEST_F(FakeProc, NumbersThatAreMissingAreNought) {
  for (const char* text : {"42 (python) S", "42 (python) S ", "42 (python) S x"}) {
    proc_.write("42/stat", text);
    ASSERT_TRUE(identity()) << text;
    EXPECT_EQ(identity()->start_ticks, 0U) << text;
    EXPECT_EQ(parent(), 0) << text;
  }
}

TEST_F(FakeProc, ACommandIsItsWordsWithSpacesBetween) {
  using std::string_view_literals::operator""sv;
  proc_.write("42/cmdline", "python\0train.py\0--name\0a b\0"sv);
  EXPECT_EQ(command(), "python train.py --name a b");
}

TEST_F(FakeProc, EmptyWordsOfACommandStayExceptAtItsEnd) {
  using std::string_view_literals::operator""sv;
  proc_.write("42/cmdline", "sh\0\0-c\0\0\0"sv);
  EXPECT_EQ(command(), "sh  -c");
}

TEST_F(FakeProc, ACommandIsCutAtTheLimitAndOtherwiseLeftAsItIs) {
  using std::string_view_literals::operator""sv;
  proc_.write("42/cmdline", "a\nb\x1b[2J\xff\0rest\0"sv);
  EXPECT_EQ(command(), "a\nb\x1b[2J\xff rest");
  EXPECT_EQ(command(3), "a\nb");
  EXPECT_EQ(command(9), "a\nb\x1b[2J\xff");
}

TEST_F(FakeProc, AProcessWithoutACommandIsToldByItsNameInBrackets) {
  proc_.write("42/cmdline", "");
  proc_.write("42/comm", "kworker/0:1\n");
  EXPECT_EQ(command(), "[kworker/0:1]");
  proc_.write("42/comm", "\n");
  EXPECT_EQ(command(), "");
}

TEST_F(FakeProc, ACommandOfEmptyWordsIsNone) {
  using std::string_view_literals::operator""sv;
  proc_.write("42/cmdline", "\0\0\0"sv);
  proc_.write("42/comm", "odd\n");
  EXPECT_EQ(command(), "[odd]");
}

TEST(Process, KnowsItself) {
  const auto self = process_identity(::getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(self->pid, ::getpid());
  EXPECT_EQ(self->uid, ::geteuid());
  EXPECT_GT(self->start_ticks, 0U);
  EXPECT_EQ(process_identity(::getpid())->start_ticks, self->start_ticks);
  EXPECT_EQ(parent_of(::getpid()), ::getppid());
}

TEST(Process, TellsItsOwnCommand) {
  const std::string command = process_command(::getpid(), 4096);
  EXPECT_NE(command.find("unit_tests"), std::string::npos) << command;
  EXPECT_EQ(process_command(::getpid(), 3), command.substr(0, 3));
}

TEST(Process, NoProcessHasTheseNumbers) {
  for (const pid_t pid : {0, -1}) {
    EXPECT_FALSE(process_identity(pid)) << pid;
    EXPECT_EQ(parent_of(pid), 0) << pid;
    EXPECT_EQ(process_command(pid, 100), "") << pid;
  }
}

TEST(Process, AChildLivesUntilItsEndAndNotUntilItIsCollected) {
  TestPipe pipe;
  const pid_t child = ::fork();
  if (child == 0) {
    pipe.write_end.reset();
    read_all(pipe.read_end.get());
    ::_exit(0);
  }
  ASSERT_GT(child, 0);
  const auto alive = process_identity(child);
  ASSERT_TRUE(alive);
  EXPECT_GE(alive->start_ticks, process_identity(::getpid())->start_ticks);
  EXPECT_EQ(parent_of(child), ::getpid());
  pipe.write_end.reset();
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(process_identity(child));  // a zombie
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(process_identity(child));
  EXPECT_EQ(parent_of(child), 0);
  EXPECT_EQ(process_command(child, 100), "");
}

TEST(Process, AChildSharesThePidNamespace) {
  EXPECT_NE(pid_namespace(), 0U);
  EXPECT_EQ(in_child([] { return std::to_string(pid_namespace()); }).said,
            std::to_string(pid_namespace()));
}

TEST(Process, AUserWithoutANameIsToldByNumber) {
  EXPECT_EQ(user_name(0), "root");
  EXPECT_EQ(user_name(3987654321U), "3987654321");
}

TEST(SmallFile, IsReadUpToTheLimit) {
  const TestFolder folder;
  const std::string file = folder.write("file", "0123456789");
  EXPECT_EQ(read_small_file(file, 100), "0123456789");
  EXPECT_EQ(read_small_file(file, 10), "0123456789");
  EXPECT_EQ(read_small_file(file, 4), "0123");
  EXPECT_EQ(read_small_file(file, 0), "");
}

TEST(SmallFile, KeepsEveryByte) {
  const TestFolder folder;
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  EXPECT_EQ(read_small_file(folder.write("file", bytes), 1000), bytes);
}

TEST(SmallFile, OneThatIsMissingIsNotOneThatIsEmpty) {
  const TestFolder folder;
  EXPECT_EQ(read_small_file(folder.write("empty", ""), 100), "");
  EXPECT_EQ(read_small_file(folder.path("missing"), 100), std::nullopt);
  EXPECT_EQ(read_small_file(folder.path("empty") + "/below", 100), std::nullopt);
}

TEST(SmallFile, AFifoWithoutAWriterDoesNotBlock) {
  const TestFolder folder;
  ASSERT_EQ(::mkfifo(folder.path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_small_file(folder.path("fifo"), 100), "");
}

TEST(ProcessState, IsTheLetterOfProc) {
  EXPECT_EQ(process_state(::getpid()), 'R');
  EXPECT_EQ(process_state(::getpid(), "/nonexistent"), '\0');
}

TEST(DescendsFrom, ItselfAndThoseItComesOf) {
  EXPECT_TRUE(descends_from(::getpid(), ::getpid()));
  EXPECT_EQ(descends_from(::getpid(), ::getppid()), ::getppid() > 1);
  EXPECT_FALSE(descends_from(::getppid(), ::getpid()));
  EXPECT_FALSE(descends_from(::getpid(), ::getppid(), "/nonexistent"));
}

}  // namespace
}  // namespace gpu_gate
