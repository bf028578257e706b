#pragma once

#include <algorithm>

#include "gpu/device.h"
#include "policy/request.h"

// Machines and requests for unit tests.
namespace gpu_gate {

inline Device card(int index, std::int64_t free_mib = 40000) {
  Device device;
  device.index = index;
  device.uuid = "GPU-" + std::to_string(index);
  device.memory_total_mib = 46068;
  device.memory_reserved_mib = 600;
  device.memory_free_mib = free_mib;
  device.memory_used_mib = 46068 - 600 - free_mib;
  device.utilization_pct = 0;
  return device;
}

/// Cards that hold nothing.
inline Snapshot idle_machine(int cards) {
  Snapshot snapshot;
  for (int i = 0; i < cards; ++i) snapshot.devices.push_back(card(i, 46068 - 600));
  return snapshot;
}

/// The instance with this number of the last card, which is turned to MIG mode.
inline void add_instance(Snapshot& snapshot, int number, std::int64_t free_mib = 4864) {
  const auto card = std::find_if(snapshot.devices.rbegin(), snapshot.devices.rend(),
                                 [](const Device& device) { return !device.instance; });
  card->health = Health::mig;
  Device device;
  device.index = card->index;
  device.instance = number;
  device.card_uuid = card->uuid;
  device.uuid = "MIG-" + std::to_string(card->index) + "-" + std::to_string(number);
  device.memory_total_mib = 4864;
  device.memory_reserved_mib = 0;
  device.memory_free_mib = free_mib;
  device.memory_used_mib = 4864 - free_mib;
  snapshot.devices.push_back(std::move(device));
}

/// One whole card at 0, and one in MIG mode at 1 with so many instances behind it.
inline Snapshot divided_machine(int instances) {
  Snapshot snapshot = idle_machine(2);
  for (int i = 0; i < instances; ++i) add_instance(snapshot, i);
  return snapshot;
}

inline Request wish(int count) {
  Request request;
  request.criteria.count = count;
  return request;
}

/// A request for a share of so many MiB of each.
inline Request share_wish(std::int64_t mib, int count = 1) {
  Request request = wish(count);
  request.criteria.share_mib = mib;
  return request;
}

}  // namespace gpu_gate
