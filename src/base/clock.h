#pragma once

#include <chrono>

namespace gpu_gate {

/// The clock of every deadline and interval: it does not jump.
using Clock = std::chrono::steady_clock;

}  // namespace gpu_gate
