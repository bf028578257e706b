#include "job/beside.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "base/test_child.h"
#include "base/test_folder.h"

namespace gpu_gate {
namespace {

/// What the work beside a child process writes down of itself, once it has; and the child's pid.
struct BesideChild {
  std::string told;
  pid_t child = 0;
};

template <class Prepare>
BesideChild beside_child(Prepare prepare) {
  const TestPipe told;
  const std::string number = std::to_string(told.write_end.get());
  const TestFolder folder;
  const std::string fifo = folder.path("fifo");
  EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd read_end(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  BesideChild result;
  const ChildEnd end = in_child([&] {
    prepare();
    const Status started = start_beside([&] {
      std::string text = std::to_string(::getppid()) + " " + std::to_string(::getsid(0));
      text += ::fcntl(told.write_end.get(), F_GETFD) < 0 ? " closed" : " open";
      const UniqueFd out(::open(fifo.c_str(), O_WRONLY));
      [[maybe_unused]] const ssize_t written = ::write(out.get(), text.data(), text.size());
    });
    const bool has_child = ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD;
    sigset_t pending;
    ::sigpending(&pending);
    return std::to_string(::getpid()) + (started ? " started" : " failed") +
           (has_child ? " child" : "") + (::sigismember(&pending, SIGCHLD) == 1 ? " pending" : "");
  });
  EXPECT_NE(end.said.find(" started"), std::string::npos);
  EXPECT_EQ(end.said.find(" child"), std::string::npos) << end.said;
  EXPECT_EQ(end.said.find(" pending"), std::string::npos) << end.said;
  result.child = std::stoi(end.said);
  struct pollfd written{.fd = read_end.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&written, 1, 30'000), 1);
  ::fcntl(read_end.get(), F_SETFL, 0);
  result.told = read_all(read_end.get());
  return result;
}

TEST(StartBeside, IsNoChildOfTheStarterAndHasNothingOfIt) {
  const BesideChild found = beside_child([] {});
  EXPECT_NE(std::stoi(found.told), found.child);
  EXPECT_EQ(found.told.find(std::to_string(::getsid(0)) + " "), std::string::npos);
  EXPECT_TRUE(found.told.ends_with(" closed")) << found.told;
}

TEST(StartBeside, IsNoChildOfAStarterThatAdoptsOrphansAndBlocksSigchld) {
  const BesideChild found = beside_child([] {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    const sigset_t blocked = [] {
      sigset_t set;
      ::sigemptyset(&set);
      ::sigaddset(&set, SIGCHLD);
      return set;
    }();
    ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  });
  EXPECT_NE(std::stoi(found.told), found.child);
}

TEST(StartBeside, WorksWhereSigchldIsIgnored) {
  const BesideChild found = beside_child([] { ::signal(SIGCHLD, SIG_IGN); });
  EXPECT_NE(std::stoi(found.told), found.child);
}

}  // namespace
}  // namespace gpu_gate
