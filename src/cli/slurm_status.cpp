#include <unistd.h>

#include <ctime>

#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "cli/slurm_text.h"
#include "cluster/client.h"
#include "cluster/slurm_board.h"

namespace gpu_gate {
namespace {

/// A large cluster needs its time for a list of all jobs.
constexpr std::chrono::seconds kListLimit{60};

/// What the command prints. Errors: as run_client, and where it has failed.
Result<std::string> listed(const std::vector<std::string>& query) {
  Result<ClientEnd> end = run_client(query, kListLimit);
  if (!end) return fail(end.error());
  if (end->code == 0) return std::move(end->out);
  return fail(ErrorKind::gpu_state, query[0] + " has failed: " + end->complaint());
}

/// By text where squeue knows no JSON. Errors: as listed.
Result<std::vector<SlurmRequest>> listed_jobs() {
  const Result<ClientEnd> json = run_client(slurm_jobs_query(), kListLimit);
  if (!json) return fail(json.error());
  if (json->code == 0) {
    auto requests = read_slurm_jobs(json->out);
    if (requests) return std::move(*requests);
    return fail(ErrorKind::gpu_state, "squeue --json does not print a list of jobs");
  }
  const Result<std::string> lines = listed(slurm_job_lines_query());
  if (!lines) return fail(lines.error());
  return read_slurm_job_lines(*lines, std::time(nullptr));
}

}  // namespace

Status slurm_status_command(const Options& options) {
  if (Status reached = reach_slurm(environ); !reached) return reached;
  const Result<std::string> nodes = listed(slurm_nodes_query());
  if (!nodes) return fail(nodes.error());
  Result<std::vector<SlurmRequest>> jobs = listed_jobs();
  if (!jobs) return fail(jobs.error());
  const SlurmBoard board = slurm_board(*nodes, std::move(*jobs));
  return print(options.json ? slurm_json(board) : slurm_text(board, style_of_stdout()));
}

}  // namespace gpu_gate
