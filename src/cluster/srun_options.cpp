#include "cluster/srun_options.h"

#include <algorithm>
#include <string_view>

#include "base/printable.h"

namespace gpu_gate {
namespace {

/// An option that may not be given, with what to do instead.
struct RefusedOption {
  std::string_view name;
  char letter = '\0';
  std::string_view instead;
};

constexpr std::string_view kOneTask =
    "gpu-gate starts one task on one node; write srun itself for more";
constexpr std::string_view kOwnStreams = "gpu-gate carries the streams of the command itself";

constexpr RefusedOption kRefused[] = {
    {.name = "--nodes", .letter = 'N', .instead = kOneTask},
    {.name = "--ntasks", .letter = 'n', .instead = kOneTask},
    {.name = "--multi-prog", .instead = kOneTask},
    {.name = "--input", .letter = 'i', .instead = kOwnStreams},
    {.name = "--output", .letter = 'o', .instead = kOwnStreams},
    {.name = "--error", .letter = 'e', .instead = kOwnStreams},
    {.name = "--label", .letter = 'l', .instead = kOwnStreams},
    {.name = "--pty", .instead = "for a terminal on the node write srun --pty itself"},
    {.name = "--immediate", .letter = 'I', .instead = "write --timeout 0, or another time"},
};

bool is_option(std::string_view word, const RefusedOption& option) {
  if (word.starts_with("--")) return word.substr(0, word.find('=')) == option.name;
  return option.letter != '\0' && word.size() > 1 && word[0] == '-' && word[1] == option.letter;
}

// They would change the streams (srun(1), "INPUT ENVIRONMENT VARIABLES").
constexpr const char* kUnset[] = {"SLURM_LABELIO",    "SLURM_STDINMODE",  "SLURM_STDOUTMODE",
                                  "SLURM_STDERRMODE", "SLURM_EXIT_ERROR", "SLURM_EXIT_IMMEDIATE"};

}  // namespace

std::vector<std::string> srun_options(const StepRequest& request, int errors) {
  const std::string type = request.type.empty() ? "" : request.type + ":";
  std::vector<std::string> words{"-N1",
                                 "-n1",
                                 "--gpus=" + type + std::to_string(request.count),
                                 "--unbuffered",
                                 "--chdir=/",  // where every node can begin
                                 "--error=/dev/fd/" + std::to_string(errors),
                                 "--job-name=" + request.name};
  if (!request.note.empty()) words.push_back("--comment=" + request.note);
  if (request.nice) words.emplace_back("--nice");
  if (request.at_once) words.emplace_back("--immediate=1");
  // Else it takes all of the job's CPUs (srun(1), since Slurm 20.11).
  if (request.of_allocation) words.emplace_back("--exact");
  words.insert(words.end(), request.more.begin(), request.more.end());
  return words;
}

Status check_srun_options(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const auto* refused = std::find_if(std::begin(kRefused), std::end(kRefused),
                                       [&](const auto& option) { return is_option(word, option); });
    if (refused == std::end(kRefused)) continue;
    return fail(ErrorKind::usage, "--slurm-args: leave out '" + printable(word) +
                                      "': " + std::string(refused->instead));
  }
  return {};
}

std::vector<std::string> srun_environment(const char* const* environment) {
  std::vector<std::string> variables;
  for (; *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    const std::string_view name = variable.substr(0, variable.find('='));
    if (std::find(std::begin(kUnset), std::end(kUnset), name) == std::end(kUnset)) {
      variables.emplace_back(variable);
    }
  }
  variables.push_back("SLURM_EXIT_ERROR=" + std::to_string(kSrunFailed));
  variables.push_back("SLURM_EXIT_IMMEDIATE=" + std::to_string(kSrunWouldWait));
  return variables;
}

}  // namespace gpu_gate
