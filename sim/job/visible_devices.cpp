#include "job/visible_devices.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <tuple>

namespace sim {
namespace {

constexpr int kNoDevice = -1;

// CUDA gives no number to a device that it cannot open, or not as a whole.
bool is_usable(const Gpu& gpu) {
  return !gpu.lost && gpu.handle_error == 0 && gpu.mig != Mig::enabled;
}

Devices devices_in_pci_order(const Machine& machine) {
  Devices devices{};
  for (int gpu = 0; gpu < machine.gpu_count; ++gpu) {
    if (is_usable(machine.gpus[gpu])) devices.gpus[devices.count++] = gpu;
  }
  const auto address = [&](int gpu) {
    const PciAddress& pci = machine.gpus[gpu].pci;
    return std::tuple(pci.domain, pci.bus, pci.device, pci.function, gpu);
  };
  std::sort(devices.gpus, devices.gpus + devices.count,
            [&](int a, int b) { return address(a) < address(b); });
  return devices;
}

bool is_number(std::string_view entry) {
  return !entry.empty() &&
         std::all_of(entry.begin(), entry.end(), [](char c) { return c >= '0' && c <= '9'; });
}

int device_by_number(const Devices& all, std::string_view entry) {
  int number = 0;
  const auto [end, problem] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
  if (problem != std::errc{}) return kNoDevice;
  return number < all.count ? all.gpus[number] : kNoDevice;
}

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && memcmp(text.data(), prefix.data(), prefix.size()) == 0;
}

int device_by_old_name(const Machine& machine, std::string_view entry) {
  for (int i = 0; i < machine.instance_count; ++i) {
    const InstanceOf& of = machine.gpus[kMaxGpus + i].instance_of;
    char name[128];
    snprintf(name, sizeof(name), "MIG-%s/%u/%u", machine.gpus[of.gpu].uuid, of.gpu_instance,
             of.compute_instance);
    if (entry == name) return kMaxGpus + i;
  }
  return kNoDevice;
}

int device_by_uuid(const Machine& machine, std::string_view entry) {
  if (has_prefix(entry, "MIG-GPU-")) return device_by_old_name(machine, entry);
  if (!has_prefix(entry, "GPU-") && !has_prefix(entry, "MIG-")) return kNoDevice;
  int found = kNoDevice;
  for (int gpu = next_device(machine, -1); gpu < kMaxDevices; gpu = next_device(machine, gpu)) {
    const std::string_view uuid = machine.gpus[gpu].uuid;
    if (uuid == entry) return gpu;
    if (!has_prefix(uuid, entry)) continue;
    if (found != kNoDevice) return kNoDevice;
    found = gpu;
  }
  return found;
}

std::string_view trimmed(const char* begin, const char* end) {
  while (begin != end && *begin == ' ') ++begin;
  while (begin != end && end[-1] == ' ') --end;
  return {begin, static_cast<size_t>(end - begin)};
}

// CUDA shows a program one instance, and no whole card beside it.
Devices as_cuda_shows(const Devices& devices) {
  const int* end = devices.gpus + devices.count;
  const int* instance = std::find_if(devices.gpus, end, [](int gpu) { return gpu >= kMaxGpus; });
  return instance == end ? devices : Devices{.count = 1, .gpus = {*instance}};
}

bool contains(const Devices& devices, int gpu) {
  return std::find(devices.gpus, devices.gpus + devices.count, gpu) != devices.gpus + devices.count;
}

}  // namespace

Devices visible_devices(const Machine& machine, const char* cuda_visible_devices) {
  const Devices all = devices_in_pci_order(machine);
  if (cuda_visible_devices == nullptr) {
    if (all.count > 0 || machine.instance_count == 0) return all;
    return {.count = 1, .gpus = {kMaxGpus}};
  }

  Devices visible{};
  bool by_number = false;
  const char* at = cuda_visible_devices;
  for (bool first = true;; first = false) {
    const char* end = strchrnul(at, ',');
    const std::string_view entry = trimmed(at, end);
    if (first) by_number = is_number(entry);
    if (is_number(entry) != by_number) break;
    const int gpu = by_number ? device_by_number(all, entry) : device_by_uuid(machine, entry);
    if (gpu == kNoDevice) break;
    if (contains(visible, gpu)) return Devices{};
    visible.gpus[visible.count++] = gpu;
    if (*end == '\0') break;
    at = end + 1;
  }
  return as_cuda_shows(visible);
}

}  // namespace sim
