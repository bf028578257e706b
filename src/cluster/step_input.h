#pragma once

#include <optional>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "base/wait_set.h"
#include "cluster/flow.h"

namespace gpu_gate {

/// What goes to a step's standard input: a word that starts the command, and then what comes on
/// ours. Nothing of it blocks.
class StepInput {
 public:
  /// `pipe`: of which srun has the other end.
  void open(UniqueFd pipe);
  /// The command may start.
  void start();
  /// Nothing more comes, and what is on its way is dropped.
  void end();

  /// Whatever has come goes on its way. A terminal is read only while this process is in its
  /// foreground.
  void carry();
  /// Wakes when something comes, or can go on.
  void add_to(WaitSet& set) const;

 private:
  bool wants_more() const;
  void read();

  UniqueFd pipe_;
  Flow flow_{-1};
  bool started_ = false;
  bool ended_ = false;  // ours
  std::optional<Clock::time_point> pause_;
};

}  // namespace gpu_gate
