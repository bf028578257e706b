#include "gate/session.h"

#include <gtest/gtest.h>

#include "gate/test_process.h"
#include "gate/test_wait.h"

namespace gpu_gate {
namespace {

class SessionTest : public testing::Test {
 protected:
  void fail_with(const std::string& text) {
    source_.error = Error{.kind = ErrorKind::gpu_state, .text = text};
  }

  FakeSource source_;
  Recorder observer_;
  WaitOptions options_;
  Session session_{source_, options_, observer_};
};

TEST_F(SessionTest, ReadsTheSource) {
  source_.machine = idle_machine(2);
  EXPECT_EQ(session_.read()->devices.size(), 2U);
  EXPECT_TRUE(observer_.failures.empty());
  EXPECT_EQ(observer_.returns, 0);
}

TEST_F(SessionTest, TheFirstReadFailsAsItsSource) {
  fail_with("no driver");
  const Result<Snapshot> read = session_.read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().text, "no driver");
  EXPECT_TRUE(observer_.failures.empty());
  source_.error.reset();
  EXPECT_TRUE(session_.read());
  EXPECT_EQ(observer_.returns, 0);
}

TEST_F(SessionTest, InALaterFailureTheDevicesAreKnownButOfNoUse) {
  source_.machine = idle_machine(3);
  source_.machine.devices[0].processes.push_back(GpuProcess{7, false, {}});
  source_.machine.devices[1].health = Health::mig;
  source_.machine.devices[2].health = Health::lost;
  ASSERT_TRUE(session_.read());
  fail_with("gone");
  const Snapshot found = session_.read().value();
  ASSERT_EQ(found.devices.size(), 3U);
  EXPECT_EQ(found.devices[0].uuid, "GPU-0");
  EXPECT_EQ(found.devices[0].health, Health::unreadable);
  EXPECT_EQ(found.devices[0].error, "gone");
  EXPECT_TRUE(found.devices[0].processes.empty());
  EXPECT_EQ(found.devices[1].health, Health::mig);
  EXPECT_EQ(found.devices[2].health, Health::lost);
}

TEST_F(SessionTest, AFailureAndItsEndAreToldOnceEachTime) {
  ASSERT_TRUE(session_.read());
  for (int time = 1; time <= 2; ++time) {
    fail_with("gone");
    EXPECT_TRUE(session_.read());
    fail_with("still gone");
    EXPECT_TRUE(session_.read());
    source_.error.reset();
    EXPECT_EQ(session_.read()->devices[0].health, Health::ok);
    EXPECT_TRUE(session_.read());
    EXPECT_EQ(observer_.returns, time);
  }
  EXPECT_EQ(observer_.failures, (std::vector<std::string>{"gone", "gone"}));
}

TEST_F(SessionTest, OneTryThatMustReadTwiceFailsAsItsSource) {
  options_.timeout = std::chrono::nanoseconds(0);
  ASSERT_TRUE(session_.read());
  fail_with("gone");
  EXPECT_FALSE(session_.read());
}

/// Sleeps until it is time for something.
void sleep_on(const Session& session) {
  WaitSet set;
  session.add_to(set);
  set.until(Clock::now() + std::chrono::milliseconds(kPatienceMs));
  ASSERT_TRUE(set.sleep());
}

TEST_F(SessionTest, IsClosedWhereNobodyHasReadForASecond) {
  ASSERT_TRUE(session_.read());
  const auto read = Clock::now();
  session_.close_if_idle();
  EXPECT_EQ(source_.closed, 0);
  sleep_on(session_);
  EXPECT_GE(Clock::now() - read, std::chrono::milliseconds(900));
  session_.close_if_idle();
  EXPECT_EQ(source_.closed, 1);
  session_.close_if_idle();
  EXPECT_EQ(source_.closed, 1);
}

TEST_F(SessionTest, StaysOpenWhereADeviceWouldGoToSleep) {
  source_.must_stay_open = true;
  ASSERT_TRUE(session_.read());
  sleep_on(session_);
  session_.close_if_idle();
  EXPECT_EQ(source_.closed, 0);
}

}  // namespace
}  // namespace gpu_gate
