#include "cli/watch_keys.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Keys = std::vector<Key>;

Keys keys_in(std::string bytes) { return take_keys(bytes); }

WatchChoice pressed(const Keys& keys, WatchChoice choice = {}, std::size_t last = 10) {
  for (const Key key : keys) choice = after_key(key, choice, last, 4);
  return choice;
}

TEST(TakeKeys, KnowsTheLetters) {
  EXPECT_EQ(keys_in("qmw ?x"),
            (Keys{Key::quit, Key::mine, Key::whole, Key::freeze, Key::legend, Key::other}));
  EXPECT_EQ(keys_in("\x03"), Keys{Key::quit});
}

TEST(TakeKeys, KnowsTheArrowsOfBothModes) {
  EXPECT_EQ(keys_in("\x1b[A\x1b[B\x1bOA\x1bOB"), (Keys{Key::up, Key::down, Key::up, Key::down}));
  EXPECT_EQ(keys_in("\x1b[5~\x1b[6~\x1b[H\x1b[F"),
            (Keys{Key::page_up, Key::page_down, Key::home, Key::end}));
}

TEST(TakeKeys, TakesNoSequenceItDoesNotKnowForLetters) {
  EXPECT_EQ(keys_in("\x1b[3;5~\x1b[15~\x1b[1;2A\x1b[?1q"), (Keys(4, Key::other)))
      << "the q at the end of an answer of the terminal ends nothing";
}

TEST(TakeKeys, WaitsForTheRestOfASequence) {
  std::string bytes = "\x1b";
  EXPECT_TRUE(take_keys(bytes).empty());
  bytes += '[';
  EXPECT_TRUE(take_keys(bytes).empty());
  bytes += 'B';
  EXPECT_EQ(take_keys(bytes), Keys{Key::down});
  EXPECT_TRUE(bytes.empty());
}

TEST(TakeKeys, KeepsNoMoreThanASequenceCanBeLong) {
  std::string bytes = "\x1b[" + std::string(100, '0');
  EXPECT_TRUE(take_keys(bytes).empty());
  EXPECT_TRUE(bytes.empty());
}

TEST(TakeKeys, TakesEscapeBeforeALetterForNothing) {
  EXPECT_EQ(keys_in("\x1bq"), (Keys{Key::other, Key::quit}));
}

TEST(AfterKey, TurnsOnAndOff) {
  EXPECT_TRUE(pressed({Key::mine}).mine);
  EXPECT_FALSE(pressed({Key::mine, Key::mine}).mine);
  EXPECT_TRUE(pressed({Key::whole}).whole);
  EXPECT_TRUE(pressed({Key::freeze}).frozen);
  EXPECT_TRUE(pressed({Key::legend}).legend);
  EXPECT_EQ(pressed({Key::legend, Key::legend}), WatchChoice());
}

TEST(AfterKey, LeavesTheLegendByAnyKey) {
  EXPECT_EQ(pressed({Key::legend, Key::other}), WatchChoice());
}

TEST(AfterKey, ScrollsWithinWhatThereIs) {
  EXPECT_EQ(pressed({Key::up}).from, 0U);
  EXPECT_EQ(pressed({Key::down, Key::down}).from, 2U);
  EXPECT_EQ(pressed({Key::page_down, Key::up}).from, 3U);
  EXPECT_EQ(pressed({Key::end}).from, 10U);
  EXPECT_EQ(pressed({Key::end, Key::down}).from, 10U);
  EXPECT_EQ(pressed({Key::end, Key::page_up, Key::page_up, Key::page_up}).from, 0U);
  EXPECT_EQ(pressed({Key::end, Key::home}).from, 0U);
  EXPECT_EQ(pressed({Key::other}, {.from = 7}, 3).from, 3U) << "fewer by now";
}

TEST(AfterKey, BeginsAtTheTopWhereOthersAreHiddenOrShown) {
  EXPECT_EQ(pressed({Key::end, Key::mine}).from, 0U);
}

}  // namespace
}  // namespace gpu_gate
