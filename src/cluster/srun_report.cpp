#include "cluster/srun_report.h"

#include <algorithm>
#include <utility>

#include "base/printable.h"
#include "cluster/srun_options.h"

namespace gpu_gate {
namespace {

bool has_words(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// What stands behind the last of these words; nothing where they are not there.
std::optional<std::string_view> behind(std::string_view line, std::string_view words) {
  const auto at = line.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  return line.substr(at + words.size());
}

// slurm_errno.c: the same in 22.05, 24.05 and 25.05.
constexpr std::string_view kUnreachable[] = {"Unable to contact slurm controller",
                                             "Socket timed out",
                                             "authentication",
                                             "Zero Bytes were transmitted",
                                             "Could not establish a configuration source",
                                             "Communication connection failure",
                                             "munge",
                                             "Munge"};

bool tells_unreachable(std::string_view text) {
  return std::any_of(std::begin(kUnreachable), std::end(kUnreachable),
                     [&](std::string_view words) { return has_words(text, words); });
}

std::string joined_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

// What srun says of the end of a step or a request, which gpu-gate tells itself.
constexpr std::string_view kNoise[] = {
    "Force Terminated", "Job step aborted", "has been revoked", "Cancelled pending",
    "still disabled", "Try \"srun --help\"", "Terminating",
    // of a request that waits nevertheless
    "Required node not available", "configuration not available now", "Partition in "};

}  // namespace

Error slurm_unreachable(const std::string& what) {
  return Error{.kind = ErrorKind::gpu_state,
               .text = "Slurm cannot be reached: " + what +
                       "; scontrol ping tells whether its controller answers"};
}

void SrunReport::take(std::string_view bytes) {
  kept_ += bytes;
  std::size_t at = 0;
  for (;;) {
    const std::size_t newline = kept_.find('\n', at);
    if (newline == std::string::npos) break;
    take_line(std::string_view(kept_).substr(at, newline - at));
    at = newline + 1;
  }
  kept_.erase(0, at);
}

void SrunReport::take_line(std::string_view line) {
  const std::string_view text = behind(line, "srun: ").value_or(line);
  const std::optional<std::string_view> error = behind(text, "error: ");
  if (has_words(text, ": task 0: ")) {
    told_end_ = true;
  } else if (has_words(text, "queued and waiting for resources")) {
    waits_ = true;
    const auto number = behind(text, "job ").value_or("");
    job_ = number.substr(0, number.find(' '));
  } else if (has_words(text, "step creation temporarily disabled")) {
    waits_ = true;
  } else if (has_words(text, "has been allocated resources") || has_words(text, "Step created")) {
    granted_ = true;
  } else if (has_words(text, "Job has been cancelled")) {
    cancelled_ = true;
  } else if (const auto reason = behind(text, "Unable to allocate resources: ")) {
    refused_ = *reason;
  } else if (has_words(text, "Unable to create step for job ")) {
    refused_ = behind(text.substr(text.find("for job ")), ": ").value_or(text);
  } else if (std::none_of(std::begin(kNoise), std::end(kNoise),
                          [&](std::string_view noise) { return has_words(text, noise); })) {
    if (!text.empty()) errors_.emplace_back(error.value_or(text));
    lost_node_ = lost_node_ || has_words(text, "Node failure");
    if (error && *error != last_news_) news_.emplace_back(last_news_ = *error);
  }
}

std::vector<std::string> SrunReport::news() { return std::exchange(news_, {}); }

Error SrunReport::refusal(int status) const {
  const std::string all = printable(joined_lines(errors_));
  const std::string refused = printable(refused_);
  // A step of an allocation does not end with kSrunWouldWait.
  if (status == kSrunWouldWait || has_words(refused, "nodes are busy"))
    return {.kind = ErrorKind::timed_out, .text = refused};
  if (tells_unreachable(refused)) return slurm_unreachable(refused);
  if (!refused.empty()) {
    return {
        .kind = ErrorKind::impossible,
        .text = "Slurm refuses the request: " + refused + (all.empty() ? "" : " (" + all + ")")};
  }
  if (tells_unreachable(all)) return slurm_unreachable(all);
  const std::string told = all.empty() ? "it ended with " + std::to_string(status) : all;
  // It has not got as far as asking for anything: its options are wrong.
  if (status != 0 && !waits_) {
    return {.kind = ErrorKind::usage,
            .text = "srun does not take its options: " + told + "; look at --slurm-args"};
  }
  return {.kind = ErrorKind::system, .text = "srun did not start the command: " + told};
}

}  // namespace gpu_gate
