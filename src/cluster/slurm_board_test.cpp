#include "cluster/slurm_board.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "cluster/test_slurm_samples.h"

namespace gpu_gate {
namespace {

using Names = std::vector<std::string>;

/// A line as sinfo pads it.
std::string node_line(const std::string& name, const std::string& state, const std::string& gres,
                      const std::string& used = "", const std::string& reason = "none") {
  const auto padded = [](std::string text, std::size_t width) {
    text.resize(width, ' ');
    return text;
  };
  return padded(name, 128) + padded(state, 32) + padded(gres, 1024) + padded(used, 1024) +
         padded(reason, 256) + "\n";
}

std::string running(const std::string& nodes, const std::string& details, int id = 5) {
  return R"({"job_id": )" + std::to_string(id) + R"(, "user_name": "alice", "name": "train",
           "job_state": ["RUNNING"], "start_time": {"set": true, "number": 1000},
           "nodes": ")" +
         nodes + R"(", "gres_detail": [")" + details + R"("]})";
}

SlurmBoard board_of(const std::string& nodes, const std::string& jobs = "") {
  const auto requests = read_slurm_jobs(R"({"jobs": [)" + jobs + "]}");
  EXPECT_TRUE(requests);
  return slurm_board(nodes, requests.value_or(std::vector<SlurmRequest>{}));
}

/// "0 l40s alice", "1 h100", "- l40s ?" of each card of the only node.
Names cards_of(const SlurmBoard& board) {
  Names cards;
  for (const SlurmCard& card : board.nodes.at(0).cards) {
    std::string text = card.index ? std::to_string(*card.index) : "-";
    text += " " + card.type.value_or("-");
    if (card.holder) text += " " + (card.holder->id ? card.holder->user : "?");
    cards.push_back(text);
  }
  return cards;
}

/// What sinfo of 22.05.8 prints beside kJobsOf2205.
std::string nodes_of_2205() {
  return node_line("n1", "mixed", "gpu:l40s:2,gpu:h100:2",
                   "gpu:l40s:2(IDX:0-1),gpu:h100:2(IDX:2-3)") +
         node_line("n2", "draining", "gpu:l40s:2,gpu:h100:2",
                   "gpu:l40s:0(IDX:N/A),gpu:h100:1(IDX:2)", "bad fan, ask bob");
}

TEST(SlurmBoard, ReadsWhatVersion2205Prints) {
  const auto jobs = read_slurm_jobs(kJobsOf2205);
  ASSERT_TRUE(jobs);
  const SlurmBoard board = slurm_board(nodes_of_2205(), *jobs);
  ASSERT_EQ(board.nodes.size(), 2U);
  EXPECT_EQ(cards_of(board), (Names{"0 l40s man", "1 l40s man", "2 h100 games", "3 h100 games"}));
  const SlurmNode& second = board.nodes[1];
  EXPECT_EQ(second.state + ": " + second.reason, "draining: bad fan, ask bob");
  ASSERT_EQ(second.cards.size(), 4U);
  EXPECT_FALSE(second.cards[1].holder || second.cards[3].holder);
  EXPECT_EQ(second.cards[2].holder->name, "wide");
  EXPECT_EQ(second.cards[2].holder->shown_id, "3");
  ASSERT_EQ(board.waiters.size(), 2U);
  EXPECT_EQ(board.waiters[0].job.shown_id, "4_[0-9%4]");
  EXPECT_EQ(board.waiters[0].wish.gpus, 2);
  EXPECT_EQ(board.waiters[0].reason, "Resources");
  EXPECT_EQ(board.waiters[1].wish.type, "h100");
}

