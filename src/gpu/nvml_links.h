#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gpu/links.h"
#include "gpu/nvml_abi.h"

namespace gpu_gate {

/// A card, as its links are asked for.
struct LinkedCard {
  nvml::DeviceHandle handle = nullptr;              // null: it has none, and nothing is known of it
  std::optional<std::uint64_t> pci = std::nullopt;  // its address, a number
};

/// How these cards are linked, by their positions. Asks the driver's library, which must be open,
/// and blocks as long as that does. What it does not tell, or has no function for, is unknown.
///
/// The score of two cards is 100 for each NVLink between them, and by the way over PCI express 10
/// (through both sockets) to 60 (on one board). Cards on an NVSwitch reach all others on it alike.
Links read_nvml_links(void* library, const std::vector<LinkedCard>& cards);

}  // namespace gpu_gate
