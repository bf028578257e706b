#include "base/interrupter.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;

/// The errno of a read(2) from a pipe to which nobody writes.
int read_in_vain() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  char byte = 0;
  const int errnum = ::read(ends[0], &byte, 1) < 0 ? errno : 0;
  ::close(ends[0]);
  ::close(ends[1]);
  return errnum;
}

TEST(Interrupter, EndsACallThatBlocksAgainAndAgain) {
  Interrupter interrupter;
  ASSERT_TRUE(interrupter.start(milliseconds(1), milliseconds(1)));
  EXPECT_EQ(read_in_vain(), EINTR);
  EXPECT_EQ(read_in_vain(), EINTR);
}

TEST(Interrupter, WhereTheCallerHasItsSignalBlocked) {
  const SignalBlock block(set_of({SIGURG}));
  Interrupter interrupter;
  ASSERT_TRUE(interrupter.start(milliseconds(1), milliseconds(1)));
  EXPECT_EQ(read_in_vain(), EINTR);
}

TEST(Interrupter, PutsTheDispositionBack) {
  {
    const Interrupter interrupter;
  }
  struct sigaction action{};
  ::sigaction(SIGURG, nullptr, &action);
  EXPECT_EQ(action.sa_handler, SIG_DFL);
}

}  // namespace
}  // namespace gpu_gate
