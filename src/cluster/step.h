#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/srun_options.h"
#include "cluster/step_script.h"

namespace gpu_gate {

/// Hears how a request goes. Nothing of it may wait.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  /// It waits in Slurm's queue. `job`: its number, "" for a step of an allocation; `reason`: why,
  /// by Slurm's word ("Resources"), "" where that is not known yet. Then only what changes.
  virtual void waiting(const std::string& job, const std::string& reason) = 0;
  /// The command is about to start.
  virtual void started(const StepStart& start) = 0;
  /// Slurm, or the way there, says something of a command that runs.
  virtual void said(const std::string& line) = 0;
  /// How often to be called while it waits; 0: never.
  virtual std::chrono::milliseconds tick() const = 0;
  virtual void ticked() = 0;
};

struct StepOptions {
  StepRequest request;
  std::string directory;             // that the command starts in
  std::vector<std::string> command;  // none: only the start is waited for
  std::optional<std::chrono::nanoseconds> timeout;
  std::chrono::nanoseconds poll = std::chrono::seconds(5);  // between questions to squeue, at least
  bool ask_reason = true;                                   // why it waits
};

struct StepEnd {
  enum class How {
    exited,     // with the status `number`
    signalled,  // by the signal `number`, before it started
    late,       // --timeout has passed before it started
  };
  How how = How::exited;
  int number = 0;
  std::optional<StepStart> start;  // it ran, or was ready to
  bool by_our_signal = false;      // it exited as of a signal that this process got and passed on
};

/// Has Slurm run the command on GPUs of one node, and is the command in the meantime: carries its
/// streams, passes signals on. Blocks until it has ended. Errors: gpu_state where Slurm cannot be
/// reached, impossible where it refuses for good, usage, not_executable where the node lacks the
/// directory, system.
Result<StepEnd> run_step(const StepOptions& options, const char* const* environment,
                         StepObserver& observer);

}  // namespace gpu_gate
