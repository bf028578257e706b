#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpu_gate {

/// How much memory the types of GPU of a cluster have, which Slurm does not know. A site writes it
/// down in /etc/gpu-gate/slurm.toml, or $GPU_GATE_SLURM names another file:
///
///     [memory_mb]
///     l40s = 46068
///     h100 = 81_559
///     prefer = ["l40s"]   # the order where several types will do
struct SiteTable {
  struct Type {
    std::string name;  // as in Slurm's gres.conf
    std::int64_t memory_mib = 0;
  };
  std::vector<Type> types;          // in the order of the file
  std::vector<std::string> prefer;  // names of types
};

/// Reads text of that form, a part of TOML 1.0 (toml.io): what is read here means the same there.
/// Errors: usage, with `file` and the line.
Result<SiteTable> parse_site_table(std::string_view text, const std::string& file);

/// The table of this site; nothing where nobody has made one. Errors: usage, also where
/// $GPU_GATE_SLURM names a file that cannot be read.
Result<std::optional<SiteTable>> read_site_table(const char* const* environment);

/// The type to ask for where each GPU is to have this much memory in all; "" where every type has
/// it. Of several the first of `prefer`, then the one with least memory, so that the large ones are
/// left to those who need them. Errors: impossible, with the types that there are.
Result<std::string> type_with_memory(const SiteTable& table, std::int64_t mib);

}  // namespace gpu_gate
