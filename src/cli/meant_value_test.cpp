#include "cli/meant_value.h"

#include <gtest/gtest.h>

#include <map>

namespace gpu_gate {
namespace {

using Meant = std::map<std::string, std::string>;

TEST(MeantValue, OfAListIsOneThatCanBeRead) {
  const Meant lists{
      {"0..3", "0-3"},
      {"0...3", "0-3"},
      {"0 to 3", "0-3"},
      {"0–3", "0-3"},
      {"3-1", "1-3"},
      {"10-9", "9-10"},
      {"0 1", "0,1"},
      {"0;1", "0,1"},
      {"0, 1 2", "0,1,2"},
      {"1,,2", "1,2"},
      {"0,", "0"},
      {"[0, 1]", "0,1"},
      {"{0,1}", "0,1"},
      {"cuda:0", "0"},
      {"cuda:0,cuda:1", "0,1"},
      {"gpu0", "0"},
      {"GPU 0", "0"},
      {"GPU:1", "1"},
      {"/dev/nvidia2", "2"},
      {"#3", "3"},
      {"0 and 1", "0,1"},
      {"GPU-3f2a", "GPU-3f2a"},
      {"", ""},
  };
  for (const auto& [text, meant] : lists) EXPECT_EQ(meant_list(text), meant) << text;
}

TEST(MeantValue, OfATimeHasOurUnits) {
  const Meant times{
      {"10min", "10m"},
      {"10 min", "10m"},
      {"10 minutes", "10m"},
      {"2 hours", "2h"},
      {"2hrs", "2h"},
      {"30sec", "30s"},
      {"1 day", "1d"},
      {"1h 30m", "1h30m"},
      {"1h30", "1h30m"},
      {"1:30:00", "1h30m"},
      {"00:10:00", "10m"},
      {"5S", "5s"},
      {"2H", "2h"},
      {"1,5h", "1.5h"},
      {"1,000", "1000"},
      {"never", "inf"},
      {"-1", ""},
      {"2w", ""},
      {"soon", ""},
      {"1:30", ""},
      {"", ""},
      {"h", ""},
  };
  for (const auto& [text, meant] : times) EXPECT_EQ(meant_time(text), meant) << text;
}

TEST(MeantValue, OfASizeHasOurUnits) {
  const Meant sizes{
      {"8 G", "8G"},
      {"8 GB", "8G"},
      {"8gigs", "8G"},
      {"8Go", "8G"},
      {"8000 megabytes", "8000M"},
      {"1,000", "1000"},
      {"7,5G", "7.5G"},
      {"8_000", "8000"},
      {"8X", ""},
      {"lots", ""},
      {"", ""},
      {"G", ""},
  };
  for (const auto& [text, meant] : sizes) EXPECT_EQ(meant_size(text), meant) << text;
}

TEST(MeantValue, OfANumberIsItsDigits) {
  const Meant numbers{{"two", "2"},   {"Two", "2"}, {"2x", "2"},  {"x2", "2"}, {"2gpus", "2"},
                      {"gpu:2", "2"}, {"=2", "2"},  {"2.0", "2"}, {"+1", "1"}, {" 1 ", "1"},
                      {"50 %", "50"}, {"1.5", ""},  {"many", ""}, {"", ""},    {"-1", ""}};
  for (const auto& [text, meant] : numbers) EXPECT_EQ(meant_number(text), meant) << text;
}

TEST(MeantValue, OfAllIsNoList) {
  for (const char* word : {"all", "ALL", "any", "*", "auto"}) EXPECT_TRUE(means_all(word)) << word;
  for (const char* word : {"", "0", "a"}) EXPECT_FALSE(means_all(word)) << word;
}

}  // namespace
}  // namespace gpu_gate
