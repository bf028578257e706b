#include "history/journal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test_folder.h"

namespace gpu_gate {
namespace {

HistoryEntry numbered(std::uint64_t claim) {
  HistoryEntry entry;
  entry.claim = claim;
  entry.begin_ms = 1000;
  entry.devices = {{.uuid = "GPU-1", .label = "1", .name = "", .pci = ""}};
  return entry;
}

std::string line_of(std::uint64_t claim) { return to_line(numbered(claim)); }

std::vector<std::uint64_t> claims_in(const History& history) {
  std::vector<std::uint64_t> claims;
  for (const HistoryEntry& entry : history.entries) claims.push_back(entry.claim);
  return claims;
}

std::string own_file(const TestFolder& folder) {
  return folder.path(std::to_string(::geteuid()) + ".jsonl");
}

TEST(ReadLines, HalfALineCostsNeitherTheOneBeforeNorTheOneBehind) {
  const std::string whole = line_of(1) + "\n";
  const std::string half = line_of(2);
  for (std::size_t size = 1; size < half.size(); ++size) {
    History history;
    read_lines(whole + half.substr(0, size) + line_of(3) + "\n" + line_of(4), 7, history);
    EXPECT_EQ(claims_in(history), (std::vector<std::uint64_t>{1, 3, 4})) << size;
    EXPECT_EQ(history.unread, 1U) << size;
  }
}

TEST(ReadLines, EmptyLinesAreNothingAndGarbageIsCounted) {
  History history;
  read_lines("\n\n" + std::string(5, '\0') + "\n" + line_of(1) + "\n\xff{\n", 7, history);
  EXPECT_EQ(claims_in(history), std::vector<std::uint64_t>{1});
  EXPECT_EQ(history.unread, 2U);
}

TEST(Journal, OfTheLinesOfAClaimThatOfItsEndCounts) {
  const TestFolder folder;
  add_line(folder.path(), line_of(2));
  add_line(folder.path(), line_of(1));
  add_line(folder.path(), with_end(line_of(2), 5000));
  const Result<History> history = read_history(folder.path());
  ASSERT_TRUE(history);
  EXPECT_EQ(claims_in(*history), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_FALSE(history->entries[0].end_ms);
  EXPECT_EQ(history->entries[1].end_ms, 5000);
  EXPECT_EQ(history->entries[0].uid, ::geteuid());
}

TEST(Journal, AFileOfOnesOwnThatSomebodyHasLinkedIsNotWritten) {
  const TestFolder folder;
  const std::string file = folder.write("precious", "x");
  ASSERT_EQ(::link(file.c_str(), own_file(folder).c_str()), 0);
  add_line(folder.path(), line_of(1));
  struct stat info{};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 1);
  const Result<History> history = read_history(folder.path());
  ASSERT_TRUE(history);
  EXPECT_EQ(claims_in(*history), std::vector<std::uint64_t>{1});
}

TEST(Journal, WhereNothingCanBeWrittenNothingHappens) {
  const TestFolder folder;
  add_line(folder.path("none"), line_of(1));
  add_line(folder.write("file", ""), line_of(1));
  EXPECT_FALSE(read_history(folder.path("none")));
}

TEST(Journal, IsReadInPartsAndNotWithoutBound) {
  const TestFolder folder;
  std::string text;
  std::uint64_t claims = 0;
  while (text.size() < 3 * kMaxLineBytes) text += line_of(++claims) + "\n";
  folder.write("5.jsonl", text);
  const Result<History> all = read_history(folder.path());
  ASSERT_TRUE(all);
  EXPECT_EQ(all->entries.size(), claims);
  EXPECT_EQ(all->unread, 0U);
  EXPECT_FALSE(all->cut);
  const Result<History> last = read_history(folder.path(), 1000);
  ASSERT_TRUE(last);
  EXPECT_TRUE(last->cut);
  EXPECT_EQ(last->entries.back().claim, claims);
  EXPECT_LT(last->entries.size(), 10U);
  folder.write("6.jsonl", std::string(8 * kMaxLineBytes, 'x'));
  const Result<History> more = read_history(folder.path());
  ASSERT_TRUE(more);
  EXPECT_EQ(more->unread, 1U);
}

}  // namespace
}  // namespace gpu_gate
