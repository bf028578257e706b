#pragma once

#include <array>
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

/// How a vendor's runtime is told which devices a program may use. Null: there is no such variable.
struct VendorVariables {
  const char* visible_devices;  // the devices, by index or UUID
  // Lists of what that one leaves, counted within it: the first of them that is not empty holds. A
  // job is not told by these, and must not have any.
  std::array<const char*, 2> within;
  const char* device_order;  // what an index means
  const char* pci_order;     // the value of device_order by which it means PCI bus order
};

constexpr VendorVariables variables_of(Vendor vendor) {
  if (vendor == Vendor::amd) {
    return {.visible_devices = env::kRocrVisibleDevices,
            .within = {env::kHipVisibleDevices, env::kCudaVisibleDevices},
            .device_order = nullptr,
            .pci_order = nullptr};
  }
  return {.visible_devices = env::kCudaVisibleDevices,
          .within = {},
          .device_order = env::kCudaDeviceOrder,
          .pci_order = "PCI_BUS_ID"};
}

}  // namespace gpu_gate
