#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/wait_set.h"

namespace gpu_gate {

/// A short program of Slurm's that runs beside srun.
struct Errand {
  enum class For { ping, reason, signal };
  For purpose = For::ping;
  std::optional<Clock::time_point> until = std::nullopt;  // then it is killed
  int signal = 0;                                         // that it passes on
};

struct ErrandDone {
  Errand errand;
  bool well = false;   // it exited with 0
  std::string output;  // both streams, without the last line break
};

/// Those that run. Nothing of it blocks.
class Errands {
 public:
  /// `environment`: of all of them; has to outlive this.
  explicit Errands(const std::vector<std::string>& environment) : environment_(environment) {}

  /// Starts one. `words`: the first is its file. Errors: system.
  Status start(const Errand& errand, const std::vector<std::string>& words);
  /// Those that have ended since this was asked last.
  std::vector<ErrandDone> reap();
  /// Kills those whose time is up.
  void keep_time(Clock::time_point now);
  /// Wakes for that.
  void add_to(WaitSet& set) const;

 private:
  struct Running {
    Errand errand;
    pid_t pid = 0;
    UniqueFd output;
  };

  const std::vector<std::string>& environment_;
  std::vector<Running> running_;
};

}  // namespace gpu_gate
