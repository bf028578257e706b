// --only and --exclude.
#include "gpu/gpu_list.h"

#include "machine.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const auto list =
      gpu_gate::parse_gpu_list(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!list) {
    if (list.error().text.empty()) __builtin_trap();
    return 0;
  }
  static const gpu_gate::Snapshot machine = fuzz_machine();
  const auto positions = gpu_gate::resolve_gpu_list(*list, machine);
  if (!positions) return 0;
  for (const std::size_t position : *positions) {
    if (position >= machine.devices.size()) __builtin_trap();
  }
  return 0;
}
