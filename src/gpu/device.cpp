#include "gpu/device.h"

#include <algorithm>

namespace gpu_gate {

bool is_uuid(std::string_view text) {
  constexpr std::size_t kMaxBytes = 96;  // NVML_DEVICE_UUID_V2_BUFFER_SIZE of nvml.h
  return !text.empty() && text.size() <= kMaxBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-';
         });
}

std::string label(const Device& device) {
  if (device.index < 0) return "?";
  const std::string card = std::to_string(device.index);
  return device.instance ? card + ":" + std::to_string(*device.instance) : card;
}

Snapshot unreadable(Snapshot snapshot, const std::string& why) {
  for (Device& device : snapshot.devices) {
    device.processes.clear();
    if (device.health != Health::ok) continue;
    device.health = Health::unreadable;
    device.error = why;
  }
  return snapshot;
}

}  // namespace gpu_gate
