#pragma once

#include "base/env.h"

namespace gpu_gate {

enum class Vendor { nvidia };

/// How a vendor's runtime is told which devices a program may use.
struct VendorVariables {
  const char* visible_devices;  // the devices, by index or UUID
  const char* device_order;     // what an index means
  const char* pci_order;        // the value of device_order by which it means PCI bus order
};

constexpr VendorVariables variables_of(Vendor vendor) {
  switch (vendor) {
    case Vendor::nvidia:
      break;
  }
  return {.visible_devices = env::kCudaVisibleDevices,
          .device_order = env::kCudaDeviceOrder,
          .pci_order = "PCI_BUS_ID"};
}

}  // namespace gpu_gate
