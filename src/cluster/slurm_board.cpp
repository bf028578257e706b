#include "cluster/slurm_board.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace gpu_gate {
namespace {

constexpr SlurmColumn kNodeColumns[] = {{.name = "NodeList", .width = 128},
                                        {.name = "StateLong", .width = 32},
                                        {.name = "Gres", .width = 1024},
                                        {.name = "GresUsed", .width = 1024},
                                        {.name = "Reason", .width = 256}};
enum NodeField { kNodeName, kNodeState, kGres, kGresUsed, kNodeReason };

/// "drained*" in words. sinfo(1), "NODE STATE CODES": an asterisk for a node that does not respond,
/// other signs for one that is powered up or down, or reserved.
void set_state(SlurmNode& node, const std::string& state) {
  const std::size_t letters = static_cast<std::size_t>(
      std::find_if(state.begin(), state.end(),
                   [](unsigned char c) { return std::isalpha(c) == 0 && c != '_'; }) -
      state.begin());
  node.state = state.substr(0, letters);
  constexpr std::array kTakingJobs{"idle", "mixed", "allocated", "completing", "planned"};
  node.takes_jobs =
      std::find(kTakingJobs.begin(), kTakingJobs.end(), node.state) != kTakingJobs.end();
  if (state.find('*', letters) == std::string::npos) return;
  node.takes_jobs = false;
  node.state += ", not responding";
}

/// A node whose cards are still to be given to jobs.
struct NodeOfCards {
  SlurmNode node;
  std::vector<GpuCount> used;  // by whomever
  bool types_known = true;     // which card has which type
  bool indices_known = true;   // which cards a job has
};

/// Cards in the order of the types, which is that of gres.conf(5) where nobody has mixed them.
std::vector<SlurmCard> cards_of(const std::vector<GpuCount>& counts) {
  std::vector<SlurmCard> cards;
  for (const GpuCount& type : counts) {
    for (int i = 0; i < type.count && cards.size() < kMostCardsOfNode; ++i) {
      SlurmCard card{.index = static_cast<int>(cards.size()), .type = {}, .holder = {}};
      if (!type.type.empty()) card.type = type.type;
      cards.push_back(std::move(card));
    }
  }
  return cards;
}

std::vector<NodeOfCards> read_nodes(std::string_view text) {
  std::vector<NodeOfCards> nodes;
  for (const std::vector<std::string>& cells : cells_of_columns(text, kNodeColumns)) {
    NodeOfCards node;
    node.node.name = cells[kNodeName];
    set_state(node.node, cells[kNodeState]);
    const std::string& reason = cells[kNodeReason];
    if (reason != "none" && reason != "(null)") node.node.reason = reason;
    node.node.cards = cards_of(gpu_counts(cells[kGres]));
    node.used = gpu_counts(cells[kGresUsed]);
    // A node is told of once for each partition that has it; one that is "future" is not there yet.
    const bool is_known = std::any_of(nodes.begin(), nodes.end(), [&](const NodeOfCards& each) {
      return each.node.name == node.node.name;
    });
    if (is_known || node.node.cards.empty() || node.node.state == "future") continue;
    nodes.push_back(std::move(node));
  }
  return nodes;
}

/// Marks so many cards of this type as held. Without indices, some that are not.
void hold_cards(NodeOfCards& node, const GpuCount& gpus, const SlurmJob& job) {
  std::vector<SlurmCard>& cards = node.node.cards;
  int left = gpus.count;
  for (const int index : gpus.indices) {
    if (index >= static_cast<int>(cards.size())) continue;
    SlurmCard& card = cards[static_cast<std::size_t>(index)];
    if (!gpus.type.empty() && card.type != gpus.type) {
      node.types_known = false;
      card.type = gpus.type;
    }
    if (!card.holder) card.holder = job;
    --left;
  }
  for (SlurmCard& card : cards) {
    if (left <= 0) break;
    if (card.holder || (!gpus.type.empty() && card.type && *card.type != gpus.type)) continue;
    card.holder = job;
    node.indices_known = false;
    --left;
  }
}

/// What each node has in use beside what jobs that are shown have there.
void hold_for_others(NodeOfCards& node) {
  const SlurmJob hidden;
  for (const GpuCount& used : node.used) {
    const auto held =
        std::count_if(node.node.cards.begin(), node.node.cards.end(), [&](const SlurmCard& card) {
          return card.holder && (used.type.empty() || !card.type || *card.type == used.type);
        });
    const int rest = used.count - static_cast<int>(held);
    if (rest <= 0) continue;
    if (node.indices_known && !used.indices.empty()) {
      hold_cards(node, used, hidden);
    } else {
      hold_cards(node, {.type = used.type, .count = rest, .indices = {}}, hidden);
    }
  }
}

/// Takes back what turned out to be a guess.
void forget_guesses(NodeOfCards& node) {
  for (SlurmCard& card : node.node.cards) {
    if (!node.indices_known) card.index.reset();
    if (!node.types_known && !card.holder) card.type.reset();
  }
}

void hold_for(const SlurmRequest& request, std::vector<NodeOfCards>& nodes) {
  for (const SlurmPart& part : request.parts) {
    const auto node = std::find_if(nodes.begin(), nodes.end(), [&](const NodeOfCards& each) {
      return each.node.name == part.node;
    });
    if (node == nodes.end()) continue;
    for (const GpuCount& gpus : part.gpus) hold_cards(*node, gpus, request.job);
  }
}

bool comes_before(const SlurmRequest& a, const SlurmRequest& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  return a.job.id < b.job.id;
}

}  // namespace

std::vector<std::string> sinfo_options() {
  return {"--Node", "--noheader", format_option(kNodeColumns)};
}

SlurmBoard slurm_board(std::string_view nodes, std::vector<SlurmRequest> requests) {
  std::vector<NodeOfCards> known = read_nodes(nodes);
  SlurmBoard board;
  for (SlurmRequest& request : requests) {
    if (request.waits) {
      board.waiters.push_back(std::move(request));
    } else {
      hold_for(request, known);
    }
  }
  std::sort(board.waiters.begin(), board.waiters.end(), comes_before);
  for (NodeOfCards& node : known) {
    hold_for_others(node);
    forget_guesses(node);
    board.nodes.push_back(std::move(node.node));
  }
  return board;
}

}  // namespace gpu_gate
