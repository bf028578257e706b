#include "base/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/test_child.h"

namespace gpu_gate {
namespace {

/// The signals of a set by number, those of the C library's own left out.
std::string members(const sigset_t& set) {
  std::string text;
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    if (::sigismember(&set, signal) == 1) text += " " + std::to_string(signal);
  }
  return text;
}

std::string blocked() {
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  return members(mask);
}

volatile std::sig_atomic_t caught = 0;

/// Counts in `caught` how often the signal was delivered.
class Counted {
 public:
  explicit Counted(int signal) : signal_(signal) {
    caught = 0;
    struct sigaction action{};
    action.sa_handler = [](int) { caught = caught + 1; };
    ::sigaction(signal, &action, &before_);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { ::sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_{};
};

const std::string kHup = " " + std::to_string(SIGHUP);
const std::string kInt = " " + std::to_string(SIGINT);
const std::string kTerm = " " + std::to_string(SIGTERM);

TEST(SignalBlock, HoldsASignalBackUntilItsEnd) {
  const Counted counted(SIGUSR1);
  {
    const SignalBlock block(set_of({SIGUSR1}));
    ::raise(SIGUSR1);
    EXPECT_EQ(caught, 0);
  }
  EXPECT_EQ(caught, 1);
}

TEST(SignalBlock, PutsTheMaskOfBeforeBack) {
  const SignalBlock outer(set_of({SIGUSR2}));
  const std::string before = blocked();
  {
    const SignalBlock inner(set_of({SIGUSR1, SIGUSR2}));
    EXPECT_NE(blocked(), before);
  }
  EXPECT_EQ(blocked(), before);
}

TEST(SignalBlock, OneInsideAnotherDoesNotLetASignalThroughAtItsEnd) {
  const Counted counted(SIGUSR1);
  {
    const SignalBlock outer(set_of({SIGUSR1}));
    {
      const SignalBlock inner(set_of({SIGUSR1}));
      ::raise(SIGUSR1);
    }
    EXPECT_EQ(caught, 0);
  }
  EXPECT_EQ(caught, 1);
}

TEST(SignalBlock, OfAllThatCanBeCaughtLetsAFaultEndTheProcess) {
  const ChildEnd end = in_child([] {
    struct sigaction action{};
    action.sa_handler = [](int) { ::_exit(7); };
    ::sigaction(SIGSEGV, &action, nullptr);
    const SignalBlock block(catchable_signals());
    ::raise(SIGSEGV);
    return std::string("it was held back");
  });
  EXPECT_TRUE(end.exited(7)) << end.said;
}

TEST(SignalsThrough, LetsOneThatIsPendingThroughAtOnce) {
  const Counted counted(SIGUSR1);
  const SignalBlock block(set_of({SIGUSR1}));
  ::raise(SIGUSR1);
  EXPECT_EQ(caught, 0);
  const SignalsThrough through(set_of({SIGUSR1}));
  EXPECT_EQ(caught, 1);
}

TEST(SignalsThrough, BlocksAgainAtItsEndAndNoMoreThanBefore) {
  const Counted counted(SIGUSR1);
  const SignalBlock block(set_of({SIGUSR1}));
  const std::string before = blocked();
  {
    const SignalsThrough through(set_of({SIGUSR1, SIGUSR2}));
    ::raise(SIGUSR1);
    EXPECT_EQ(caught, 1);
  }
  EXPECT_EQ(blocked(), before);
  ::raise(SIGUSR1);
  EXPECT_EQ(caught, 1);
}

TEST(WriteSignals, OfAFailedWriteNeitherEndTheProcessNorComeLater) {
  for (const auto& [signal, errnum] : {std::pair(SIGPIPE, EPIPE), std::pair(SIGXFSZ, EFBIG)}) {
    const Counted counted(signal);
    {
      const WriteSignals signals;
      ::raise(signal);
      signals.failed(errnum);
    }
    EXPECT_EQ(caught, 0) << signal;
  }
}

TEST(WriteSignals, OfAnotherErrorAreNone) {
  const Counted counted(SIGPIPE);
  {
    const WriteSignals signals;
    ::raise(SIGPIPE);
    signals.failed(ENOSPC);
    EXPECT_EQ(caught, 0);
  }
  EXPECT_EQ(caught, 1);
}

TEST(CatchableSignals, LackFaultsOfOurOwnAndNothingElse) {
  const sigset_t set = catchable_signals();
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) {
    EXPECT_EQ(::sigismember(&set, fault), 0) << fault;
  }
  for (const int signal : {SIGHUP,    SIGINT,  SIGQUIT,  SIGPIPE, SIGALRM,  SIGTERM, SIGUSR1,
                           SIGUSR2,   SIGCHLD, SIGTSTP,  SIGTTIN, SIGTTOU,  SIGURG,  SIGXCPU,
                           SIGVTALRM, SIGPROF, SIGWINCH, SIGIO,   SIGRTMIN, SIGRTMAX}) {
    EXPECT_EQ(::sigismember(&set, signal), 1) << signal;
  }
}

/// The ending signals of a process that was started in this state.
template <class Start>
std::string ending(Start start) {
  return in_child([start] {
           for (const int signal : {SIGHUP, SIGINT, SIGTERM}) ::signal(signal, SIG_DFL);
           const sigset_t none = set_of({});
           ::sigprocmask(SIG_SETMASK, &none, nullptr);
           start();
           return members(ending_signals());
         })
      .said;
}

TEST(EndingSignals, AreThoseThatEndAProgram) {
  EXPECT_EQ(ending([] {}), kHup + kInt + kTerm);
}

TEST(EndingSignals, LackThoseThatAreIgnored) {
  EXPECT_EQ(ending([] { ::signal(SIGHUP, SIG_IGN); }), kInt + kTerm);
  EXPECT_EQ(ending([] { ::signal(SIGINT, SIG_IGN); }), kHup + kTerm);
  EXPECT_EQ(ending([] {
              for (const int signal : {SIGHUP, SIGINT, SIGTERM}) ::signal(signal, SIG_IGN);
            }),
            "");
}

TEST(EndingSignals, LackThoseThatAreBlocked) {
  EXPECT_EQ(ending([] {
              const sigset_t set = set_of({SIGTERM, SIGUSR1});
              ::sigprocmask(SIG_BLOCK, &set, nullptr);
            }),
            kHup + kInt);
}

TEST(EndingSignals, HaveThoseThatAreHandled) {
  EXPECT_EQ(ending([] { ::signal(SIGINT, [](int) {}); }), kHup + kInt + kTerm);
}

TEST(DieOf, EndsTheProcessByThatSignal) {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    EXPECT_TRUE(in_child([signal]() -> std::string { die_of(signal); }).died_of(signal)) << signal;
  }
}

TEST(DieOf, UnblocksTheSignal) {
  const ChildEnd end = in_child([]() -> std::string {
    const SignalBlock block(catchable_signals());
    die_of(SIGTERM);
  });
  EXPECT_TRUE(end.died_of(SIGTERM));
}

TEST(DieOf, RunsNoHandler) {
  const ChildEnd end = in_child([]() -> std::string {
    ::signal(SIGINT, [](int) { ::_exit(7); });
    die_of(SIGINT);
  });
  EXPECT_TRUE(end.died_of(SIGINT));
}

TEST(DieOf, EndsAlsoAProcessThatIgnoresTheSignal) {
  const ChildEnd end = in_child([]() -> std::string {
    ::signal(SIGHUP, SIG_IGN);
    die_of(SIGHUP);
  });
  EXPECT_TRUE(end.died_of(SIGHUP));
}

TEST(DieOf, TakesTheExitCodeOfAShellWhereTheSignalDoesNotEndIt) {
  // Its default is to do nothing.
  EXPECT_TRUE(in_child([]() -> std::string { die_of(SIGURG); }).exited(128 + SIGURG));
}

}  // namespace
}  // namespace gpu_gate
