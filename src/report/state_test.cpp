#include "report/state.h"

#include <gtest/gtest.h>

#include "report/test_board.h"

namespace gpu_gate {
namespace {

BoardClaim alices_claim(bool idle = false) {
  BoardClaim claim = board_claim(1, claimant("alice", job(7, "python train.py")));
  claim.idle = idle;
  return claim;
}

std::string state_word(const BoardRow& row) { return word_of(state_of(row)); }

Device device_of_health(Health health) {
  Device device = card(0, 45468);
  device.health = health;
  return device;
}

TEST(State, IsFreeWhereARequestWithoutOptionsWouldGetIt) {
  EXPECT_EQ(state_word(board_row(card(0, 45468))), "free");
  EXPECT_EQ(state_word(board_row(card(0, 45468 - 512))), "free") << "a monitoring tool is nobody";
}

TEST(State, IsKeptForOneWhoWaits) {
  BoardRow row = board_row(card(0, 45468));
  row.kept_for = 9;
  EXPECT_EQ(state_word(row), "kept");
}

TEST(State, IsHeldByAClaimWhateverElseIsThere) {
  BoardRow row = board_row(card(0), {alices_claim()},
                           {{.described = seen_process(8, "bob", "x"), .claimed = false}});
  row.kept_for = 9;
  EXPECT_EQ(state_word(row), "held");
  row.device.accessible = false;
  EXPECT_EQ(state_word(row), "held");
}

TEST(State, IsIdleWhereNoClaimUsesIt) {
  EXPECT_EQ(state_word(board_row(card(0), {alices_claim(true), alices_claim(true)})), "idle");
  EXPECT_EQ(state_word(board_row(card(0), {alices_claim(true), alices_claim(false)})), "held");
}

TEST(State, IsOtherWhereItWorksAndIsNotToBeHad) {
  EXPECT_EQ(state_word(board_row(card(0), {}, {{.described = seen_process(8, "bob", "x")}})),
            "other");
  EXPECT_EQ(state_word(board_row(card(0, 45468 - 513))), "other") << "memory of no visible process";
  EXPECT_EQ(state_word(board_row(device_of_health(Health::mig))), "other");
  Device closed = card(0, 45468);
  closed.accessible = false;
  EXPECT_EQ(state_word(board_row(closed)), "other");
  closed.health = Health::unreadable;
  EXPECT_EQ(state_word(board_row(closed)), "other");
}

TEST(State, IsBrokenWhereItWorksForNobody) {
  for (const Health health : {Health::lost, Health::reset_required, Health::prohibited}) {
    EXPECT_EQ(state_word(board_row(device_of_health(health))), "broken");
    EXPECT_EQ(state_word(board_row(device_of_health(health), {alices_claim()})), "broken");
  }
  EXPECT_EQ(state_word(board_row(device_of_health(Health::unreadable))), "broken");
}

TEST(State, IsToldByTheClaimsWhereTheDriverTellsNothing) {
  EXPECT_EQ(state_word(board_row(device_of_health(Health::unreadable), {alices_claim()})), "held");
}

}  // namespace
}  // namespace gpu_gate
