#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/slurm_words.h"

namespace gpu_gate {

// The jobs of a cluster that have GPUs or wait for them, from what squeue(1) prints. Pure. All text
// is as it comes: to be made printable where it is shown.

/// A job as Slurm knows it; nothing and "" for what it does not tell.
struct SlurmJob {
  std::optional<std::int64_t> id;
  std::string shown_id;  // with a job array's: "4711_3"
  std::string user;
  std::string name;
  std::string note;                   // its comment: --note of run --on slurm
  std::optional<std::int64_t> since;  // it runs, or waits; seconds since 1970
};

/// What a job asks for in all.
struct SlurmWish {
  int gpus = 1;
  std::string type;  // "" for any
};

/// What a job has on a node.
struct SlurmPart {
  std::string node;
  std::vector<GpuCount> gpus;
};

struct SlurmRequest {
  SlurmJob job;
  bool waits = false;
  std::vector<SlurmPart> parts;  // of one that does not wait
  SlurmWish wish;                // the rest: of one that does
  std::string reason;            // Slurm's word: "Resources"
  std::int64_t priority = 0;
};

/// Asks for all that is known of the jobs, as JSON: Slurm has that since 21.08, where it was built
/// with it.
std::vector<std::string> squeue_json_options();

/// Reads what that prints, of Slurm 21.08 to 25.05. What cannot be read is left out; nothing where
/// it is no such JSON.
std::optional<std::vector<SlurmRequest>> read_slurm_jobs(std::string_view json);

/// The same as text, which does not tell the indices of a job's GPUs, and leaves out its name: that
/// may have line breaks, and so look like other jobs.
std::vector<std::string> squeue_lines_options();

/// `now`: seconds since 1970.
std::vector<SlurmRequest> read_slurm_job_lines(std::string_view text, std::int64_t now);

}  // namespace gpu_gate
