#include "cli/console.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "cli/test_streams.h"
#include "cli/test_text.h"

namespace gpu_gate {
namespace {

const std::string kRewrite = "\r\x1b[K";

struct Pipe {
  explicit Pipe(int flags = 0) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | flags) != 0) std::abort();
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

/// What comes out of a pipe until its last writer is gone.
std::string drained(int fd) {
  std::string text;
  std::array<char, 4096> bytes{};
  for (;;) {
    struct pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    ::poll(&readable, 1, -1);
    const ssize_t size = ::read(fd, bytes.data(), bytes.size());
    if (size <= 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(size));
  }
}

Status print_to(int fd, const std::string& text) {
  const Redirected redirected(STDOUT_FILENO, fd);
  return print(text);
}

/// What `call` makes of SIGPIPE where that would end the process.
template <class Call>
bool leaves_no_sigpipe(const Call& call) {
  struct sigaction before{};
  struct sigaction deadly{};
  deadly.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &deadly, &before);
  call();
  ::sigaction(SIGPIPE, &before, nullptr);
  sigset_t pending;
  ::sigpending(&pending);
  return ::sigismember(&pending, SIGPIPE) == 0;
}

TEST(Say, PutsTheProgramsNameBeforeEachLine) {
  EXPECT_EQ(told([] { say("one\n  two\n"); }), "gpu-gate: one\ngpu-gate:   two\n");
}

TEST(Say, EndsTheLastLine) {
  EXPECT_EQ(told([] { say("one"); }), "gpu-gate: one\n");
}

TEST(Say, KeepsEmptyLinesAndSaysNothingOfNothing) {
  EXPECT_EQ(told([] { say("a\n\nb"); }), "gpu-gate: a\ngpu-gate: \ngpu-gate: b\n");
  EXPECT_EQ(told([] { say(""); }), "");
}

TEST(Say, IsNoOutput) {
  EXPECT_EQ(written_to(STDOUT_FILENO, [] { told([] { say("x"); }); }), "");
}

TEST(Say, WritesALineInOnePiece) {
  // Of a pipe in packet mode each read gives what one write put in.
  const Pipe pipe(O_DIRECT | O_NONBLOCK);
  {
    const Redirected redirected(STDERR_FILENO, pipe.write_end.get());
    say("one\ntwo");
  }
  std::array<char, 4096> bytes{};
  const ssize_t size = ::read(pipe.read_end.get(), bytes.data(), bytes.size());
  EXPECT_EQ(std::string(bytes.data(), size < 0 ? 0 : static_cast<std::size_t>(size)),
            "gpu-gate: one\ngpu-gate: two\n");
}

TEST(Say, SurvivesAReaderThatIsGone) {
  Pipe pipe;
  pipe.read_end.reset();
  const Redirected redirected(STDERR_FILENO, pipe.write_end.get());
  EXPECT_TRUE(leaves_no_sigpipe([] { say("nobody hears it"); }));
}

TEST(Notify, DropsWhatNobodyReadsAndSaysSoToNobody) {
  const Pipe pipe;
  ::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, 4096);
  const Redirected redirected(STDERR_FILENO, pipe.write_end.get());
  EXPECT_EQ(notify("", std::string(4000, 'x')), "");
  EXPECT_EQ(notify("", std::string(4000, 'y')), "");
  EXPECT_EQ(notify("", "z"), "") << "the pipe is full, whatever fits into its last page";
}

