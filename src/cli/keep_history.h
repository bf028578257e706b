#pragma once

#include <string>

#include "gate/record.h"
#include "gate/waiter.h"

namespace gpu_gate {

/// Where the history is kept if that is there: GPU_GATE_HISTORY, or /var/lib/gpu-gate. Absolute.
std::string history_directory();

/// What a claim is for.
struct ClaimedFor {
  const Owner& owner;
  const std::string& note;    // as typed
  bool with_process = false;  // it lasts as long as the owner's process
};

/// Where that directory is there: writes down that the claim begins, and has a small process beside
/// the job write down its end. Whatever fails costs a line of the history and nothing else.
void keep_history(const Granted& granted, const ClaimedFor& whom);

}  // namespace gpu_gate
