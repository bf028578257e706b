#include "history/boot.h"

#include <ctime>

#include "base/process.h"

namespace gpu_gate {
namespace {

std::int64_t clock_ms(clockid_t clock) {
  struct timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

Boot this_boot() {
  constexpr std::size_t kUuidBytes = 36;
  return {.id = read_small_file("/proc/sys/kernel/random/boot_id", kUuidBytes).value_or(""),
          .began_ms = wall_clock_ms() - since_boot_ms()};
}

std::int64_t wall_clock_ms() { return clock_ms(CLOCK_REALTIME); }

std::int64_t since_boot_ms() { return clock_ms(CLOCK_BOOTTIME); }

}  // namespace gpu_gate
