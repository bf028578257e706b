#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gpu/device.h"

namespace gpu_gate {

/// One item of a list of GPUs as a user writes it.
struct GpuRef {
  enum class Kind { index, uuid, pci };
  Kind kind = Kind::index;
  int first = 0;  // of an index or range, both ends included
  int last = 0;
  std::string text;  // the item as written; a UUID (or a prefix), or a PCI address
};

/// Parses "0,2-3, GPU-3f2a,0000:17:00.0". Spaces around items are allowed. The error's text is
/// the item that is wrong; the caller adds the option's name and what to write.
Result<std::vector<GpuRef>> parse_gpu_list(std::string_view list);

/// Does this item name this device? A UUID prefix may name several; see resolve_gpu_list.
bool matches(const GpuRef& ref, const Device& device);

/// The devices that the items name, as positions in the snapshot, ascending, each once. An item
/// that no device has, or a UUID prefix that several have, is an Error (impossible).
Result<std::vector<std::size_t>> resolve_gpu_list(const std::vector<GpuRef>& list,
                                                  const Snapshot& snapshot);

}  // namespace gpu_gate
