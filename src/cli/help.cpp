#include <algorithm>

#include "cli/cli.h"
#include "cli/tables.h"
#include "cli/wrap.h"

namespace gpu_gate {
namespace {

constexpr std::size_t kWidth = 80;
constexpr std::size_t kTextColumn = 27;     // of an option
constexpr std::size_t kNameWidth = 6;       // of a subcommand
constexpr std::size_t kPurposeColumn = 50;  // likewise

constexpr const char* kIntroduction =
    "Waits for a free GPU, claims it, sets CUDA_VISIBLE_DEVICES and becomes the\n"
    "command.\n\n";

constexpr const char* kRest = R"(
Examples:
  gpu-gate run -- python train.py         one GPU that nobody else is on
  gpu-gate run -n 2 --min-free-mb 8000 -- make
                                          two GPUs with 8000 MiB free each
  gpu-gate run --share 8G -- jupyter lab  8 GiB of a GPU, beside others
  for s in 1 2 3; do gpu-gate run -- ./job $s & done; wait
                                          each job gets its own GPU, in turn

All users of the machine share one line and take turns. A claim lasts as long as
any process of the command and ends by itself, even after kill -9. There is no
daemon, and nothing to set up.

Environment:
  CUDA_VISIBLE_DEVICES   if set, choose only among these (gpu-gate sets it for
                         the command)
  ROCR_VISIBLE_DEVICES   the same for AMD GPUs, and within it
                         HIP_VISIBLE_DEVICES
  GPU_GATE_LOCK_DIR      the lock directory (default: /run/gpu-gate if it
                         exists, else gpu-gate in /run/lock or /tmp)
  GPU_GATE_HISTORY       the directory of the history (default:
                         /var/lib/gpu-gate)
  GPU_GATE_NVML          the NVIDIA driver's library (default:
                         libnvidia-ml.so.1)
  GPU_GATE_VENDOR        nvidia or amd, as --vendor
  GPU_GATE_SLURM         the memory of a cluster's types of GPU, for --on slurm
                         (default: /etc/gpu-gate/slurm.toml)
  NO_COLOR               no colours in status

Exit status: that of the command; or 1 doctor has found faults, or cancel could
not end every request, 2 bad options, 3 this machine can never meet the request,
4 the GPUs, or Slurm, cannot be asked, 5 the lock directory cannot be used,
124 --timeout has passed, 125 gpu-gate itself failed (stdout, memory,
descriptors), 126 the command cannot be executed, 127 it is not found,
129/130/143 ended by a signal while waiting.
)";

std::string padded(std::string text, std::size_t column) {
  text.resize(std::max(text.size(), column), ' ');
  return text;
}

std::string program_help() {
  std::string text = kIntroduction;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    const std::string form = "  gpu-gate " + padded(verb.name, kNameWidth) + " " + verb.synopsis;
    text += padded(form, kPurposeColumn) + verb.purpose + "\n";
  }
  return text + padded("  gpu-gate --help | --version", kPurposeColumn) +
         "also: gpu-gate help run\n" + kRest;
}

/// A text beside its head, in as many lines as it takes.
std::string beside(const std::string& head, const std::string& paragraph) {
  std::string text;
  for (const std::string& line : wrapped(paragraph, kWidth - kTextColumn)) {
    text += padded(text.empty() ? head : "", kTextColumn) + line + "\n";
  }
  return text;
}

std::string option_help(const OptionRow& option) {
  std::string head = "      ";
  if (option.letter != '\0') head = std::string("  -") + option.letter + ", ";
  return beside(head + written(option), described(option));
}

std::string verb_help(const VerbRow& verb) {
  std::string text = std::string(verb.help) + "\n\n  gpu-gate " + verb.name + " " + verb.synopsis +
                     "\n" + verb.details;
  for (const GroupRow& group : group_rows()) {
    std::string options;
    for (const OptionRow& option : option_rows()) {
      if (option.group == group.group && belongs(option, verb.verb)) options += option_help(option);
    }
    if (options.empty()) continue;
    text += std::string("\n") + group.title + ":\n" + options + beside("", group.note);
  }
  return text;
}

}  // namespace

std::string help_text(const std::string& topic) {
  const VerbRow* verb = find_verb(topic);
  return verb == nullptr || verb->verb == Verb::help ? program_help() : verb_help(*verb);
}

}  // namespace gpu_gate
