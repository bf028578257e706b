#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_gate {

// How Slurm's commands write down what they know. Pure; whatever comes is taken.

/// No node has more GPUs, as far as we are concerned.
constexpr int kMostCardsOfNode = 1024;

/// A column of text, padded and cut to its width in bytes, as by --Format of sinfo(1) and
/// squeue(1).
struct SlurmColumn {
  const char* name;
  std::size_t width;
};

/// "--Format=NodeList:128,Gres:1024".
std::string format_option(std::span<const SlurmColumn> columns);

/// The text as cells: for each line one of each column, without the spaces around it.
std::vector<std::vector<std::string>> cells_of_columns(std::string_view text,
                                                       std::span<const SlurmColumn> columns);

/// GPUs of one type, of a node, a job or a request.
struct GpuCount {
  std::string type;  // "" where none is named
  int count = 1;
  std::vector<int> indices;  // in the node, where they are told
};

/// Those in a list as "gpu:l40s:2(S:0-1),gpu:h100:1(IDX:2),shard:8", "gres:gpu:2",
/// "gres/gpu:h100=2".
std::vector<GpuCount> gpu_counts(std::string_view list);

/// "n1,n[3-4],rack[0-1]n[01-02]" one by one, as scontrol show hostnames; so many at the most.
std::vector<std::string> expand_hosts(std::string_view list, std::size_t most);

/// "1-02:03:04", days to seconds, as seconds.
std::optional<std::int64_t> elapsed_seconds(std::string_view text);

}  // namespace gpu_gate