TEST(SlurmBoard, ReadsTheFieldsOfNewerVersions) {
  const std::string jobs = R"json(
    {"job_id": 62377, "user_name": "alice", "job_state": ["RUNNING"], "name": "train",
     "nodes": "gpu[01-02]", "gres_detail": ["gpu:a100:2(IDX:0-1)", "gpu:a100:1(IDX:1)"],
     "array_job_id": {"set": true, "infinite": false, "number": 62370},
     "array_task_id": {"set": true, "infinite": false, "number": 7}, "array_task_string": "",
     "start_time": {"set": true, "infinite": false, "number": 1787212927}},
    {"job_id": 62332, "user_name": "bob", "job_state": ["PENDING"], "name": "eval", "nodes": "",
     "gres_detail": [], "tres_per_node": "gres/gpu:a100:2", "state_reason": "Resources",
     "node_count": {"set": true, "infinite": false, "number": 3},
     "array_job_id": {"set": true, "infinite": false, "number": 0},
     "array_task_id": {"set": false, "infinite": false, "number": 0},
     "priority": {"set": true, "infinite": false, "number": 10},
     "submit_time": {"set": true, "infinite": false, "number": 1787212000}})json";
  const SlurmBoard board =
      board_of(node_line("gpu01", "mixed", "gpu:a100:2(S:0-1)", "gpu:a100:2(IDX:0-1)") +
                   node_line("gpu02", "mixed", "gpu:a100:2(S:0,1)", "gpu:a100:1(IDX:1)"),
               jobs);
  ASSERT_EQ(board.nodes.size(), 2U);
  EXPECT_TRUE(board.nodes[0].cards.at(0).holder && board.nodes[0].cards.at(1).holder);
  EXPECT_FALSE(board.nodes[1].cards.at(0).holder);
  const SlurmJob& job = *board.nodes[1].cards.at(1).holder;
  EXPECT_EQ(job.id, 62377);
  EXPECT_EQ(job.shown_id, "62370_7");
  EXPECT_EQ(job.since, 1787212927);
  ASSERT_EQ(board.waiters.size(), 1U);
  EXPECT_EQ(board.waiters[0].wish.gpus, 6);
  EXPECT_EQ(board.waiters[0].wish.type, "a100");
  EXPECT_EQ(board.waiters[0].job.shown_id, "62332");
  EXPECT_EQ(board.waiters[0].job.since, 1787212000);
}

TEST(SlurmBoard, CardsHaveTheirTypesInOrder) {
  EXPECT_EQ(cards_of(board_of(node_line("n", "idle", "gpu:l40s:2(S:0),gpu:h100:1,shard:8"))),
            (Names{"0 l40s", "1 l40s", "2 h100"}));
  EXPECT_EQ(cards_of(board_of(node_line("n", "idle", "gpu:2"))), (Names{"0 -", "1 -"}));
  EXPECT_EQ(cards_of(board_of(node_line("n", "idle", "gpu"))), Names{"0 -"});
}

TEST(SlurmBoard, NodesWithoutGpusAreLeftOut) {
  for (const char* gres : {"(null)", "", "gpu:0", "shard:8", "gpumem:80G", "licence:gpu:4"}) {
    EXPECT_TRUE(board_of(node_line("n", "idle", gres)).nodes.empty()) << gres;
  }
  EXPECT_TRUE(board_of(node_line("n", "future", "gpu:4")).nodes.empty());
}

TEST(SlurmBoard, ANodeOfTwoPartitionsIsThereOnce) {
  const std::string line = node_line("n", "idle", "gpu:1");
  EXPECT_EQ(board_of(line + line).nodes.size(), 1U);
}

TEST(SlurmBoard, SaysWhyANodeTakesNoJobs) {
  const SlurmNode drained = board_of(node_line("n", "drained", "gpu:1", "", "bad fan")).nodes.at(0);
  EXPECT_FALSE(drained.takes_jobs);
  EXPECT_EQ(drained.state, "drained");
  EXPECT_EQ(drained.reason, "bad fan");
  const SlurmNode gone = board_of(node_line("n", "idle*", "gpu:1")).nodes.at(0);
  EXPECT_FALSE(gone.takes_jobs);
  EXPECT_EQ(gone.state, "idle, not responding");
  for (const char* state : {"idle", "mixed", "allocated", "completing", "idle~", "mixed-"}) {
    EXPECT_TRUE(board_of(node_line("n", state, "gpu:1")).nodes.at(0).takes_jobs) << state;
  }
  for (const char* state : {"down", "draining", "maint", "reserved", "fail", "unknown", ""}) {
    EXPECT_FALSE(board_of(node_line("n", state, "gpu:1")).nodes.at(0).takes_jobs) << state;
  }
}

