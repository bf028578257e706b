// Text of other people on its way to a terminal.
#include "cli/text.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string shown =
      gpu_gate::printable(std::string_view(reinterpret_cast<const char*>(data), size));
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const auto byte = static_cast<unsigned char>(shown[i]);
    if (byte < 0x20 || byte == 0x7F) __builtin_trap();
    // C1 controls in UTF-8.
    if (byte == 0xC2 && i + 1 < shown.size() && static_cast<unsigned char>(shown[i + 1]) < 0xA0) {
      __builtin_trap();
    }
  }
  if (gpu_gate::printable(shown) != shown) __builtin_trap();
  return 0;
}
