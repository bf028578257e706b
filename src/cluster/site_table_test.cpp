#include "cluster/site_table.h"

#include <gtest/gtest.h>

#include <map>

#include "base/env.h"
#include "base/test_folder.h"

namespace gpu_gate {
namespace {

SiteTable table_of(const std::string& text) {
  Result<SiteTable> table = parse_site_table(text, "slurm.toml");
  EXPECT_TRUE(table) << text << (table ? "" : table.error().text);
  return table.value_or(SiteTable());
}

std::string refusal_of_table(const std::string& text) {
  const Result<SiteTable> table = parse_site_table(text, "slurm.toml");
  EXPECT_FALSE(table) << text;
  return table ? "" : table.error().text;
}

std::map<std::string, std::int64_t> memory_of(const SiteTable& table) {
  std::map<std::string, std::int64_t> memory;
  for (const SiteTable::Type& type : table.types) memory[type.name] = type.memory_mib;
  return memory;
}

TEST(SiteTable, HasTypesAndTheOrder) {
  const SiteTable table = table_of(
      "# the cards that we have\n\nprefer = [ 'a', \"b.1\",  # first\n\n  ]\r\n[ memory_mb ] # "
      "MiB\n"
      "\ta=46_068\n\"b.1\" = 81559 # größer\n4090 = 24564\nx-y_z\t=\t1");
  EXPECT_EQ(memory_of(table), (std::map<std::string, std::int64_t>{
                                  {"a", 46068}, {"b.1", 81559}, {"4090", 24564}, {"x-y_z", 1}}));
  EXPECT_EQ(table.prefer, (std::vector<std::string>{"a", "b.1"}));
  EXPECT_EQ(table_of("[memory_mb]\na = 1\nprefer = []").prefer.size(), 0U);
}

TEST(SiteTable, NamesFileAndLineOfWhatItCannotRead) {
  const std::map<std::string, std::string> refused{
      {"", "slurm.toml:1: there is no type"},
      {"[memory_mb]\n", "slurm.toml:2: there is no type"},
      {"[memory_mb]\na = 1\na = 2", "slurm.toml:3: 'a' is there twice"},
      {"[memory_mb]\n[memory_mb]\na = 1", "slurm.toml:2: [memory_mb] is there twice"},
      {"[memory]\na = 1", "slurm.toml:1: the one section"},
      {"a = 1\n[memory_mb]", "slurm.toml:1: 'a' must stand under [memory_mb]"},
      {"[memory_mb]\na 1", "slurm.toml:2: there is no = behind 'a'"},
      {"[memory_mb]\na.b = 1", "slurm.toml:2: there is no = behind 'a'"},
      {"[memory_mb]\n= 1", "slurm.toml:2: '= 1' is neither"},
      {"[memory_mb]\na = 1 2", "slurm.toml:2: '2' is too much here"},
      {"[memory_mb]\na = 1\nprefer = ['b']", "slurm.toml:3: prefer names 'b', which is not"},
      {"[memory_mb]\na = 1\nprefer = 'a'", "slurm.toml:3: prefer is a list"},
      {"[memory_mb]\na = 1\nprefer = [a]", "slurm.toml:3: 'a]' does not belong"},
      {"[memory_mb]\na = 1\nprefer = ['a' 'a']", "slurm.toml:3: ''a']' does not belong"},
      {"[memory_mb]\na = 1\nprefer = ['a',", "slurm.toml:3: the list of prefer has no end"},
      {"prefer = []\n[memory_mb]\na = 1\nprefer = []", "slurm.toml:4: prefer is there twice"},
      {"[memory_mb]\n\"a = 1", "slurm.toml:2: a string has no closing quote"},
      {"[memory_mb]\n\"a b\" = 1", "slurm.toml:2: 'a b' is not the name of a type"},
      {"[memory_mb]\n\"\" = 1", "slurm.toml:2: '' is not the name of a type"},
      {"[memory_mb]\n\"\\u0061\" = 1", "slurm.toml:2: '\\u0061' is not the name of a type"},
      {"[memory_mb]\na = 1 # \xef\xbb", "slurm.toml:2: the comment has characters"},
      {"\xef\xbb\xbf[memory_mb]\na = 1", "slurm.toml:1: "},
  };
  for (const auto& [text, start] : refused) {
    EXPECT_TRUE(refusal_of_table(text).starts_with(start)) << text << "\n"
                                                           << refusal_of_table(text);
  }
  for (const char* number : {"", "0", "-1", "+1", "01", "1.5", "1e3", "0x10", "_1", "1_", "1__0",
                             "1 0", "big", "'1'", "1234567890123", "1_2_3_4_5_6_7_8_9_0_1_2_3"}) {
    EXPECT_FALSE(refusal_of_table(std::string("[memory_mb]\na = ") + number).empty()) << number;
  }
}

TEST(TypeWithMemory, IsTheFirstOfThePreferredThatFits) {
  const SiteTable table = table_of(
      "[memory_mb]\nsmall = 10\nlarge = 90\nmiddle = 50\nhuge = 200\nprefer = ['large', 'small']");
  const auto type = [&](std::int64_t mib) { return type_with_memory(table, mib).value_or("none"); };
  EXPECT_EQ(type(1), "") << "all have it";
  EXPECT_EQ(type(10), "");
  EXPECT_EQ(type(11), "large");
  EXPECT_EQ(type(91), "huge");
  const Result<std::string> none = type_with_memory(table, 201);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::impossible);
  EXPECT_NE(none.error().text.find("small 10 MiB, large 90 MiB, middle 50 MiB, huge 200 MiB"),
            std::string::npos);
}

TEST(TypeWithMemory, IsTheSmallestWhereNoneIsPreferred) {
  const SiteTable table = table_of("[memory_mb]\nc = 300\na = 100\nb = 200");
  EXPECT_EQ(type_with_memory(table, 150).value_or("none"), "b");
  EXPECT_EQ(type_with_memory(table, 250).value_or("none"), "c");
}

TEST(ReadSiteTable, TakesTheFileThatTheUserNames) {
  const TestFolder folder;
  const std::string named = std::string(env::kSlurmTable) + "=";
  const std::string good = named + folder.write("good", "[memory_mb]\na = 1\n");
  const std::string bad = named + folder.write("bad", "[memory_mb]\na = x\n");
  const std::string large = named + folder.write("large", std::string(70000, '#'));
  const std::string missing = named + folder.path("missing");
  const auto read = [](const std::string& variable) {
    const char* const environment[] = {variable.c_str(), nullptr};
    return read_site_table(environment);
  };
  ASSERT_TRUE(read(good) && *read(good));
  EXPECT_EQ((**read(good)).types.size(), 1U);
  EXPECT_EQ(read(bad).error().text,
            folder.path("bad") + ":2: 'x' is not a number of MiB, as in a = 81559");
  EXPECT_EQ(read(large).error().text, folder.path("large") + ": it is larger than 64 KiB");
  EXPECT_EQ(read(missing).error().text,
            folder.path("missing") + ": No such file or directory (GPU_GATE_SLURM)");
}

}  // namespace
}  // namespace gpu_gate
