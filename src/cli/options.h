#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gpu/gpu_list.h"
#include "gpu/vendor.h"
#include "gpu/visible_devices.h"
#include "policy/criteria.h"

namespace gpu_gate {

enum class Verb { run, wait, hold, status, queue, cancel, history, doctor, help, version };

/// What of the history is asked for. Times are milliseconds since 1970.
struct HistoryOptions {
  std::optional<std::int64_t> since_ms;
  std::optional<std::int64_t> until_ms;
  std::optional<uid_t> user;
  std::optional<std::vector<GpuRef>> gpus;
  bool jobs = false;               // a line for each claim
  std::optional<std::string> svg;  // the file for the picture
};

/// What the user asked for, in values.
struct Options {
  Verb verb = Verb::help;
  std::string help_topic;  // for Verb::help: "" or a verb
  Criteria criteria;
  std::optional<std::vector<GpuRef>> only;
  std::vector<GpuRef> exclude;
  std::string note;  // as typed
  std::optional<Vendor> vendor;
  std::chrono::nanoseconds poll = std::chrono::seconds(5);
  std::optional<std::chrono::nanoseconds> timeout;
  Ids ids = Ids::index;
  bool quiet = false;
  bool json = false;
  bool metrics = false;                              // status: for Prometheus
  std::optional<std::chrono::nanoseconds> watch;     // status: again and again, so often
  bool export_line = false;                          // hold: print a line for eval
  std::optional<pid_t> pid;                          // hold: the process to hold for
  std::optional<std::chrono::nanoseconds> hold_for;  // hold: at the most
  std::vector<pid_t> pids;                           // cancel: of these requests; none: of all
  HistoryOptions history;
  bool on_slurm = false;                // instead of this machine
  std::vector<std::string> slurm_args;  // words for srun
  std::vector<std::string> command;     // run: the words after "--"
  std::vector<std::string> words;       // all that were typed after the program's name
};

/// Reads the words after the program's name. Everything after the first "--" is the command and is
/// not looked at. Errors (usage): one line that says what is wrong and what to write.
Result<Options> parse_options(const std::vector<std::string>& words);

}  // namespace gpu_gate