TEST(SlurmBoard, AJobHoldsTheCardsWithItsIndices) {
  const std::string node = node_line("n", "mixed", "gpu:l40s:2,gpu:h100:2");
  EXPECT_EQ(cards_of(board_of(node, running("n", "gpu:h100:1(IDX:3)"))),
            (Names{"0 l40s", "1 l40s", "2 h100", "3 h100 alice"}));
  EXPECT_EQ(cards_of(board_of(node, running("n", "gpu:l40s:1(IDX:1),gpu:h100:1(IDX:2)"))),
            (Names{"0 l40s", "1 l40s alice", "2 h100 alice", "3 h100"}));
}

TEST(SlurmBoard, IndicesThatSlurmDoesNotTellAreNotGuessed) {
  for (const char* detail :
       {"gpu:1(IDX:N/A)", "gpu:1(CNT:1)", "gpu:1", "gpu:1(IDX:7)", "gpu:1(IDX:99999999999)"}) {
    EXPECT_EQ(cards_of(board_of(node_line("n", "mixed", "gpu:a:2"), running("n", detail))),
              (Names{"- a alice", "- a"}))
        << detail;
  }
}

TEST(SlurmBoard, TypesThatAreInAnotherOrderThanTheyAreToldAreNotGuessed) {
  const std::string node = node_line("n", "mixed", "gpu:l40s:1,gpu:h100:2");
  EXPECT_EQ(cards_of(board_of(node, running("n", "gpu:h100:1(IDX:0)"))),
            (Names{"0 h100 alice", "1 -", "2 -"}));
}

TEST(SlurmBoard, CardsOfAJobThatIsNotShownAreInUse) {
  EXPECT_EQ(cards_of(board_of(node_line("n", "mixed", "gpu:a:3", "gpu:a:2(IDX:0,2)"),
                              running("n", "gpu:a:1(IDX:2)"))),
            (Names{"0 a ?", "1 a", "2 a alice"}));
  EXPECT_EQ(cards_of(board_of(node_line("n", "mixed", "gpu:a:2", "gpu:a:1(IDX:N/A)"))),
            (Names{"- a ?", "- a"}));
  EXPECT_EQ(cards_of(board_of(node_line("n", "idle", "gpu:a:1", "gpu:a:0(IDX:N/A)"))),
            Names{"0 a"});
}

TEST(SlurmBoard, WhatHasEndedHoldsNothing) {
  for (const char* state : {R"("COMPLETED")", R"(["CANCELLED"])", R"("FAILED")", "null", "7"}) {
    const std::string job = std::string(R"({"job_id": 1, "job_state": )") + state +
                            R"json(, "nodes": "n", "gres_detail": ["gpu:a:1(IDX:0)"]})json";
    EXPECT_EQ(cards_of(board_of(node_line("n", "idle", "gpu:a:1"), job)), Names{"0 a"}) << state;
  }
}

/// How many GPUs, and of which type, a waiting job asks for: "2 h100"; "" where none.
std::string wish_of(const std::string& members) {
  const SlurmBoard board =
      board_of("", R"({"job_id": 1, "job_state": "PENDING", )" + members + "}");
  if (board.waiters.empty()) return "";
  return std::to_string(board.waiters[0].wish.gpus) + " " + board.waiters[0].wish.type;
}

