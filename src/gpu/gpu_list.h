#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gpu/device.h"

namespace gpu_gate {

/// One item of a list of GPUs as a user writes it.
struct GpuRef {
  enum class Kind { index, uuid, pci, instance, instances };
  Kind kind = Kind::index;
  int first = 0;  // of an index or range, both ends included; the card of instances
  int last = 0;
  int instance = 0;  // its number on the card
  std::string text;  // the item as written; a UUID (or a prefix), or a PCI address
};

/// Parses "0,2-3, GPU-3f2a,0000:17:00.0,1:0,2:*". Spaces around items are allowed. The error's text
/// is the item that is wrong; the caller adds the option's name and what to write.
Result<std::vector<GpuRef>> parse_gpu_list(std::string_view list);

/// Does this item name this device? An index and a PCI address name a card, and not its instances;
/// "0:*" names these. A UUID prefix may name several; see check_gpu_list.
bool matches(const GpuRef& ref, const Device& device);

/// Does it name the device, or the card that this is an instance of?
bool covers(const GpuRef& ref, const Device& device);

/// Does the machine have what the items name? An item that no device has, or a UUID prefix that
/// several have, is an Error (impossible).
Status check_gpu_list(const std::vector<GpuRef>& list, const Snapshot& snapshot);

}  // namespace gpu_gate
