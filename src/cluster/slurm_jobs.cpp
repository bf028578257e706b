#include "cluster/slurm_jobs.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace gpu_gate {
namespace {

using SlurmJson = nlohmann::json;

constexpr std::int64_t kMostGpus = 1'000'000;  // that a job can ask for

const SlurmJson* member(const SlurmJson& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(key);
  return found == json.end() ? nullptr : &*found;
}

std::string text_in(const SlurmJson& json, const char* key) {
  const SlurmJson* value = member(json, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

/// A number, since 23.02 also as {"set": true, "infinite": false, "number": 5}.
std::optional<std::int64_t> number_in(const SlurmJson& json, const char* key) {
  const SlurmJson* value = member(json, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_object()) {
    const SlurmJson* is_set = member(*value, "set");
    if (is_set != nullptr && is_set->is_boolean() && !is_set->get<bool>()) return std::nullopt;
    value = member(*value, "number");
  }
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  return value->get<std::int64_t>();
}

/// A word, or since 23.11 a list of them: "RUNNING", ["RUNNING", "COMPLETING"].
std::vector<std::string> words_in(const SlurmJson& json, const char* key) {
  const SlurmJson* value = member(json, key);
  if (value == nullptr || !value->is_array()) return {text_in(json, key)};
  std::vector<std::string> words;
  for (const SlurmJson& each : *value) {
    words.push_back(each.is_string() ? each.get<std::string>() : "");
  }
  return words;
}

/// What squeue tells of a job, in whichever form.
struct ToldJob {
  SlurmJob job;  // but for `since`
  std::vector<std::string> states;
  std::optional<std::int64_t> began;
  std::optional<std::int64_t> submitted;
  std::string nodes;
  std::vector<std::string> details;  // for each node what it has there
  // What it asks for.
  std::string per_job;
  std::string per_node;
  std::string per_socket;
  std::string per_task;
  std::int64_t node_count = 1;
  std::int64_t tasks = 1;
  std::string reason;
  std::int64_t priority = 0;

  bool is(std::string_view state) const {
    return std::find(states.begin(), states.end(), state) != states.end();
  }
};

/// Of so many times these; nothing where none is of GPUs.
std::optional<SlurmWish> wish_for(const std::string& list, std::int64_t times) {
  const std::vector<GpuCount> counts = gpu_counts(list);
  std::int64_t sum = 0;
  for (const GpuCount& count : counts) {
    sum = std::min(sum + count.count * std::clamp<std::int64_t>(times, 1, kMostGpus), kMostGpus);
  }
  if (sum == 0) return std::nullopt;
  return SlurmWish{.gpus = static_cast<int>(sum),
                   .type = counts.size() == 1 ? counts.front().type : ""};
}

std::optional<SlurmWish> wish_of(const ToldJob& told) {
  std::optional<SlurmWish> wish = wish_for(told.per_job, 1);
  if (!wish) wish = wish_for(told.per_node, told.node_count);
  if (!wish) wish = wish_for(told.per_socket, 1);
  if (!wish) wish = wish_for(told.per_task, told.tasks);
  return wish;
}

/// What it has where. Without details that is told where it is on one node, or has the same on
/// each.
std::vector<SlurmPart> parts_of(const ToldJob& told) {
  constexpr std::size_t kMostNodes = 65536;
  const std::size_t most = told.details.empty() ? kMostNodes : told.details.size();
  std::vector<SlurmPart> parts;
  for (std::string& node : expand_hosts(told.nodes, most)) {
    parts.push_back({.node = std::move(node), .gpus = {}});
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].gpus = gpu_counts(told.details.empty() ? told.per_node : told.details[i]);
  }
  const std::optional<SlurmWish> wish = wish_of(told);
  if (told.details.empty() && parts.size() == 1 && wish) {
    parts.front().gpus = {
        {.type = wish->type, .count = std::min(wish->gpus, kMostCardsOfNode), .indices = {}}};
  }
  return parts;
}

/// Nothing where it neither has nor wants GPUs. (squeue lists what has ended, too, and has a filter
/// for that only since 23.11.)
std::optional<SlurmRequest> request_of(ToldJob told) {
  SlurmRequest request;
  request.waits = told.is("PENDING");
  const std::optional<std::int64_t> since = request.waits ? told.submitted : told.began;
  if (since && *since > 0) told.job.since = since;
  request.job = std::move(told.job);
  if (request.waits) {
    const std::optional<SlurmWish> wish = wish_of(told);
    if (!wish) return std::nullopt;
    request.wish = *wish;
    request.reason = std::move(told.reason);
    request.priority = told.priority;
    return request;
  }
  constexpr std::array kHolding{"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED"};
  const bool holds = std::any_of(kHolding.begin(), kHolding.end(),
                                 [&](const char* state) { return told.is(state); });
  if (!holds) return std::nullopt;
  request.parts = parts_of(told);
  return request;
}

ToldJob told_in_json(const SlurmJson& json) {
  ToldJob told;
  SlurmJob& job = told.job;
  job.id = number_in(json, "job_id");
  job.user = text_in(json, "user_name");
  if (const auto uid = number_in(json, "user_id"); job.user.empty() && uid) {
    job.user = std::to_string(*uid);
  }
  job.name = text_in(json, "name");
  job.note = text_in(json, "comment");
  if (job.id) job.shown_id = std::to_string(*job.id);
  const std::int64_t array = number_in(json, "array_job_id").value_or(0);
  const auto task = number_in(json, "array_task_id");
  const std::string tasks = text_in(json, "array_task_string");
  if (array > 0 && !tasks.empty()) {
    job.shown_id = std::to_string(array) + "_[" + tasks + "]";
  } else if (array > 0 && task) {
    job.shown_id = std::to_string(array) + "_" + std::to_string(*task);
  }
  told.states = words_in(json, "job_state");
  told.began = number_in(json, "start_time");
  told.submitted = number_in(json, "submit_time");
  told.nodes = text_in(json, "nodes");
  const SlurmJson* details = member(json, "gres_detail");
  if (details != nullptr && details->is_array()) told.details = words_in(json, "gres_detail");
  told.per_job = text_in(json, "tres_per_job");
  told.per_node = text_in(json, "tres_per_node");
  told.per_socket = text_in(json, "tres_per_socket");
  told.per_task = text_in(json, "tres_per_task");
  told.node_count = number_in(json, "node_count").value_or(1);
  told.tasks = number_in(json, "tasks").value_or(1);
  told.reason = text_in(json, "state_reason");
  told.priority = number_in(json, "priority").value_or(0);
  return told;
}

/// Of the members of a job only these are kept: on a large cluster all are hundreds of megabytes.
bool is_wanted(int depth, SlurmJson::parse_event_t event, SlurmJson& parsed) {
  constexpr std::array kWanted{
      "job_id",          "array_job_id",  "array_task_id", "array_task_string",
      "user_name",       "user_id",       "name",          "job_state",
      "state_reason",    "start_time",    "submit_time",   "priority",
      "nodes",           "gres_detail",   "tres_per_job",  "tres_per_node",
      "tres_per_socket", "tres_per_task", "node_count",    "tasks",
      "comment"};
  constexpr int kDepthOfJob = 3;  // {"jobs": [{
  if (event != SlurmJson::parse_event_t::key || depth != kDepthOfJob) return true;
  return std::find(kWanted.begin(), kWanted.end(), parsed.get_ref<const std::string&>()) !=
         kWanted.end();
}

constexpr SlurmColumn kJobColumns[] = {
    {.name = "JobArrayID", .width = 64},     {.name = "JobID", .width = 24},
    {.name = "UserName", .width = 128},      {.name = "State", .width = 32},
    {.name = "Reason", .width = 128},        {.name = "NodeList", .width = 4096},
    {.name = "tres-per-job", .width = 256},  {.name = "tres-per-node", .width = 256},
    {.name = "tres-per-task", .width = 256}, {.name = "NumNodes", .width = 16},
    {.name = "NumTasks", .width = 16},       {.name = "PriorityLong", .width = 24},
    {.name = "TimeUsed", .width = 32},       {.name = "PendingTime", .width = 32}};
enum JobField {
  kArrayId,
  kId,
  kUser,
  kJobState,
  kJobReason,
  kNodes,
  kPerJob,
  kPerNode,
  kPerTask,
  kNodeCount,
  kTasks,
  kPriority,
  kTimeUsed,
  kPendingTime
};

std::optional<std::int64_t> number_of(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

ToldJob told_in_cells(std::vector<std::string> cells, std::int64_t now) {
  ToldJob told;
  told.job.id = number_of(cells[kId]);
  told.job.shown_id = std::move(cells[kArrayId]);
  told.job.user = std::move(cells[kUser]);
  told.states = {std::move(cells[kJobState])};
  if (const auto used = elapsed_seconds(cells[kTimeUsed])) told.began = now - *used;
  if (const auto waited = number_of(cells[kPendingTime])) told.submitted = now - *waited;
  told.nodes = std::move(cells[kNodes]);
  told.per_job = std::move(cells[kPerJob]);
  told.per_node = std::move(cells[kPerNode]);
  told.per_task = std::move(cells[kPerTask]);
  told.node_count = number_of(cells[kNodeCount]).value_or(1);
  told.tasks = number_of(cells[kTasks]).value_or(1);
  told.reason = std::move(cells[kJobReason]);
  told.priority = number_of(cells[kPriority]).value_or(0);
  return told;
}

}  // namespace

std::vector<std::string> squeue_json_options() { return {"--json"}; }

std::optional<std::vector<SlurmRequest>> read_slurm_jobs(std::string_view json) {
  const SlurmJson parsed = SlurmJson::parse(json, is_wanted, false);
  const SlurmJson* list = member(parsed, "jobs");
  if (list == nullptr || !list->is_array()) return std::nullopt;
  std::vector<SlurmRequest> requests;
  for (const SlurmJson& job : *list) {
    if (auto request = request_of(told_in_json(job))) requests.push_back(std::move(*request));
  }
  return requests;
}

std::vector<std::string> squeue_lines_options() {
  return {"--noheader", format_option(kJobColumns)};
}

std::vector<SlurmRequest> read_slurm_job_lines(std::string_view text, std::int64_t now) {
  std::vector<SlurmRequest> requests;
  for (std::vector<std::string>& cells : cells_of_columns(text, kJobColumns)) {
    if (auto request = request_of(told_in_cells(std::move(cells), now))) {
      requests.push_back(std::move(*request));
    }
  }
  return requests;
}

}  // namespace gpu_gate
