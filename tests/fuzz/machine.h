#pragma once

#include "gpu/device.h"

/// A machine for the fuzz targets to match against.
inline gpu_gate::Snapshot fuzz_machine() {
  gpu_gate::Snapshot snapshot;
  for (int i = 0; i < 4; ++i) {
    gpu_gate::Device device;
    device.index = i;
    device.uuid = "GPU-3f2a000" + std::to_string(i / 2) + std::to_string(i);
    device.pci_bus_id = "0000000" + std::to_string(i / 3) + ":1" + std::to_string(i) + ":00.0";
    snapshot.devices.push_back(device);
  }
  for (int i = 0; i < 2; ++i) {
    gpu_gate::Device instance;
    instance.instance = i;
    instance.card_uuid = snapshot.devices[3].uuid;
    instance.uuid = "MIG-7c" + std::to_string(i);
    instance.second_name = "MIG-" + instance.card_uuid + "/1/" + std::to_string(i);
    instance.index = 3;
    instance.pci_bus_id = snapshot.devices[3].pci_bus_id;
    snapshot.devices.push_back(instance);
  }
  return snapshot;
}
