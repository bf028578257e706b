#include "gate/look.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "gate/test_lock_dir.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

using std::chrono::seconds;
using Uuids = std::set<std::string>;

const Clock::time_point kNow{seconds(1000)};

TEST(Look, KnowsTheDevicesOfItsSnapshot) {
  Look look;
  look.snapshot = idle_machine(2);
  EXPECT_EQ(look.devices(), (Uuids{"GPU-0", "GPU-1"}));
}

TEST(Look, AwaitsTheDevicesThatOnlyNeedTime) {
  Look look;
  const std::vector<Fit> fits{Fit::occupied,    Fit::memory_held, Fit::memory_low, Fit::busy,
                              Fit::usable,      Fit::claimed,     Fit::unhealthy,  Fit::reserved,
                              Fit::not_allowed, Fit::settling,    Fit::mig,        Fit::too_small};
  look.snapshot = idle_machine(static_cast<int>(fits.size()));
  EXPECT_EQ(look.awaited({.fits = fits, .granted = {}, .contested = {}}),
            (Uuids{"GPU-0", "GPU-1", "GPU-2", "GPU-3"}));
}

TEST(AnswerDue, IsFiveSecondsFromTheFirstRing) {
  EXPECT_EQ(answer_due({.pending = false, .age = seconds(0)}, kNow), kNow + timing::kAnswer);
  EXPECT_EQ(answer_due({.pending = true, .age = seconds(2)}, kNow), kNow + seconds(3));
}

TEST(AnswerDue, OfAnAnsweredBellDoesNotDependOnItsAge) {
  EXPECT_EQ(answer_due({.pending = false, .age = seconds(60)}, kNow), kNow + timing::kAnswer);
}

TEST(AnswerDue, IsNeverInThePast) {
  EXPECT_EQ(answer_due({.pending = true, .age = seconds(60)}, kNow), kNow + timing::kSoonest);
}

class CallsTest : public testing::Test {
 protected:
  TestLockDir box_;
  const OwnPlace one_ = box_.join();
  const OwnPlace other_ = box_.join();
  const Clock::time_point began_ = Clock::now();
  Calls calls_;
};

TEST_F(CallsTest, NobodyWasRungAtFirst) { EXPECT_FALSE(calls_.answer_due()); }

TEST_F(CallsTest, WhoIsCalledIsRungAndHasFiveSeconds) {
  calls_.call(box_.line, one_.place);
  EXPECT_TRUE(box_.is_rung(one_.place));
  EXPECT_GE(*calls_.answer_due(), began_ + timing::kAnswer);
  EXPECT_LE(*calls_.answer_due(), Clock::now() + timing::kAnswer);
}

TEST_F(CallsTest, TheEarliestOfSeveralCounts) {
  calls_.call(box_.line, one_.place);
  box_.line.ring_bell(other_.place);
  box_.age_bell(other_.place, seconds(3));
  calls_.call(box_.line, other_.place);
  const Clock::time_point due = *calls_.answer_due();
  EXPECT_LE(due, Clock::now() + seconds(2));
  calls_.call(box_.line, one_.place);
  EXPECT_EQ(calls_.answer_due(), due);
}

TEST_F(CallsTest, WhoCannotBeRungIsNotWaitedFor) {
  calls_.call(box_.line, box_.dead_place());
  EXPECT_FALSE(calls_.answer_due());
}

TEST_F(CallsTest, WhereOneDoesNotAnswerForHalfASecondTheOthersAreAsked) {
  const OwnPlace own = box_.join();
  calls_.call(box_.line, one_.place);
  box_.age_bell(other_.place, seconds(60));
  EXPECT_FALSE(calls_.woke(Clock::now(), box_.line, own.place));
  EXPECT_FALSE(box_.is_rung(other_.place));
  box_.age_bell(one_.place, seconds(1));
  EXPECT_FALSE(calls_.woke(began_ + seconds(1), box_.line, own.place));
  EXPECT_TRUE(box_.is_rung(other_.place));
  EXPECT_TRUE(calls_.woke(*calls_.answer_due(), box_.line, own.place));
}

TEST_F(CallsTest, AreForgottenWithTheNextLook) {
  calls_.call(box_.line, one_.place);
  calls_.forget();
  EXPECT_FALSE(calls_.answer_due());
}

}  // namespace
}  // namespace gpu_gate
