#include "cluster/slurm_client.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/env.h"
#include "base/printable.h"
#include "base/wait_set.h"
#include "cluster/child.h"
#include "cluster/srun_report.h"
#include "job/command.h"

namespace gpu_gate {
namespace {

constexpr std::chrono::seconds kPingLimit{4};
constexpr std::size_t kMostOutput = std::size_t{512} << 20;

/// Until both streams have ended. False where that takes too long, or too much comes.
Result<bool> read_both(UniqueFd out, UniqueFd err, ClientEnd& end, Clock::time_point until) {
  while (out || err) {
    if (Clock::now() >= until) return false;
    if (end.out.size() + end.err.size() > kMostOutput) return false;
    WaitSet set;
    const WaitSet::Id from_out = set.add(out.get(), POLLIN);
    const WaitSet::Id from_err = set.add(err.get(), POLLIN);
    set.until(until);
    if (Status slept = set.sleep(); !slept) return fail(slept.error());
    if (set.fired(from_out) && !read_from(out.get(), end.out)) out.reset();
    if (set.fired(from_err) && !read_from(err.get(), end.err)) err.reset();
  }
  return true;
}

int code_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<SlurmClient> find_slurm_client(const char* const* environment) {
  const std::optional<std::string> path = env_variable(environment, env::kPath);
  SlurmClient client;
  for (const auto& [name, file] : {std::pair("srun", &client.srun),
                                   {"scancel", &client.scancel},
                                   {"scontrol", &client.scontrol},
                                   {"squeue", &client.squeue},
                                   {"sinfo", &client.sinfo}}) {
    Result<std::string> found = find_command(name, path ? path->c_str() : nullptr);
    if (!found) {
      return fail(
          ErrorKind::gpu_state,
          std::string("there is no ") + name +
              " here: --on slurm needs Slurm's client commands in PATH, as on a login node of the "
              "cluster");
    }
    *file = *std::move(found);
  }
  const std::optional<std::string> configuration = env_setting(environment, env::kSlurmConf);
  struct stat info{};
  if (configuration && ::stat(configuration->c_str(), &info) != 0) {
    return fail(ErrorKind::gpu_state, "SLURM_CONF is " + printable(*configuration) + ": " +
                                          std::strerror(errno) +
                                          "; unset it, or name the cluster's slurm.conf");
  }
  return client;
}

std::string ClientEnd::complaint() const {
  const std::string_view text = err.empty() ? out : err;
  const std::size_t begin = text.find_first_not_of(" \n");
  if (begin == std::string_view::npos) return "exit status " + std::to_string(code);
  if (err.empty()) return printable(text.substr(begin, text.find('\n', begin) - begin));
  const std::size_t end = text.find_last_not_of(" \n");
  const std::size_t before = text.rfind('\n', end);  // npos + 1 is 0
  return printable(text.substr(before + 1, end - before));
}

Result<ClientEnd> run_client(const std::vector<std::string>& words, const char* const* environment,
                             std::chrono::seconds limit) {
  Result<Pipe> out = open_pipe(OwnEnd::read);
  if (!out) return fail(out.error());
  Result<Pipe> err = open_pipe(OwnEnd::read);
  if (!err) return fail(err.error());
  std::vector<std::string> variables;
  for (const char* const* each = environment; *each != nullptr; ++each)
    variables.emplace_back(*each);
  const Clock::time_point until = Clock::now() + limit;
  const ChildStatuses statuses;
  const Result<pid_t> pid = start_child(
      words, variables, {.out = out->write_end.get(), .err = err->write_end.get(), .kept = {}});
  if (!pid) return fail(pid.error());
  out->write_end.reset();
  err->write_end.reset();
  ClientEnd end;
  const Result<bool> read =
      read_both(std::move(out->read_end), std::move(err->read_end), end, until);
  if (!read || !*read) ::kill(*pid, SIGKILL);
  end.code = code_of(*pid);
  if (!read) return fail(read.error());
  if (*read) return end;
  return fail(slurm_unreachable(words[0] + " has not answered within " +
                                std::to_string(limit.count()) + " s"));
}

Result<SlurmClient> reach_slurm(const char* const* environment) {
  Result<SlurmClient> client = find_slurm_client(environment);
  if (!client) return client;
  const Result<ClientEnd> ping = run_client({client->scontrol, "ping"}, environment, kPingLimit);
  if (!ping) return fail(ping.error());
  if (ping->code != 0) return fail(slurm_unreachable(ping->complaint()));
  return client;
}

}  // namespace gpu_gate
