#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gpu_gate {

/// What srun(1) says on its standard error, line by line. Blocks on nothing.
class SrunReport {
 public:
  void take(std::string_view bytes);

  /// It has said that it waits. job(): of which job, "" where it waits as a step of one.
  bool waits() const { return waits_; }
  const std::string& job() const { return job_; }
  /// It waited, and has been given what it wants: it is about to start the step.
  bool was_granted() const { return granted_; }
  /// Somebody has cancelled the job while it waited.
  bool was_cancelled() const { return cancelled_; }
  /// It has told how the command ended. (It says nothing of one that ended with 0.)
  bool told_end() const { return told_end_; }
  /// The node has failed, and with it the command.
  bool lost_node() const { return lost_node_; }
  /// What a user should know of a command that runs, since this was asked last.
  std::vector<std::string> news();

  /// Why the command was not started. `status`: srun's exit status. Kinds: impossible (Slurm will
  /// never do it), gpu_state (Slurm cannot be reached), usage (an option of the user's), timed_out
  /// (it would have to wait), system (anything else).
  Error refusal(int status) const;

 private:
  void take_line(std::string_view line);

  std::string kept_;  // of a line that has no end yet
  bool waits_ = false;
  std::string job_;
  bool granted_ = false;
  bool cancelled_ = false;
  bool told_end_ = false;
  bool lost_node_ = false;
  std::string refused_;              // what the controller said
  std::vector<std::string> errors_;  // all others
  std::vector<std::string> news_;
  std::string last_news_;
};

/// For a controller or a configuration that is not there: what was found, and what helps.
Error slurm_unreachable(const std::string& what);

}  // namespace gpu_gate
