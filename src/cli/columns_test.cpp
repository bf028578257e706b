#include "cli/columns.h"

#include <gtest/gtest.h>

#include <clocale>

namespace gpu_gate {
namespace {

/// In a locale with UTF-8 as long as a test runs.
class Columns : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr); }
  void TearDown() override { std::setlocale(LC_CTYPE, "C"); }
};

TEST_F(Columns, CountWhatATerminalShows) {
  EXPECT_EQ(columns(""), 0U);
  EXPECT_EQ(columns("train.py"), 8U);
  EXPECT_EQ(columns("учёба"), 5U);
  EXPECT_EQ(columns("训练"), 4U) << "two columns each";
  EXPECT_EQ(columns("e\u0301"), 1U) << "an accent of its own";
}

TEST_F(Columns, OfTextThatFitsAreNotCut) {
  EXPECT_EQ(cut("训练", 4, "…"), "训练");
  EXPECT_EQ(cut("", 0, "…"), "");
}

TEST_F(Columns, AreNeverMoreThanThereIsRoomFor) {
  EXPECT_EQ(cut("train.py", 7, "…"), "train.…");
  EXPECT_EQ(cut("训练模型", 5, "…"), "训练…");
  EXPECT_EQ(cut("训练模型", 4, "…"), "训…") << "half a character is none";
  EXPECT_EQ(cut("ae\u0301b", 2, "…"), "a…");
  EXPECT_EQ(cut("e\u0301bc", 2, "…"), "e\u0301…") << "the accent stays with its letter";
  EXPECT_EQ(cut("abc", 2, "..."), "ab") << "no room for the dots";
  EXPECT_EQ(cut("abc", 0, "…"), "");
}

TEST(ColumnsOfAnyLocale, CountCharactersWhereTheLocaleDoesNotKnowThem) {
  std::setlocale(LC_CTYPE, "C");
  EXPECT_EQ(columns("учёба"), 5U);
}

TEST(InAscii, HasAMarkForEachOtherCharacter) {
  EXPECT_EQ(in_ascii("abc"), "abc");
  EXPECT_EQ(in_ascii("a训б…"), "a???");
}

}  // namespace
}  // namespace gpu_gate
