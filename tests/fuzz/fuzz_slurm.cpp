// What Slurm's commands print, to the board of a cluster, as text and JSON: a line with the GPUs of
// a node, one with those in use, one with its state, and behind them the jobs, read in both forms.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/json_output.h"
#include "cli/slurm_text.h"
#include "cluster/slurm_board.h"

namespace {

std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string padded(std::string_view text, std::size_t width) {
  std::string cell(text.substr(0, width));
  cell.resize(width, ' ');
  return cell;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_gate;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view gres = next_line(text);
  const std::string_view used = next_line(text);
  const std::string_view state = next_line(text);
  std::string nodes;
  for (const char* name : {"n1", "n2"}) {  // in the columns of sinfo_options
    nodes += padded(name, 128) + padded(state, 32) + padded(gres, 1024) + padded(used, 1024) +
             padded(used, 256) + "\n";
  }
  for (auto jobs : {read_slurm_jobs(text).value_or(std::vector<SlurmRequest>{}),
                    read_slurm_job_lines(text, 1'800'000'000)}) {
    const SlurmBoard board = slurm_board(nodes, std::move(jobs));
    slurm_json(board);
    slurm_text(board, {.now = 1'800'000'000});
    slurm_text(board, {.colour = true, .utf8 = false, .width = size % 100, .now = 0});
  }
  return 0;
}
