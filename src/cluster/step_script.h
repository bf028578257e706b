#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_gate {

/// What the step says of itself before the command begins.
struct StepStart {
  std::string job;      // its number
  std::string step;     // its number in the job
  std::string node;     // the name of the machine that it runs on
  std::string visible;  // CUDA_VISIBLE_DEVICES as Slurm has set it: "0,2"
  std::string uuids;    // of the same GPUs: "GPU-...,GPU-..."; "" where the node does not tell
};

/// Where a node tells of its GPUs; another place in tests.
struct NodePaths {
  std::string driver = "/proc/driver/nvidia/gpus";
  std::string devices = "/dev/nvidia";  // and the device's minor number
};

/// The words of the process that Slurm starts on the node: a shell, since gpu-gate need not be
/// there. It goes to `directory` (unless an option of srun has chosen another one), says on
/// standard error that it is there (a StepStart), and waits for a line on standard input: only then
/// it becomes the command, so that nothing is started that nobody waits for any more. Without that
/// line it ends with 0. It stays as the parent of the command, whose status it ends with, as a
/// shell does: 127 not found, 126 cannot be executed or no such directory, 128 and the signal. A
/// signal reaches the command; the shell waits on.
std::vector<std::string> step_words(const std::string& directory,
                                    const std::vector<std::string>& command,
                                    const NodePaths& paths = {});

/// What comes on a step's standard error: what the step says of itself, what Slurm says, and the
/// command's own, apart. Blocks on nothing.
class StepErrors {
 public:
  /// Takes what has come; returns what of it is the command's.
  std::string take(std::string_view bytes);
  /// The same at the end of the stream: what was kept back of a line that has no end.
  std::string rest();

  const std::optional<StepStart>& start() const { return start_; }
  /// It could not go to the directory that it was given.
  bool lacks_directory() const { return lacks_directory_; }
  /// The lines that slurmstepd(8) has said of this step since this was asked last.
  std::vector<std::string> said();

 private:
  bool is_ours(std::string_view line);
  bool may_be_ours(std::string_view text) const;

  std::string kept_;  // the beginning of a line that may be no one else's
  bool in_line_ = false;
  std::optional<StepStart> start_;
  bool lacks_directory_ = false;
  std::vector<std::string> said_;
};

}  // namespace gpu_gate
