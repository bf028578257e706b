#pragma once

#include <string>
#include <vector>

#include "cli/history_text.h"
#include "cluster/slurm_board.h"
#include "cluster/step_script.h"
#include "report/board.h"
#include "report/doctor.h"

namespace gpu_gate {

/// What status --json prints: a list with an object for each GPU. Keys are only ever added.
std::string status_json(const Board& board);

/// What status --watch --json prints each time: {"gpus": [...], "waiting": [...]} in one line.
std::string watch_json(const Board& board, std::int64_t now);

/// What status --on slurm --json prints: a list with an object for each card of the cluster. Keys
/// are only ever added.
std::string slurm_json(const SlurmBoard& board);

/// What history --json prints: a list with an object for each claim. Times are seconds since 1970.
/// Keys are only ever added.
std::string history_json(const HistoryView& view);

/// What doctor --json prints: {"lock_directory": PATH or null, "findings": [...]}.
/// What queue --json prints. `now`: seconds since 1970.
std::string queue_json(const Board& board, std::int64_t now);

std::string doctor_json(const std::vector<Finding>& findings, const LockPlace& lock);

/// What wait --json and hold --json print. `visible`: the value for CUDA_VISIBLE_DEVICES, or
/// ROCR_VISIBLE_DEVICES; `claim`: its ticket, 0 if nothing is held.
std::string devices_json(const std::vector<Device>& devices, const std::string& visible,
                         Ticket claim, std::optional<std::int64_t> share_mib = {});

/// The same with --on slurm.
std::string step_json(const StepStart& start);

}  // namespace gpu_gate
