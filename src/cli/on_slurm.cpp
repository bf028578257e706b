#include "cli/on_slurm.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "base/env.h"
#include "base/printable.h"
#include "base/signals.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "cli/text.h"
#include "cli/wait_line.h"
#include "cluster/allocation.h"
#include "cluster/site_table.h"
#include "cluster/step.h"

namespace gpu_gate {
namespace {

struct NotThere {
  const char* option = "";
  bool (*is_given)(const Options& options) = nullptr;
  const char* instead = "";
};

// Nothing that a user has asked for is left out without a word.
constexpr NotThere kNotThere[] = {
    {.option = "--only",
     .is_given = [](const Options& options) { return options.only.has_value(); },
     .instead = "Slurm chooses the GPUs; --slurm-args='-w NODE' names the node"},
    {.option = "--exclude",
     .is_given = [](const Options& options) { return !options.exclude.empty(); },
     .instead = "Slurm chooses the GPUs; --slurm-args='-x NODE' leaves out a node"},
    {.option = "--share",
     .is_given = [](const Options& options) { return options.criteria.share_mib.has_value(); },
     .instead = "Slurm gives whole GPUs; leave it out, or ask for a type with --min-free-mb"},
    {.option = "--vendor",
     .is_given = [](const Options& options) { return options.vendor.has_value(); },
     .instead = "Slurm knows types of GPU; --slurm-args=--gpus=TYPE:N names one (sinfo -o %G)"},
    {.option = "--ids uuid",
     .is_given = [](const Options& options) { return options.ids == Ids::uuid; },
     .instead = "Slurm numbers the GPUs; GPU_GATE_UUIDS has the UUIDs where the node tells them"},
};

/// Tells the user on stderr, as Notices does of a wait on this machine.
class SlurmNotices final : public StepObserver {
 public:
  explicit SlurmNotices(const Options& options)
      : quiet_(options.quiet), wish_(awaited_text(options.criteria)), line_(options.quiet) {}

  void waiting(const std::string& job, const std::string& reason) override {
    waited_ = true;
    std::string where = job.empty() ? " in this job of Slurm's" : " on Slurm (job " + job;
    if (!job.empty()) where += (reason.empty() ? "" : ": " + reason) + ")";
    tell("waiting for " + wish_ + where + "\n");
  }

  void started(const StepStart& start) override {
    const bool one = start.visible.find(',') == std::string::npos;
    std::string text = fmt::format("using GPU{} {} of {}", one ? "" : "s", printable(start.visible),
                                   printable(start.node));
    if (waited_) text += " after " + line_.waited_text();
    tell(text + "\n");
  }

  void said(const std::string& line) override { line_.tell(line + "\n"); }

  std::chrono::milliseconds tick() const override {
    return std::chrono::milliseconds(line_.on_terminal() ? 1000 : 0);
  }

  void ticked() override { line_.show(""); }

  void clear() { line_.clear(); }

  void tell(const std::string& lines) {
    if (!quiet_) line_.tell(lines);
  }

 private:
  bool quiet_;
  std::string wish_;
  bool waited_ = false;
  WaitLine line_;
};

/// $PWD where that is the directory of this process, as a shell writes it; else the directory.
std::string working_directory() {
  struct stat named{};
  struct stat here{};
  const char* pwd = std::getenv("PWD");
  if (pwd != nullptr && *pwd == '/' && ::stat(pwd, &named) == 0 && ::stat(".", &here) == 0 &&
      named.st_dev == here.st_dev && named.st_ino == here.st_ino) {
    return pwd;
  }
  std::array<char, 4096> path{};
  return ::getcwd(path.data(), path.size()) != nullptr ? path.data() : "/";
}

/// The type of GPU that has the memory asked for; says what is not part of the request.
Result<std::string> wanted_type(const Options& options, SlurmNotices& notices) {
  const Criteria& criteria = options.criteria;
  if (criteria.max_util_pct) {
    notices.tell("--max-util is not part of the request: Slurm gives GPUs that nobody else has\n");
  }
  if (!criteria.min_free_mib || *criteria.min_free_mib == 0) return "";
  const Result<std::optional<SiteTable>> table = read_site_table(environ);
  if (!table) return fail(table.error());
  if (!*table) {
    notices.tell(
        "--min-free-mb is not part of the request: Slurm does not know how much memory a type of "
        "GPU "
        "has, and nobody has written it into /etc/gpu-gate/slurm.toml\n");
    return "";
  }
  return type_with_memory(**table, *criteria.min_free_mib);
}

/// "python" of "/usr/bin/python".
std::string program_of(const std::string& word) { return word.substr(word.rfind('/') + 1); }

Result<StepEnd> step_of(const Options& options, SlurmNotices& notices) {
  if (Status checked = check_for_slurm(options); !checked) return fail(checked.error());
  if (is_in_step_with_gpus(environ)) {
    return fail(ErrorKind::impossible,
                "this is a step of Slurm's that has the GPUs of its job itself, and a step inside "
                "would wait "
                "for its end; leave out --on slurm to choose among its GPUs");
  }
  Result<std::string> type = wanted_type(options, notices);
  if (!type) return fail(type.error());
  const bool runs = !options.command.empty();
  const bool at_once = options.timeout && options.timeout->count() == 0;
  return run_step({.request = {.count = options.criteria.count,
                               .type = *std::move(type),
                               .name = runs ? program_of(options.command.front()) : "gpu-gate",
                               .note = options.note,
                               .nice = options.criteria.nice,
                               .at_once = at_once,
                               .of_allocation = env_setting(environ, env::kSlurmJob).has_value(),
                               .more = options.slurm_args},
                   .directory = working_directory(),
                   .command = options.command,
                   .timeout = options.timeout,
                   .poll = options.poll,
                   .ask_reason = !options.quiet},
                  environ, notices);
}

/// The same, where it has come to its start.
Result<StepEnd> started_step(const Options& options) {
  SlurmNotices notices(options);
  Result<StepEnd> end = step_of(options, notices);
  notices.clear();
  if (!end) return end;
  if (end->how == StepEnd::How::signalled) die_of(end->number);
  if (end->how == StepEnd::How::exited) return end;
  const double waited = std::chrono::duration<double>(*options.timeout).count();
  return fail(ErrorKind::timed_out,
              waited == 0
                  ? "Slurm cannot start it at once (--timeout 0: one try)"
                  : fmt::format("Slurm has not started it within {:g} s (--timeout)", waited));
}

}  // namespace

Status check_for_slurm(const Options& options) {
  const char* const verb = options.verb == Verb::wait ? "wait" : "run";
  for (const NotThere& each : kNotThere) {
    if (!each.is_given(options)) continue;
    return fail(ErrorKind::usage,
                fmt::format("{}: --on slurm has no {}: {}", verb, each.option, each.instead));
  }
  Status words = check_srun_options(options.slurm_args);
  if (!words) return fail(ErrorKind::usage, fmt::format("{}: {}", verb, words.error().text));
  return {};
}

Result<int> run_on_slurm(const Options& options) {
  const Result<StepEnd> end = started_step(options);
  if (!end) return fail(end.error());
  if (end->by_our_signal) die_of(end->number - 128);
  return end->number;
}

Status wait_on_slurm(const Options& options) {
  const Result<StepEnd> end = started_step(options);
  if (!end) return fail(end.error());
  const StepStart& start = *end->start;
  return print(options.json ? step_json(start) : start.node + ":" + start.visible + "\n");
}

}  // namespace gpu_gate
