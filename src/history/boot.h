#pragma once

#include <cstdint>
#include <string>

namespace gpu_gate {

/// A boot of the machine.
struct Boot {
  std::string id;             // the kernel's boot_id (random(4)); "" where it cannot be read
  std::int64_t began_ms = 0;  // since 1970, by the clock as it is now
};

Boot this_boot();

/// Milliseconds since 1970.
std::int64_t wall_clock_ms();

/// Milliseconds since the machine was booted, also those in which it slept; nobody sets this clock.
std::int64_t since_boot_ms();

}  // namespace gpu_gate
