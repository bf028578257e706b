#include "base/process_watch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

#include <csignal>

namespace gpu_gate {
namespace {

/// A child that sleeps until it is killed.
class Sleeper {
 public:
  Sleeper() : pid_(::fork()) {
    if (pid_ != 0) return;
    for (;;) ::pause();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() { reap(); }

  pid_t pid() const { return pid_; }
  void kill() const {
    if (pid_ > 0) ::kill(pid_, SIGKILL);  // of -1 it would be every process there is
  }
  void reap() {
    kill();
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

bool readable(const ProcessWatch& watch) {
  struct pollfd poll{.fd = watch.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 10000) == 1;
}

TEST(ProcessWatch, TellsTheEndOfAProcessThatNobodyHasReaped) {
  Sleeper sleeper;
  const auto watch = ProcessWatch::open(sleeper.pid());
  ASSERT_TRUE(watch && *watch);
  sleeper.kill();
  EXPECT_TRUE(readable(**watch));
  EXPECT_TRUE((*watch)->ended());
}

TEST(ProcessWatch, IsNoneForAProcessThatIsNotThere) {
  Sleeper sleeper;
  const pid_t pid = sleeper.pid();
  sleeper.kill();
  sleeper.reap();
  const auto watch = ProcessWatch::open(pid);
  ASSERT_TRUE(watch);
  EXPECT_FALSE(*watch);
}

TEST(ProcessWatch, IsNoneForOneThatHasEndedAndWasNotReaped) {
  const Sleeper sleeper;
  sleeper.kill();
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(sleeper.pid()), &info, WEXITED | WNOWAIT), 0);
  const auto watch = ProcessWatch::open(sleeper.pid());
  ASSERT_TRUE(watch);
  EXPECT_FALSE(*watch);
}

}  // namespace
}  // namespace gpu_gate
