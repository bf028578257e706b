#include "base/printable.h"

#include <gtest/gtest.h>

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

TEST(Printable, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                    // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

}  // namespace
}  // namespace gpu_gate