TEST(Notify, LetsNoLineBeginWithinAnother) {
  // A terminal takes a part of a line.
  Terminal terminal(80);
  {
    const Redirected redirected(STDERR_FILENO, terminal.fd());
    const std::string rest = notify("", "one\n" + std::string(100'000, 'x'));
    EXPECT_GT(rest.size(), 1U);
    EXPECT_LT(rest.size(), 100'000U);
    EXPECT_EQ(notify(rest, "two"), rest) << "nobody has read anything";
    terminal.discard();
    EXPECT_EQ(notify("x\n", "three"), "");
  }
  EXPECT_EQ(terminal.text(), "x\ngpu-gate: three\n");
}

TEST(Print, WritesTheTextAsItIs) {
  const std::string text("a\n\0b\x1b\xff", 6);
  EXPECT_EQ(written_to(STDOUT_FILENO, [&] { EXPECT_TRUE(print(text)); }), text);
}

TEST(Print, FailsWhereTheDiskIsFull) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  const Status printed = print_to(full.get(), "x");
  ASSERT_FALSE(printed);
  EXPECT_EQ(printed.error().kind, ErrorKind::output);
  EXPECT_EQ(printed.error().errnum, ENOSPC);
  EXPECT_TRUE(has(printed.error().text, "standard output")) << printed.error().text;
}

TEST(Print, FailsWhereItCannotBeWrittenTo) {
  const UniqueFd read_only(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Status printed = print_to(read_only.get(), "x");
  ASSERT_FALSE(printed);
  EXPECT_EQ(printed.error().kind, ErrorKind::output);
  EXPECT_EQ(printed.error().errnum, EBADF);
}

TEST(Print, FailsWithoutDyingWhereTheReaderIsGone) {
  Pipe pipe;
  pipe.read_end.reset();
  Status printed;
  EXPECT_TRUE(leaves_no_sigpipe([&] { printed = print_to(pipe.write_end.get(), "x"); }));
  ASSERT_FALSE(printed);
  EXPECT_EQ(printed.error().kind, ErrorKind::output);
  EXPECT_EQ(printed.error().errnum, EPIPE);
}

TEST(Print, LeavesASigpipePendingThatWasThereBefore) {
  sigset_t pipe_signal;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  sigset_t before;
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before), 0);
  struct sigaction disposition{};
  struct sigaction deadly{};
  deadly.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &deadly, &disposition);
  ::raise(SIGPIPE);
  Pipe pipe;
  pipe.read_end.reset();
  EXPECT_FALSE(print_to(pipe.write_end.get(), "x"));
  const struct timespec none{};
  EXPECT_EQ(::sigtimedwait(&pipe_signal, nullptr, &none), SIGPIPE);
  ::sigaction(SIGPIPE, &disposition, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(Print, WaitsForASlowReaderOfANonBlockingPipe) {
  Pipe pipe(O_NONBLOCK);
  const std::string text(1'000'000, 'x');
  std::string read;
  std::thread reader([&] { read = drained(pipe.read_end.get()); });
  const Status printed = print_to(pipe.write_end.get(), text);
  pipe.write_end.reset();
  reader.join();
  EXPECT_TRUE(printed) << printed.error().text;
  EXPECT_EQ(read.size(), text.size());
}

TEST(ShowLine, RewritesTheLineInPlace) {
  EXPECT_EQ(told_on_terminal(80, [] { show_line("waited 5s"); }), kRewrite + "gpu-gate: waited 5s");
}

TEST(ShowLine, LeavesAnEmptyLineWhereThereIsNothingToShow) {
  EXPECT_EQ(told_on_terminal(80, [] { show_line(""); }), kRewrite);
}

TEST(ShowLine, IsCutSoThatTheTerminalBreaksNoLine) {
  for (const unsigned short width : std::array<unsigned short, 4>{1, 2, 20, 300}) {
    const std::string shown = told_on_terminal(width, [] { show_line(std::string(500, 'x')); });
    ASSERT_TRUE(shown.starts_with(kRewrite));
    EXPECT_EQ(shown.size() - kRewrite.size(), width - 1U);
  }
}

TEST(ShowLine, TakesATerminalThatDoesNotTellItsWidthForOneOf80Columns) {
  const std::string shown = told_on_terminal(0, [] { show_line(std::string(500, 'x')); });
  EXPECT_EQ(shown.size() - kRewrite.size(), 79U);
}

bool rewrites_on(int fd, const std::optional<std::string>& term) {
  const EnvironmentVariable variable("TERM", term);
  const Redirected redirected(STDERR_FILENO, fd);
  return stderr_is_terminal();
}

TEST(StderrIsTerminal, OnlyWhereTheLineCanBeRewritten) {
  const Terminal terminal(80);
  EXPECT_TRUE(rewrites_on(terminal.fd(), "xterm"));
  EXPECT_FALSE(rewrites_on(terminal.fd(), "dumb"));
  EXPECT_FALSE(rewrites_on(terminal.fd(), std::nullopt));
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  EXPECT_FALSE(rewrites_on(null.get(), "xterm"));
}

}  // namespace
}  // namespace gpu_gate
