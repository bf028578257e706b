#pragma once

#include <csignal>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gpu_gate {

/// What hold --export prints: a line for the `eval` of any POSIX shell.

/// "export CUDA_VISIBLE_DEVICES='0' ...\n". `untrue`: names of variables to unset before.
std::string export_line(std::span<const std::pair<std::string, std::string>> variables,
                        std::span<const std::string> untrue = {});

/// "(exit 3)\n": makes `eval` fail with this code and leaves the shell alive.
std::string failure_line(int code);

/// Do these words, those after the program's name, ask for such a line? Told without parsing them,
/// since they may be what fails.
bool asks_for_export(const std::vector<std::string>& words);

/// As long as it lives, a signal that would end the process here writes the failure line first:
/// without it `eval` would have nothing to do, and succeed.
class FailureLineOnSignal {
 public:
  FailureLineOnSignal();
  FailureLineOnSignal(const FailureLineOnSignal&) = delete;
  FailureLineOnSignal& operator=(const FailureLineOnSignal&) = delete;
  ~FailureLineOnSignal();

 private:
  std::vector<std::pair<int, struct sigaction>> before_;
};

}  // namespace gpu_gate
