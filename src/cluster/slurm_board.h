#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/slurm_jobs.h"

namespace gpu_gate {

// The GPUs of a Slurm cluster, who holds them and who waits. Pure. All text is as it comes: to be
// made printable where it is shown.

struct SlurmCard {
  std::optional<int> index;         // in the node, as the job there sees it
  std::optional<std::string> type;  // Slurm's name for it
  std::optional<SlurmJob> holder;   // without an id where Slurm does not tell whose it is
};

struct SlurmNode {
  std::string name;
  std::string state;       // Slurm's word: "idle", "drained", "down, not responding"
  bool takes_jobs = true;  // in that state
  std::string reason;      // why not, as an administrator has said it; "" if nothing is said
  std::vector<SlurmCard> cards;
};

struct SlurmBoard {
  std::vector<SlurmNode> nodes;       // those with GPUs
  std::vector<SlurmRequest> waiters;  // by priority
};

/// Asks for the nodes, as text, which is the same in all versions: since 23.02 sinfo's JSON has
/// other members, and a row for all nodes that are alike.
std::vector<std::string> sinfo_options();

/// `nodes`: what that prints. What cannot be read is left out.
SlurmBoard slurm_board(std::string_view nodes, std::vector<SlurmRequest> requests);

}  // namespace gpu_gate
