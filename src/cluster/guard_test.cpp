#include "cluster/guard.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/signals.h"
#include "cluster/child.h"

namespace gpu_gate {
namespace {

/// In place of srun: loses the first SIGTERM and ends at the second.
[[noreturn]] void lose_a_signal() {
  ::alarm(30);
  const sigset_t term = set_of({SIGTERM});
  int signal = 0;
  for (int i = 0; i < 2; ++i) ::sigwait(&term, &signal);
  ::_exit(0);
}

TEST(Guard, RepeatsItsSignalUntilSrunHasEnded) {
  const SignalBlock block(set_of({SIGTERM}));
  Pipe alive = open_pipe(OwnEnd::read).value();  // as long as srun lives
  const pid_t gate = ::fork();
  if (gate == 0) {
    const pid_t srun = ::fork();
    if (srun == 0) lose_a_signal();
    Guard guard = Guard::over(srun).value();
    guard.allow_signal(true);
    ::_exit(0);  // as by SIGKILL: the guard is not told
  }
  alive.write_end.reset();
  ASSERT_EQ(::waitpid(gate, nullptr, 0), gate);
  struct pollfd end{.fd = alive.read_end.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&end, 1, 20000), 1) << "it has got one signal only";
}

}  // namespace
}  // namespace gpu_gate
