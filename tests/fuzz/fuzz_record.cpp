// A record in the lock directory: anybody may have written it.
#include <string_view>

#include "gate/record.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto waiter = gpu_gate::parse_waiter(text, 0)) {
    // What was believed must survive being written and read again.
    if (!gpu_gate::parse_waiter(gpu_gate::to_json(*waiter), 0)) __builtin_trap();
  }
  if (const auto claim = gpu_gate::parse_claim(text, 0)) {
    if (!gpu_gate::parse_claim(gpu_gate::to_json(*claim), 0)) __builtin_trap();
  }
  return 0;
}
