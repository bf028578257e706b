#include <unistd.h>

#include <ctime>

#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "cli/slurm_text.h"
#include "cluster/slurm_board.h"
#include "cluster/slurm_client.h"

namespace gpu_gate {
namespace {

/// A large cluster needs its time for a list of all jobs.
constexpr std::chrono::seconds kListLimit{60};

Result<ClientEnd> asked(const std::string& command, const std::vector<std::string>& options) {
  std::vector<std::string> words{command};
  words.insert(words.end(), options.begin(), options.end());
  return run_client(words, environ, kListLimit);
}

/// What the command prints. Errors: as run_client, and where it has failed.
Result<std::string> listed(const std::string& command, const std::vector<std::string>& options) {
  Result<ClientEnd> end = asked(command, options);
  if (!end) return fail(end.error());
  if (end->code == 0) return std::move(end->out);
  return fail(ErrorKind::gpu_state, command + " has failed: " + end->complaint());
}

/// By text where squeue knows no JSON. Errors: as listed.
Result<std::vector<SlurmRequest>> listed_jobs(const std::string& squeue) {
  const Result<ClientEnd> json = asked(squeue, squeue_json_options());
  if (!json) return fail(json.error());
  if (json->code == 0) {
    auto requests = read_slurm_jobs(json->out);
    if (requests) return std::move(*requests);
    return fail(ErrorKind::gpu_state, squeue + " --json does not print a list of jobs");
  }
  const Result<std::string> lines = listed(squeue, squeue_lines_options());
  if (!lines) return fail(lines.error());
  return read_slurm_job_lines(*lines, std::time(nullptr));
}

}  // namespace

Status slurm_status_command(const Options& options) {
  const Result<SlurmClient> client = reach_slurm(environ);
  if (!client) return fail(client.error());
  const Result<std::string> nodes = listed(client->sinfo, sinfo_options());
  if (!nodes) return fail(nodes.error());
  Result<std::vector<SlurmRequest>> jobs = listed_jobs(client->squeue);
  if (!jobs) return fail(jobs.error());
  const SlurmBoard board = slurm_board(*nodes, std::move(*jobs));
  return print(options.json ? slurm_json(board) : slurm_text(board, style_of_stdout()));
}

}  // namespace gpu_gate
