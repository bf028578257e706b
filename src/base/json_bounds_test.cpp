#include "base/json_bounds.h"

#include <gtest/gtest.h>

#include <string>

namespace gpu_gate {
namespace {

TEST(IsModestJson, ARecordIs) {
  EXPECT_TRUE(is_modest_json(R"({"version": 1, "devices": ["GPU-1", "GPU-2"], "of": {"a": [1]}})"));
  EXPECT_TRUE(is_modest_json(""));
}

TEST(IsModestJson, WhatIsNestedDeeplyIsNot) {
  const std::string eight = "[{[{[{[{";
  EXPECT_TRUE(is_modest_json(eight + "}]}]}]}]"));
  EXPECT_FALSE(is_modest_json(eight + "["));
  EXPECT_FALSE(is_modest_json(std::string(60000, '[')));
}

TEST(IsModestJson, WhatIsOfManyValuesIsNot) {
  const std::string most(8192, ',');
  EXPECT_TRUE(is_modest_json("[" + most + "1]"));
  EXPECT_FALSE(is_modest_json("[" + most + ",1]"));
}

TEST(IsModestJson, WhatStandsInAStringDoesNotCount) {
  const std::string within = std::string(60000, '[') + std::string(9000, ',');
  EXPECT_TRUE(is_modest_json("\"" + within + "\""));
  EXPECT_TRUE(is_modest_json(R"(["\"\\\"[[[[[[[[[[[[", "\\"])"));
  EXPECT_FALSE(is_modest_json(R"(["\\", )" + std::string(9, '[')));
  EXPECT_FALSE(is_modest_json("\"\"" + within));
  EXPECT_TRUE(is_modest_json("\"" + within)) << "without an end";
  EXPECT_TRUE(is_modest_json("\"\\"));
}

TEST(IsModestJson, OneAfterTheOtherIsNotNested) {
  std::string flat = "[";
  for (int i = 0; i < 4000; ++i) flat += "[],";
  EXPECT_TRUE(is_modest_json(flat + "[]]"));
}

}  // namespace
}  // namespace gpu_gate