TEST(SlurmBoard, CountsWhatAWaitingJobAsksFor) {
  EXPECT_EQ(wish_of(R"("tres_per_job": "gres:gpu:h100:2")"), "2 h100");
  EXPECT_EQ(wish_of(R"("tres_per_job": "gres/gpu=3")"), "3 ");
  EXPECT_EQ(wish_of(R"("tres_per_job": "gres/gpu:h100=3")"), "3 h100");
  EXPECT_EQ(wish_of(R"("tres_per_job": "gres:gpu")"), "1 ");
  EXPECT_EQ(wish_of(R"("tres_per_job": "gres:gpu:a:1,gres:gpu:b:2")"), "3 ");
  EXPECT_EQ(wish_of(R"("tres_per_node": "gpu:4", "node_count": 2)"), "8 ");
  EXPECT_EQ(wish_of(R"("tres_per_task": "gres:gpu:1", "tasks": 3)"), "3 ");
  EXPECT_EQ(wish_of(R"("tres_per_job": "", "tres_per_node": "gres:gpu:1")"), "1 ");
  EXPECT_EQ(wish_of(R"("tres_per_job": "gres:shard:4")"), "");
  EXPECT_EQ(wish_of(R"("cpus": 4)"), "");
  EXPECT_EQ(wish_of(R"("tres_per_node": "gpu:2000000000", "node_count": 9000000000)"), "1000000 ");
}

TEST(SlurmBoard, WaitersStandByPriorityThenByNumber) {
  const auto job = [](int id, int priority) {
    return R"({"job_id": )" + std::to_string(id) + R"(, "job_state": "PENDING", "priority": )" +
           std::to_string(priority) + R"(, "tres_per_job": "gres:gpu:1"})";
  };
  const SlurmBoard board = board_of("", job(3, 1) + "," + job(2, 5) + "," + job(1, 1));
  ASSERT_EQ(board.waiters.size(), 3U);
  EXPECT_EQ(board.waiters[0].job.id, 2);
  EXPECT_EQ(board.waiters[1].job.id, 1);
  EXPECT_EQ(board.waiters[2].job.id, 3);
}

TEST(SlurmBoard, AnArrayThatWaitsIsNamedByItsTasks) {
  const SlurmBoard board = board_of("", R"({"job_id": 9, "job_state": "PENDING", "array_job_id": 9,
      "array_task_string": "0-99%4", "tres_per_job": "gres:gpu:1"})");
  EXPECT_EQ(board.waiters.at(0).job.shown_id, "9_[0-99%4]");
}

/// As squeue pads it: with these cells, and what tells of nothing in the others.
std::string job_line(const std::map<std::string, std::string>& cells) {
  const std::string format = squeue_lines_options().back();
  std::string line;
  for (std::size_t at = format.find('=') + 1; at < format.size();) {
    const std::size_t colon = format.find(':', at);
    const std::size_t end = std::min(format.find(',', colon), format.size());
    const auto cell = cells.find(format.substr(at, colon - at));
    std::string text = cell == cells.end() ? "N/A" : cell->second;
    text.resize(std::stoul(format.substr(colon + 1, end - colon - 1)), ' ');
    line += text;
    at = end + 1;
  }
  return line + "\n";
}

