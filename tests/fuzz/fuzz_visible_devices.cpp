// An inherited CUDA_VISIBLE_DEVICES.
#include "gpu/visible_devices.h"

#include "machine.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const gpu_gate::Snapshot machine = fuzz_machine();
  const auto shown = gpu_gate::visible_devices(
      std::string_view(reinterpret_cast<const char*>(data), size), machine);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (shown[i] >= machine.devices.size() || (i > 0 && shown[i] <= shown[i - 1])) __builtin_trap();
  }
  return 0;
}
