#include "base/env.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

const char* const kEnvironment[] = {"AB=1", "A=2", "EMPTY=", "odd", "A=3", nullptr};

TEST(Env, FindsAVariableByItsWholeName) {
  EXPECT_EQ(env_variable(kEnvironment, "A"), "2");
  EXPECT_EQ(env_variable(kEnvironment, "AB"), "1");
  EXPECT_FALSE(env_variable(kEnvironment, "B"));
  EXPECT_FALSE(env_variable(kEnvironment, "odd"));
}

TEST(Env, AnEmptyVariableIsSetButNoSetting) {
  EXPECT_EQ(env_variable(kEnvironment, "EMPTY"), "");
  EXPECT_FALSE(env_setting(kEnvironment, "EMPTY"));
  EXPECT_EQ(env_setting(kEnvironment, "A"), "2");
}

}  // namespace
}  // namespace gpu_gate