TEST(SlurmJobLines, TellWhoHasCardsButNotWhich) {
  const std::string lines = job_line({{"JobArrayID", "7_3"},
                                      {"JobID", "9"},
                                      {"UserName", "alice"},
                                      {"State", "RUNNING"},
                                      {"NodeList", "n[1-2]"},
                                      {"tres-per-node", "gres:gpu:a:1"},
                                      {"TimeUsed", "1-00:00:05"}});
  const SlurmBoard board = slurm_board(
      node_line("n1", "mixed", "gpu:a:2", "gpu:a:1(IDX:1)") + node_line("n2", "mixed", "gpu:a:1"),
      read_slurm_job_lines(lines, 100'000));
  EXPECT_EQ(cards_of(board), (Names{"- a alice", "- a"}));
  const SlurmJob& job = *board.nodes.at(1).cards.at(0).holder;
  EXPECT_EQ(job.id, 9);
  EXPECT_EQ(job.shown_id, "7_3");
  EXPECT_EQ(job.name, "");
  EXPECT_EQ(job.since, 100'000 - 86'405);
}

TEST(SlurmJobLines, WhatAJobHasOnSeveralNodesIsNotGuessed) {
  const std::map<std::string, std::string> job{
      {"JobID", "9"}, {"UserName", "bob"}, {"State", "RUNNING"}, {"tres-per-job", "gres:gpu:3"}};
  const auto held_on = [&](const std::string& nodes) {
    auto cells = job;
    cells["NodeList"] = nodes;
    return cards_of(
        slurm_board(node_line("n1", "mixed", "gpu:4"), read_slurm_job_lines(job_line(cells), 0)));
  };
  EXPECT_EQ(held_on("n1"), (Names{"- - bob", "- - bob", "- - bob", "- -"}));
  EXPECT_EQ(held_on("n[1-2]"), (Names{"0 -", "1 -", "2 -", "3 -"}));
}

TEST(SlurmJobLines, TellWhoWaitsForWhat) {
  const std::map<std::string, std::string> job{
      {"JobID", "9"},         {"State", "PENDING"},
      {"Reason", "Priority"}, {"tres-per-task", "gres:gpu:2"},
      {"NumTasks", "3"},      {"PendingTime", "60"},
      {"PriorityLong", "5"}};
  const std::vector<SlurmRequest> requests = read_slurm_job_lines(job_line(job), 1000);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_TRUE(requests[0].waits);
  EXPECT_EQ(requests[0].wish.gpus, 6);
  EXPECT_EQ(requests[0].reason, "Priority");
  EXPECT_EQ(requests[0].priority, 5);
  EXPECT_EQ(requests[0].job.since, 940);
  EXPECT_TRUE(read_slurm_job_lines(job_line({{"State", "PENDING"}}), 0).empty()) << "for no GPU";
}

TEST(SlurmBoard, KnowsWhatIsNoListOfJobs) {
  for (const char* text : {"", "{", "null", "[]", "{}", R"({"jobs": 5})", "squeue: error: x"}) {
    EXPECT_FALSE(read_slurm_jobs(text)) << text;
  }
}

TEST(SlurmBoard, TakesAnythingInPlaceOfAnything) {
  std::mt19937 random(5);
  const Names values{"null",
                     "-1",
                     "1e300",
                     "18446744073709551615",
                     "\"\"",
                     "\"gpu:a:1(IDX:0\"",
                     "[]",
                     "{}",
                     "[[]]",
                     R"({"set": 5, "number": "x"})",
                     R"(["RUNNING", 5])",
                     R"({"number": {"number": 5}})",
                     "\"n[0-\"",
                     "\"n[1-99999999999999]\"",
                     "true"};
  const Names keys{"job_id",        "user_name",  "user_id",      "name",
                   "job_state",     "start_time", "nodes",        "gres_detail",
                   "tres_per_node", "node_count", "array_job_id", "array_task_id"};
  for (int i = 0; i < 300 * GPU_GATE_SEEDS_IN_TEN; ++i) {
    std::string job =
        R"json({"job_state": "RUNNING", "nodes": "n", "gres_detail": ["gpu:1(IDX:0)"])json";
    for (const std::string& key : keys) {
      if (random() % 2 == 0) continue;
      job += ", \"" + key + "\": " + values[random() % values.size()];
    }
    board_of(node_line("n", "idle", "gpu:2"), job + "}, 5, [], null");
  }
}

TEST(SlurmBoard, TakesAnyBytes) {
  std::mt19937 random(7);
  for (int i = 0; i < 200 * GPU_GATE_SEEDS_IN_TEN; ++i) {
    std::string nodes = nodes_of_2205();
    std::string jobs = kJobsOf2205;
    for (std::string* text : {&nodes, &jobs}) {
      for (int changes = 0; changes < 4; ++changes) {
        (*text)[random() % text->size()] = static_cast<char>(random());
      }
      if (random() % 4 == 0) text->resize(random() % text->size());
    }
    slurm_board(nodes, read_slurm_jobs(jobs).value_or(std::vector<SlurmRequest>{}));
    slurm_board(nodes, read_slurm_job_lines(jobs, 0));
  }
  const std::string deep(100000, '[');
  EXPECT_FALSE(read_slurm_jobs(deep));
  EXPECT_TRUE(read_slurm_jobs(R"({"x": )" + deep + std::string(100000, ']') + R"(, "jobs": []})"));
}

}  // namespace
}  // namespace gpu_gate
