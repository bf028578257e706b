#include "job/command.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/process.h"
#include "base/test_child.h"
#include "base/test_folder.h"

namespace gpu_gate {
namespace {

class FindCommand : public testing::Test {
 protected:
  void SetUp() override {
    make("run", 0755);
    make("plain", 0644);
    folder_.make_folder("sub");
  }
  void make(const std::string& name, mode_t mode) const {
    folder_.write(name, "#!/bin/sh\n", mode);
  }
  Error refusal(const std::string& name, const std::string& path) const {
    const Result<std::string> found = find_command(name, path.c_str());
    return found ? Error{.text = "found " + *found} : found.error();
  }
  TestFolder folder_;
};

TEST_F(FindCommand, SearchesPathInOrder) {
  const std::string path = "/nonexistent:" + folder_.path() + ":/bin";
  EXPECT_EQ(find_command("run", path.c_str()).value(), folder_.path() + "/run");
}

TEST_F(FindCommand, TakesANameWithASlashAsItIs) {
  EXPECT_EQ(find_command(folder_.path() + "/run", "/bin").value(), folder_.path() + "/run");
  EXPECT_EQ(find_command(folder_.path() + "/gone", "/bin").error().kind, ErrorKind::not_found);
}

TEST_F(FindCommand, TellsMissingFromNotExecutable) {
  EXPECT_EQ(find_command("gone", folder_.path().c_str()).error().kind, ErrorKind::not_found);
  EXPECT_EQ(find_command("plain", folder_.path().c_str()).error().kind, ErrorKind::not_executable);
  EXPECT_EQ(find_command("sub", folder_.path().c_str()).error().kind, ErrorKind::not_executable);
  EXPECT_EQ(find_command("", folder_.path().c_str()).error().kind, ErrorKind::not_found);
}

TEST_F(FindCommand, GoesOnAfterOneThatCannotBeExecuted) {
  const std::string path = folder_.path() + ":/bin";
  make("sh", 0644);
  EXPECT_EQ(find_command("sh", path.c_str()).value(), "/bin/sh");
}

TEST_F(FindCommand, AnEmptyEntryIsTheCurrentDirectory) {
  ASSERT_EQ(::chdir(folder_.path().c_str()), 0);
  EXPECT_EQ(find_command("run", "/nonexistent:").value(), "./run");
  EXPECT_EQ(find_command("run", "").value(), "./run");
  ASSERT_EQ(::chdir("/"), 0);
}

TEST_F(FindCommand, NeitherAFileNorAFifoInTheWayIsACommand) {
  ASSERT_EQ(::mkfifo(folder_.path("fifo").c_str(), 0777), 0);
  EXPECT_EQ(refusal("fifo", folder_.path()).kind, ErrorKind::not_executable);
  EXPECT_EQ(refusal("run", folder_.path("plain")).kind, ErrorKind::not_found);
  EXPECT_EQ(refusal(folder_.path("plain/run"), "").kind, ErrorKind::not_found);
}

TEST_F(FindCommand, SaysWhatIsWrongAsAShellDoes) {
  EXPECT_EQ(refusal("gone", folder_.path()).text, "gone: command not found");
  EXPECT_EQ(refusal("plain", folder_.path()).text, "plain: Permission denied");
  EXPECT_EQ(refusal("sub", folder_.path()).text, "sub: Is a directory");
  EXPECT_EQ(refusal("", folder_.path()).text, "'': command not found");
  EXPECT_EQ(refusal("a\x1b[2J\n", folder_.path()).text, "a\\x1b[2J\\n: command not found");
}

TEST_F(FindCommand, OneThatCannotBeExecutedIsToldThoughLaterPlacesHaveNone) {
  EXPECT_EQ(refusal("plain", folder_.path() + ":/nonexistent").kind, ErrorKind::not_executable);
  EXPECT_EQ(refusal("plain", "/nonexistent:" + folder_.path()).errnum, EACCES);
}

TEST_F(FindCommand, OfSeveralTheFirstInPathCounts) {
  folder_.write("other/run", "#!/bin/sh\n", 0755);
  const std::string here = folder_.path();
  const std::string other = folder_.path("other");
  EXPECT_EQ(find_command("run", (other + ":" + here).c_str()).value(), other + "/run");
  EXPECT_EQ(find_command("run", (here + ":" + other).c_str()).value(), here + "/run");
}

TEST_F(FindCommand, WithoutPathTheSystemsOwnPlacesAreSearched) {
  const std::string found = find_command("sh", nullptr).value();
  EXPECT_TRUE(found == "/bin/sh" || found == "/usr/bin/sh") << found;
  EXPECT_EQ(find_command("run", nullptr).error().kind, ErrorKind::not_found);
}

TEST_F(FindCommand, FollowsALinkAndNotOneThatEndsNowhere) {
  ASSERT_EQ(::symlink("run", folder_.path("link").c_str()), 0);
  ASSERT_EQ(::symlink("gone", folder_.path("dangling").c_str()), 0);
  ASSERT_EQ(::symlink("loop", folder_.path("loop").c_str()), 0);
  EXPECT_EQ(find_command("link", folder_.path().c_str()).value(), folder_.path("link"));
  EXPECT_EQ(refusal("dangling", folder_.path()).kind, ErrorKind::not_found);
  EXPECT_EQ(refusal("loop", folder_.path()).kind, ErrorKind::not_executable);
}

TEST_F(FindCommand, ANameTooLongForAFileIsNotFoundOrNotExecutableButNoCrash) {
  EXPECT_EQ(refusal(std::string(5000, 'x'), folder_.path()).errnum, ENAMETOOLONG);
}

/// Descriptors as a claim has them: close-on-exec, somewhere above the standard ones.
std::vector<UniqueFd> claim_of(int count) {
  std::vector<UniqueFd> held;
  for (int i = 0; i < count; ++i) held.emplace_back(::open("/", O_RDONLY | O_CLOEXEC));
  return held;
}

/// " 720 721": the numbers; " 720!" where one is closed or would not be inherited.
std::string numbers(const std::vector<UniqueFd>& held) {
  std::string text;
  for (const UniqueFd& fd : held) {
    const int flags = ::fcntl(fd.get(), F_GETFD);
    text += " " + std::to_string(fd.get()) + (flags == 0 ? "" : "!");
  }
  return text;
}

/// Closes all but the standard ones that could be in the way, so that a test may count on numbers.
void close_others() {
  for (int fd = 3; fd < 256; ++fd) ::close(fd);
}

void limit_files(rlim_t count) {
  const struct rlimit limit{.rlim_cur = count, .rlim_max = count};
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/// Where `count` descriptors end up in a process that may open files up to this number.
std::string handed_over(int count, rlim_t limit) {
  return in_child([count, limit] {
           close_others();
           std::vector<UniqueFd> held = claim_of(count);
           limit_files(limit);
           const Status status = hand_over(held);
           return status ? numbers(held) : status.error().text;
         })
      .said;
}

TEST(HandOver, PutsTheClaimFrom720OnInItsOrder) {
  EXPECT_EQ(handed_over(1, 1024), " 720");
  EXPECT_EQ(handed_over(3, 1024), " 720 721 722");
  EXPECT_EQ(handed_over(0, 1024), "");
}

TEST(HandOver, TakesTheNumbersThatAreFree) {
  const ChildEnd end = in_child([] {
    close_others();
    std::vector<UniqueFd> held = claim_of(2);
    limit_files(1024);
    ::dup2(0, 720);
    ::dup2(0, 722);
    return hand_over(held) ? numbers(held) : std::string("failed");
  });
  EXPECT_EQ(end.said, " 721 723");
}

TEST(HandOver, ClosesTheNumbersOfBefore) {
  const ChildEnd end = in_child([] {
    close_others();
    std::vector<UniqueFd> held = claim_of(2);
    limit_files(1024);
    if (!hand_over(held)) return std::string("failed");
    std::string open;
    for (int fd = 3; fd < 1024; ++fd) {
      if (::fcntl(fd, F_GETFD) >= 0) open += " " + std::to_string(fd);
    }
    return open;
  });
  EXPECT_EQ(end.said, " 720 721");
}

TEST(HandOver, TheNumbersAreOfTheSameFiles) {
  const TestFolder folder;
  folder.write("a", "first");
  folder.write("b", "second");
  const ChildEnd end = in_child([&] {
    close_others();
    limit_files(1024);
    std::vector<UniqueFd> held;
    for (const char* name : {"a", "b"}) {
      held.emplace_back(::open(folder.path(name).c_str(), O_RDONLY | O_CLOEXEC));
    }
    if (!hand_over(held)) return std::string("failed");
    return read_all(720) + " " + read_all(721);
  });
  EXPECT_EQ(end.said, "first second");
}

TEST(HandOver, UnderALowLimitTakesTheHighestNumbersThatThereAre) {
  EXPECT_EQ(handed_over(1, 721), " 720");
  EXPECT_EQ(handed_over(2, 722), " 720 721");
  EXPECT_EQ(handed_over(1, 720), " 719");
  EXPECT_EQ(handed_over(3, 64), " 61 62 63");
  EXPECT_EQ(handed_over(3, 10), " 7 8 9");
}

TEST(HandOver, WhereNoNumberIsLeftTheClaimKeepsItsOwn) {
  EXPECT_EQ(handed_over(4, 7), " 3 4 5 6");
  EXPECT_EQ(handed_over(4, 4), " 3 4 5 6");  // opened before the limit fell
  EXPECT_EQ(handed_over(4, 0), " 3 4 5 6");
}

TEST(HandOver, NeverTakesAStandardDescriptor) {
  for (rlim_t limit = 0; limit < 12; ++limit) {
    for (int count = 1; count < 6; ++count) {
      const std::string said = handed_over(count, limit) + " ";
      for (const char* number : {" 0 ", " 1 ", " 2 ", "!"}) {
        EXPECT_EQ(said.find(number), std::string::npos) << limit << ": " << said;
      }
      EXPECT_EQ(std::count(said.begin(), said.end(), ' '), count + 1) << limit << ": " << said;
    }
  }
}

TEST(HandOver, WhatIsNotOpenCannotBeHandedOver) {
  std::vector<UniqueFd> held;
  held.emplace_back();
  const Status status = hand_over(held);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::system);
  EXPECT_EQ(status.error().errnum, EBADF);
}

/// The numbers above the standard ones that are open after room was made for `count`.
std::string open_after_reserving(std::size_t count, rlim_t limit) {
  return in_child([count, limit] {
           close_others();
           limit_files(limit);
           reserve_descriptors(count);
           std::string open;
           for (int fd = 3; fd < 2048; ++fd) {
             if (::fcntl(fd, F_GETFD) >= 0) open += " " + std::to_string(fd);
           }
           return open;
         })
      .said;
}

TEST(ReserveDescriptors, LeavesNothingOpenWhateverTheCountAndTheLimit) {
  for (const std::size_t count : {0U, 1U, 8U, 1024U, ~0U}) {
    for (const rlim_t limit : {3U, 10U, 721U, 1024U}) {
      EXPECT_EQ(open_after_reserving(count, limit), "") << count << " " << limit;
    }
  }
}

/// How many descriptors this process's table has room for (proc(5)).
int room_for_descriptors() {
  const std::string status = read_small_file("/proc/self/status", 4096).value_or("");
  const std::size_t at = status.find("FDSize:");
  return at == std::string::npos ? -1 : std::atoi(status.c_str() + at + 7);
}

TEST(ReserveDescriptors, LeavesNoRoomToBeMadeByTheHandOver) {
  const ChildEnd end = in_child([] {
    close_others();
    limit_files(2048);
    std::vector<UniqueFd> held = claim_of(400);  // 720 to 1119, and tables grow by powers of two
    reserve_descriptors(held.size());
    const int before = room_for_descriptors();
    const bool done = hand_over(held).has_value();
    return std::to_string(done ? room_for_descriptors() - before : -1);
  });
  EXPECT_EQ(end.said, "0");
}

using Words = std::vector<std::string>;

/// What the command says, or the error where there is none; its kind is in front of that.
ChildEnd executed(const std::string& file, const Words& words, const Words& environment = {}) {
  return in_child([&] {
    const Error error = exec_command(file, words, environment);
    const char* kind = error.kind == ErrorKind::not_found        ? "not found: "
                       : error.kind == ErrorKind::not_executable ? "not executable: "
                                                                 : "odd: ";
    return kind + error.text;
  });
}

TEST(ExecCommand, GivesTheWordsAsTheyAre) {
  const Words words{"odd name", "-c",    R"(printf '<%s>' "$0" "$@")", "zero", "", "a b",
                    "*",        "\n\xff"};
  EXPECT_EQ(executed("/bin/sh", words).said, "<zero><><a b><*><\n\xff>");
}

TEST(ExecCommand, GivesTheNameThatWasTypedAsTheFirstWord) {
  using std::string_literals::operator""s;
  // The colon keeps the shell from becoming cat.
  EXPECT_EQ(executed("/bin/sh", {"odd name", "-c", "cat /proc/$$/cmdline; :"}).said,
            "odd name\0-c\0cat /proc/$$/cmdline; :\0"s);
}

TEST(ExecCommand, GivesTheEnvironmentAndNothingOfItsOwn) {
  EXPECT_EQ(executed("/usr/bin/env", {"env"}, {"A=1", "EMPTY=", "B=two words\n3"}).said,
            "A=1\nEMPTY=\nB=two words\n3\n");
  EXPECT_EQ(executed("/usr/bin/env", {"env"}, {}).said, "");
}

TEST(ExecCommand, TheExitStatusIsTheCommands) {
  EXPECT_TRUE(executed("/bin/sh", {"sh", "-c", "exit 17"}).exited(17));
  EXPECT_TRUE(executed("/bin/sh", {"sh", "-c", "kill -TERM $$"}).died_of(SIGTERM));
}

TEST(ExecCommand, AScriptWithoutAnInterpreterLineIsGivenToTheShell) {
  const TestFolder folder;
  const std::string script = folder.write("script", "printf '<%s>' \"$0\" \"$@\" \"$A\"\n", 0755);
  EXPECT_EQ(executed(script, {"script", "a b", ""}, {"A=1"}).said, "<" + script + "><a b><><1>");
}

TEST(ExecCommand, AnEmptyFileIsAScriptThatDoesNothing) {
  const TestFolder folder;
  const ChildEnd end = executed(folder.write("empty", "", 0755), {"empty"});
  EXPECT_EQ(end.said, "");
  EXPECT_TRUE(end.exited(0));
}

TEST(ExecCommand, AMissingInterpreterIsToldAsSuch) {
  const TestFolder folder;
  const std::string script = folder.write("script", "#!/nonexistent/python\n", 0755);
  EXPECT_EQ(executed(script, {"script"}).said,
            "not found: " + script + ": its interpreter is missing");
}

TEST(ExecCommand, ACommandThatIsGoneByNowIsNotFound) {
  const TestFolder folder;
  EXPECT_EQ(executed(folder.path("gone"), {"gone"}).said,
            "not found: " + folder.path("gone") + ": command not found");
}

TEST(ExecCommand, AFileWithoutTheRightIsNotExecutable) {
  const TestFolder folder;
  const std::string plain = folder.write("plain", "#!/bin/sh\n", 0644);
  EXPECT_EQ(executed(plain, {"plain"}).said, "not executable: " + plain + ": Permission denied");
}

TEST(ExecCommand, WordsThatAreTooLongAreToldAsSuch) {
  EXPECT_EQ(executed("/bin/sh", {"sh", std::string(4 << 20, 'x')}).said,
            "not executable: /bin/sh: Argument list too long");
}

TEST(ExecCommand, ADescriptorHandedOverReachesTheCommandAndOthersDoNot) {
  const TestFolder folder;
  folder.write("claim", "held");
  const ChildEnd end = in_child([&] {
    close_others();
    limit_files(1024);
    std::vector<UniqueFd> held;
    held.emplace_back(::open(folder.path("claim").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd own(::open("/", O_RDONLY | O_CLOEXEC));
    ::dup3(own.get(), 9, O_CLOEXEC);
    if (!hand_over(held)) return std::string("failed");
    const char* script =
        "cat /proc/self/fd/720; [ -e /proc/$$/fd/720 ] && [ ! -e /proc/$$/fd/9 ] && echo ' only'";
    return exec_command("/bin/sh", {"sh", "-c", script}, {"PATH=/bin:/usr/bin"}).text;
  });
  EXPECT_EQ(end.said, "held only\n");
}

}  // namespace
}  // namespace gpu_gate
