// The memory of a cluster's types of GPU, /etc/gpu-gate/slurm.toml.
#include <algorithm>

#include "cluster/site_table.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const auto table = gpu_gate::parse_site_table(
      std::string_view(reinterpret_cast<const char*>(data), size), "slurm.toml");
  if (!table) {
    if (!table.error().text.starts_with("slurm.toml:")) __builtin_trap();
    return 0;
  }
  if (table->types.empty()) __builtin_trap();
  for (const auto& type : table->types) {
    if (type.name.empty() || type.memory_mib < 1) __builtin_trap();
    const auto chosen = gpu_gate::type_with_memory(*table, type.memory_mib);
    if (!chosen) __builtin_trap();
    const bool fits = chosen->empty() ||
                      std::any_of(table->types.begin(), table->types.end(), [&](const auto& each) {
                        return each.name == *chosen && each.memory_mib >= type.memory_mib;
                      });
    if (!fits) __builtin_trap();
  }
  return 0;
}
