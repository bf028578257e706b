#include "base/printable.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

namespace gpu_gate {
namespace {

TEST(Printable, LeavesOrdinaryTextAlone) {
  EXPECT_EQ(printable("python train.py --lr 1e-3"), "python train.py --lr 1e-3");
  EXPECT_EQ(printable("日本語 ü €"), "日本語 ü €");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, ShowsControlCharacters) {
  EXPECT_EQ(printable("a\nb\tc"), "a\\nb\\tc");
  EXPECT_EQ(printable("\x1b[2J\r\x07\x7f"), "\\x1b[2J\\x0d\\x07\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "1A"),
            "\\u{9b}1A");  // CSI as one C1 character
}

TEST(Printable, ShowsWhatTurnsTextAroundOrHidesIt) {
  EXPECT_EQ(printable("\u202Eabc\u202C"), "\\u{202e}abc\\u{202c}");
  EXPECT_EQ(printable("\u200B\uFEFF"), "\\u{200b}\\u{feff}");
}

TEST(Printable, ShowsFillersThatLookLikeNothing) {
  EXPECT_EQ(printable("a\u3164\u115F\uFFA0"), "a\\u{3164}\\u{115f}\\u{ffa0}");
}

TEST(Printable, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                    // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

TEST(Printable, ShowsEveryControlCharacterOfAscii) {
  for (int c = 0; c < 0x20; ++c) {
    char expected[8];
    std::snprintf(expected, sizeof expected, "\\x%02x", c);
    if (c == '\n') std::strcpy(expected, "\\n");
    if (c == '\t') std::strcpy(expected, "\\t");
    EXPECT_EQ(printable(std::string(1, static_cast<char>(c))), expected);
  }
}

TEST(Printable, LeavesEveryOtherCharacterOfAsciiAlone) {
  std::string all;
  for (char c = 0x20; c < 0x7f; ++c) all += c;
  EXPECT_EQ(printable(all), all);
}

TEST(Printable, ShowsEveryC1Control) {
  for (unsigned c = 0x80; c < 0xa0; ++c) {
    char expected[8];
    std::snprintf(expected, sizeof expected, "\\u{%x}", c);
    EXPECT_EQ(printable(std::string("\xc2") + static_cast<char>(c)), expected);
  }
  EXPECT_EQ(printable("\u00a0"), "\u00a0");
}

TEST(Printable, ShowsTheFirstAndLastOfEachRangeOfInvisibleCharacters) {
  const std::pair<const char*, const char*> shown[] = {
      {"\u00ad", "\\u{ad}"},       {"\u061c", "\\u{61c}"},  {"\u180e", "\\u{180e}"},
      {"\u200b", "\\u{200b}"},     {"\u200f", "\\u{200f}"}, {"\u2028", "\\u{2028}"},
      {"\u202e", "\\u{202e}"},     {"\u2060", "\\u{2060}"}, {"\u2066", "\\u{2066}"},
      {"\u2069", "\\u{2069}"},     {"\u206f", "\\u{206f}"}, {"\ufeff", "\\u{feff}"},
      {"\ufff9", "\\u{fff9}"},     {"\ufffb", "\\u{fffb}"}, {"\U000e0001", "\\u{e0001}"},
      {"\U000e0fff", "\\u{e0fff}"}};
  for (const auto& [character, escape] : shown) EXPECT_EQ(printable(character), escape);
}

TEST(Printable, LeavesTheirVisibleNeighboursAlone) {
  for (const char* text : {"\u00ac", "\u00ae", "\u061b", "\u061d", "\u2010", "\u2027", "\u2030",
                           "\ufffc", "\ufffd", "\U0001f600", "\U000dffff", "\U0010ffff"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, GoesOnBehindBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("a\xc3z"), "a\\xc3z");
  EXPECT_EQ(printable("\xe2\x82 \xe2\x82\xac"), "\\xe2\\x82 \u20ac");
  EXPECT_EQ(printable("\xf0\x9f\x98"
                      "\xc3\xa4"),
            "\\xf0\\x9f\\x98\u00e4");
  EXPECT_EQ(printable("\x80\xbf"), "\\x80\\xbf");
}

TEST(Printable, ACharacterCutOffByTheEndOfTheTextIsShownByItsBytes) {
  const std::string_view euro = "\u20ac";
  const std::string_view smile = "\U0001f600";
  EXPECT_EQ(printable(euro.substr(0, 2)), "\\xe2\\x82");
  EXPECT_EQ(printable(smile.substr(0, 1)), "\\xf0");
  EXPECT_EQ(printable(smile.substr(0, 2)), "\\xf0\\x9f");
  EXPECT_EQ(printable(smile.substr(0, 3)), "\\xf0\\x9f\\x98");
}

TEST(Printable, TakesNoLongerFormThanTheShortest) {
  EXPECT_EQ(printable("\xc1\xbf"), "\\xc1\\xbf");
  EXPECT_EQ(printable("\xe0\x80\x8a"), "\\xe0\\x80\\x8a");
  EXPECT_EQ(printable("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf");
  EXPECT_EQ(printable("\xf0\x80\x80\x8a"), "\\xf0\\x80\\x80\\x8a");
  EXPECT_EQ(printable("\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf");
}

TEST(Printable, TakesNothingBehindTheLastCodePointAndNoSurrogate) {
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(printable("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80");
  EXPECT_EQ(printable("\xed\xbf\xbf"), "\\xed\\xbf\\xbf");
  EXPECT_EQ(printable("\xed\x9f\xbf\xee\x80\x80"), "\xed\x9f\xbf\xee\x80\x80");
}

TEST(Printable, NeverLeavesAByteThatMovesTheCursor) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      for (const char c : printable(text)) {
        const auto byte = static_cast<unsigned char>(c);
        ASSERT_TRUE(byte >= 0x20 && byte != 0x7f) << first << " " << second;
      }
    }
  }
}

TEST(FirstCharacters, CountCharactersAndNotBytes) {
  EXPECT_EQ(first_characters("abc", 2), "ab");
  EXPECT_EQ(first_characters("abc", 3), "abc");
  EXPECT_EQ(first_characters("abc", 9), "abc");
  EXPECT_EQ(first_characters("", 2), "");
  EXPECT_EQ(first_characters("éè語x", 3), "éè語");
  EXPECT_EQ(first_characters("\xff\xffx", 2), "\xff\xff");
  EXPECT_EQ(first_characters("é\xc3", 2), "é\xc3");
}

TEST(ShellWord, IsOneWordToAShell) {
  EXPECT_EQ(shell_word("/run/gpu-gate"), "/run/gpu-gate");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("a b;c$d"), "'a b;c$d'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
}

}  // namespace
}  // namespace gpu_gate
