#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gpu_gate {

/// A claim whose end is to be written down, and what tells of that.
struct WatchedClaim {
  std::string begin_line;  // in the history
  std::int64_t begin_ms = 0;
  std::int64_t begin_since_boot_ms = 0;  // the same by a clock that nobody sets
  pid_t process = 0;                     // it lasts as long as this, too; 0: it does not
  std::uint64_t start_ticks = 0;         // of the process
  std::vector<std::string> fifos;        // absolute paths
};

/// Blocks until the claim has ended, without keeping it alive. False where that cannot be told (no
/// descriptors, no memory).
bool await_end(const WatchedClaim& claim);

}  // namespace gpu_gate
