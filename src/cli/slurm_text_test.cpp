#include "cli/slurm_text.h"

#include <gtest/gtest.h>

#include "cli/columns.h"
#include "cli/json_output.h"
#include "cli/test_text.h"

namespace gpu_gate {
namespace {

constexpr std::int64_t kNow = 1'000'000;

SlurmJob job(std::int64_t id, const std::string& user, const std::string& name) {
  return {.id = id,
          .shown_id = std::to_string(id),
          .user = user,
          .name = name,
          .note = "",
          .since = kNow - 7980};
}

SlurmCard card_of(int index, std::optional<SlurmJob> holder = {}) {
  return {.index = index, .type = "l40s", .holder = std::move(holder)};
}

SlurmNode node(std::vector<SlurmCard> cards) {
  return {
      .name = "n1", .state = "mixed", .takes_jobs = true, .reason = "", .cards = std::move(cards)};
}

SlurmNode drained(std::vector<SlurmCard> cards) {
  SlurmNode unusable = node(std::move(cards));
  unusable.state = "drained";
  unusable.takes_jobs = false;
  unusable.reason = "bad fan";
  return unusable;
}

SlurmBoard cluster(std::vector<SlurmNode> nodes, std::vector<SlurmRequest> waiters = {}) {
  return {.nodes = std::move(nodes), .waiters = std::move(waiters)};
}

std::string plain_text(const SlurmBoard& board) { return slurm_text(board, {.now = kNow}); }

TEST(SlurmText, ShowsWhoHoldsEachCardAndWhoWaits) {
  const SlurmBoard board = cluster({node({card_of(0, job(12, "alice", "train")), card_of(1)})},
                                   {{.job = job(13, "bob", "eval"),
                                     .waits = true,
                                     .parts = {},
                                     .wish = {.gpus = 2, .type = "h100"},
                                     .reason = "Resources"},
                                    {.job = job(14, "carol", "x"),
                                     .waits = true,
                                     .parts = {},
                                     .wish = {.gpus = 1, .type = ""},
                                     .reason = "Priority"}});
  EXPECT_EQ(plain_text(board),
            " node  idx  type  who    since  job  command\n"
            " n1      0  l40s  alice  2h13m   12  train\n"
            " n1      1  l40s  -\n"
            " waiting: 2\n"
            "   1  bob    2 h100  2h13m  13  Resources  eval\n"
            "   2  carol  1 GPU   2h13m  14  Priority   x\n");
}

/// What stands in the table behind the node's name, without its type and what follows.
std::string indices_of(std::vector<SlurmCard> cards) {
  std::string indices;
  for (const std::string& line : lines_of(plain_text(cluster({node(std::move(cards))})))) {
    if (!line.starts_with(" n1")) continue;
    const std::size_t begin = line.find_first_not_of(' ', 3);
    indices += line.substr(begin, line.find(' ', begin) - begin) + " ";
  }
  return indices;
}

TEST(SlurmText, SaysOfCardsInARowOnceWhatIsTheSame) {
  const SlurmJob mine = job(12, "alice", "train");
  EXPECT_EQ(indices_of({card_of(0), card_of(1), card_of(2)}), "0-2 ");
  EXPECT_EQ(indices_of({card_of(0, mine), card_of(1, mine), card_of(2), card_of(3, mine)}),
            "0-1 2 3 ");
  EXPECT_EQ(indices_of({card_of(0, mine), card_of(1, job(13, "alice", "train"))}), "0 1 ");
  SlurmCard other = card_of(1);
  other.type = "h100";
  EXPECT_EQ(indices_of({card_of(0), other}), "0 1 ");
  SlurmCard somewhere = card_of(0);
  somewhere.index.reset();
  EXPECT_EQ(indices_of({somewhere, somewhere}), "- - ");
}

TEST(SlurmText, SaysOfRequestsInARowOnceWhatIsTheSame) {
  const auto waiter = [](std::int64_t id, const std::string& user, int gpus) {
    return SlurmRequest{.job = job(id, user, "sweep"),
                        .waits = true,
                        .parts = {},
                        .wish = {.gpus = gpus, .type = ""},
                        .reason = "Priority"};
  };
  const std::string text = plain_text(cluster(
      {node({card_of(0)})}, {waiter(1, "alice", 1), waiter(2, "alice", 1), waiter(3, "alice", 1),
                             waiter(4, "bob", 1), waiter(5, "bob", 2), waiter(6, "alice", 1)}));
  EXPECT_TRUE(has(text,
                  " waiting: 6\n"
                  "   1-3  alice  1 GPU each  2h13m  1  Priority  sweep (+2)\n"
                  "     4  bob    1 GPU       2h13m  4  Priority  sweep\n"
                  "     5  bob    2 GPUs      2h13m  5  Priority  sweep\n"
                  "     6  alice  1 GPU       2h13m  6  Priority  sweep\n"))
      << text;
}

TEST(SlurmText, SaysWhyACardIsNotToBeHad) {
  const SlurmCard held = card_of(1, job(12, "alice", "train"));
  const std::string text = plain_text(cluster({drained({card_of(0), held})}));
  EXPECT_TRUE(has(text, " n1      0  l40s  drained: bad fan\n")) << text;
  EXPECT_TRUE(has(text, "train (drained)\n")) << "the reason is told already";
  EXPECT_TRUE(has(plain_text(cluster({drained({held})})), "train (drained: bad fan)\n"));
}

TEST(SlurmText, ShowsTheNoteBesideTheUser) {
  SlurmJob mine = job(12, "alice", "train");
  mine.note = "bert-large\x1b";
  const SlurmBoard board = cluster({node({card_of(0, mine)})});
  EXPECT_TRUE(has(plain_text(board), "  alice (bert-large\\x1b)  2h13m   12  train\n"));
  EXPECT_TRUE(has(slurm_json(board), "\"note\": \"bert-large"));
}

TEST(SlurmText, SaysThatAJobIsHidden) {
  const std::string text = plain_text(cluster({node({card_of(0, SlurmJob{})})}));
  EXPECT_TRUE(has(text, "in use; Slurm does not tell by whom")) << text;
}

TEST(SlurmText, ShowsWhatIsNotKnownAsADash) {
  SlurmCard card = card_of(0);
  card.index.reset();
  card.type.reset();
  EXPECT_TRUE(has(plain_text(cluster({node({card})})), " n1      -  -     -\n"));
}

TEST(SlurmText, SaysWhereThereIsNoGpu) {
  EXPECT_EQ(plain_text(cluster({})), "no GPU in this cluster\n");
}

TEST(SlurmText, MakesTextOfOthersPrintable) {
  const std::string evil = "\x1b[31m\n";
  SlurmNode bad = drained({card_of(0), card_of(1, job(1, evil, evil))});
  bad.name = bad.reason = evil;
  bad.cards[0].type = evil;
  const std::string text = plain_text(cluster({bad}, {{.job = job(2, evil, evil),
                                                       .waits = true,
                                                       .parts = {},
                                                       .wish = {.gpus = 1, .type = evil},
                                                       .reason = evil}}));
  EXPECT_FALSE(has(text, "\x1b"));
  EXPECT_EQ(lines_of(text).size(), 5U);
}

TEST(SlurmText, FitsAnyTerminal) {
  const std::string name(200, 'x');
  const SlurmBoard board =
      cluster({drained({card_of(0, job(12345678, "a-user-of-some-length", name)), card_of(1)})},
              {{.job = job(13, "bob", name),
                .waits = true,
                .parts = {},
                .wish = {.gpus = 2, .type = "h100"},
                .reason = "Resources"}});
  for (std::size_t width = 1; width < 200; ++width) {
    for (const bool utf8 : {true, false}) {
      const std::string text = slurm_text(board, {.utf8 = utf8, .width = width, .now = kNow});
      for (const std::string& line : lines_of(text)) EXPECT_LE(columns(line), width) << line;
    }
  }
  const std::string narrow = slurm_text(board, {.width = 80, .now = kNow});
  EXPECT_TRUE(has(narrow, "a-user-of-some-length  2h13m  12345678  xxxxxxxxxxx… (drained)\n"))
      << narrow;
}

TEST(SlurmJson, HasAnObjectForEachCard) {
  SlurmBoard board = cluster({drained({card_of(0, job(12, "alice", "train")), card_of(1)})});
  board.nodes[0].cards[1].index.reset();
  board.nodes[0].cards[1].type.reset();
  EXPECT_EQ(slurm_json(board), R"([
  {
    "node": "n1",
    "index": 0,
    "name": "l40s",
    "claim": {
      "user": "alice",
      "job": 12,
      "command": "train",
      "since": 992020,
      "note": null
    },
    "state": "drained",
    "reason": "bad fan"
  },
  {
    "node": "n1",
    "index": null,
    "name": null,
    "claim": null,
    "state": "drained",
    "reason": "bad fan"
  }
]
)");
  EXPECT_EQ(slurm_json(cluster({})), "[]\n");
  EXPECT_TRUE(has(slurm_json(cluster({node({card_of(0, SlurmJob{})})})), "\"job\": null"));
}

}  // namespace
}  // namespace gpu_gate
