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

TEST(Env, AnEmptyEnvironmentHasNone) {
  const char* const nothing[] = {nullptr};
  EXPECT_FALSE(env_variable(nothing, "A"));
  EXPECT_FALSE(env_setting(nothing, "A"));
}

TEST(Env, AValueMayHoldAnything) {
  const char* const environment[] = {"A==b=\n c", "=odd", nullptr};
  EXPECT_EQ(env_variable(environment, "A"), "=b=\n c");
}

TEST(Env, OfAVariableThatIsThereTwiceTheFirstCountsAlsoWhereItIsEmpty) {
  const char* const environment[] = {"A=", "A=2", nullptr};
  EXPECT_EQ(env_variable(environment, "A"), "");
  EXPECT_FALSE(env_setting(environment, "A"));
}

TEST(Env, ANameIsOfOneCase) {
  const char* const environment[] = {"path=1", "Path=2", nullptr};
  EXPECT_FALSE(env_variable(environment, "PATH"));
}

}  // namespace
}  // namespace gpu_gate
