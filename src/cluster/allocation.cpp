#include "cluster/allocation.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <vector>

#include "base/env.h"
#include "base/printable.h"
#include "gpu/visible_devices.h"

namespace gpu_gate {
namespace {

// slurm.h: SLURM_MAX_NORMAL_STEP_ID. Above are the batch script and salloc's shell on the node.
constexpr std::uint32_t kFirstSpecialStep = 0xfffffff0;

/// "Slurm job 4711"; nothing outside of one.
std::optional<std::string> slurm_job(const char* const* environment) {
  const std::optional<std::string> id = env_setting(environment, env::kSlurmJob);
  if (!id) return std::nullopt;
  return "Slurm job " + printable(*id);
}

/// Slurm up to 17.02 wrote NoDevFiles for no device.
bool names_devices(const VisibleList& list) {
  return !list.value.empty() && list.value != "NoDevFiles";
}

/// "srun --gpus=1 gpu-gate run -- ./job". All on one node, since srun starts it on each.
std::string asking_line(const SlurmRemedy& remedy) {
  const std::string gpus = "--gpus=" + std::to_string(remedy.gpus) + " ";
  return (remedy.gpus > 1 ? "srun -N1 " : "srun ") + gpus + remedy.line;
}

Error refusal(const std::string& job, std::string what, std::string line, const std::string& more) {
  return {.kind = ErrorKind::impossible,
          .text = job + " " + what + "; " + more,
          .diagnosis = {.what = "job " + job.substr(job.rfind(' ') + 1) + " " + std::move(what),
                        .remedy = std::move(line)}};
}

/// "CUDA_VISIBLE_DEVICES is not set", "... is empty".
std::string naming_none(const std::vector<VisibleList>& lists, Vendor vendor) {
  if (lists.empty()) return std::string(variables_of(vendor).visible_devices) + " is not set";
  const VisibleList& list = lists.front();
  return list.variable + " is " + (list.value.empty() ? "empty" : printable(list.value));
}

}  // namespace

Status check_allocation(const char* const* environment, std::optional<Vendor> vendor,
                        const SlurmRemedy& remedy) {
  const std::optional<std::string> job = slurm_job(environment);
  if (!job) return {};
  if (!env_setting(environment, env::kSlurmNode)) {
    std::string line = "srun " + remedy.line;
    const std::string more = "write " + line;
    return fail(
        refusal(*job, "has its GPUs on another machine: this shell is only where it was asked for",
                std::move(line), more));
  }
  std::vector<VisibleList> lists;
  for (const Vendor each : {Vendor::nvidia, Vendor::amd}) {
    if (vendor && each != *vendor) continue;
    for (VisibleList& list : inherited_lists(environment, each)) lists.push_back(std::move(list));
  }
  if (std::any_of(lists.begin(), lists.end(), names_devices)) return {};
  std::string line = asking_line(remedy);
  const std::string more = "where you start the job, ask for GPUs: " + line +
                           "\n(a job that asked by --gpus-per-task=TYPE:N has its GPUs, but Slurm "
                           "does not tell it which: "
                           "write --gpus-per-node=TYPE:N)";
  return fail(refusal(
      *job, "was given no GPU (" + naming_none(lists, vendor.value_or(Vendor::nvidia)) + ")",
      std::move(line), more));
}

std::string allocation_advice(const char* const* environment, const SlurmRemedy& remedy) {
  const std::optional<std::string> job = slurm_job(environment);
  if (!job) return "";
  return *job +
         " has no other GPU here; where you start a job, ask for more: " + asking_line(remedy);
}

bool is_in_step_with_gpus(const char* const* environment) {
  const std::string step = env_setting(environment, env::kSlurmStep).value_or("");
  std::uint32_t number = 0;
  const auto [end, problem] = std::from_chars(step.data(), step.data() + step.size(), number);
  const bool is_number =
      !step.empty() && problem == std::errc{} && end == step.data() + step.size();
  return is_number && number < kFirstSpecialStep &&
         env_setting(environment, env::kSlurmStepGpus).has_value();
}

}  // namespace gpu_gate
