// The command line: words separated by zero bytes.
#include "cli/options.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < size; ++i) {
    if (data[i] == 0) {
      words.emplace_back();
    } else {
      words.back() += static_cast<char>(data[i]);
    }
  }
  const auto options = gpu_gate::parse_options(words);
  if (!options) {
    const gpu_gate::Error& error = options.error();
    if (error.kind != gpu_gate::ErrorKind::usage || error.text.empty()) __builtin_trap();
    return 0;
  }
  if (options->criteria.count < 1 || options->poll.count() < 50000000) __builtin_trap();
  if (options->timeout && options->timeout->count() < 0) __builtin_trap();
  if (options->verb == gpu_gate::Verb::run && options->command.empty()) __builtin_trap();
  return 0;
}
