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
  const gpu_gate::Status all_named = gpu_gate::check_gpu_list(*list, machine);
  for (const gpu_gate::GpuRef& ref : *list) {
    bool named = false;
    for (const gpu_gate::Device& device : machine.devices) {
      named = named || gpu_gate::matches(ref, device);
      if (gpu_gate::matches(ref, device) && !gpu_gate::covers(ref, device)) __builtin_trap();
    }
    if (all_named && !named) __builtin_trap();
  }
  return 0;
}
