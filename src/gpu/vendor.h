#pragma once

#include <optional>
#include <string_view>

#include "base/env.h"

namespace gpu_gate {

enum class Vendor { nvidia, amd };

/// As users and file names write it: "nvidia", "amd".
constexpr const char* word_of(Vendor vendor) { return vendor == Vendor::amd ? "amd" : "nvidia"; }

/// As texts write it: "NVIDIA", "AMD".
constexpr const char* name_of(Vendor vendor) { return vendor == Vendor::amd ? "AMD" : "NVIDIA"; }

/// The other way round, from word_of.
constexpr std::optional<Vendor> vendor_of_word(std::string_view word) {
  for (const Vendor vendor : {Vendor::nvidia, Vendor::amd}) {
    if (word == word_of(vendor)) return vendor;
  }
  return std::nullopt;
}

/// How a vendor's runtime is told which devices a program may use.
struct VendorVariables {
  const char* visible_devices;  // the devices, by index or UUID
  const char* device_order;     // what an index means
  const char* pci_order;        // the value of device_order by which it means PCI bus order
};

constexpr VendorVariables variables_of(Vendor vendor) {
  switch (vendor) {
    case Vendor::nvidia:
    case Vendor::amd:
      break;
  }
  return {.visible_devices = env::kCudaVisibleDevices,
          .device_order = env::kCudaDeviceOrder,
          .pci_order = "PCI_BUS_ID"};
}

}  // namespace gpu_gate
