#include "gpu/kfd.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <optional>
#include <set>
#include <string_view>

#include "base/folder.h"
#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

constexpr std::uint64_t kBytesPerMib = 1048576;

/// At most 4095 bytes, a page of sysfs, as they are.
SysfsText read_page(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return {.text = "", .errnum = errno};
  std::array<char, 4096> page{};
  const ssize_t got = ::read(fd.get(), page.data(), page.size() - 1);
  if (got < 0) return {.text = "", .errnum = errno};
  return {.text = std::string(page.data(), static_cast<std::size_t>(got))};
}

/// A line "name value" of a node's or a link's properties; 0 where there is none.
std::uint64_t property(const std::string& properties, std::string_view name) {
  std::size_t at = 0;
  while (at < properties.size()) {
    const std::size_t end = std::min(properties.find('\n', at), properties.size());
    const std::string_view line(properties.data() + at, end - at);
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ' ') {
      std::uint64_t value = 0;
      std::from_chars(line.data() + name.size() + 1, line.data() + line.size(), value);
      return value;
    }
    at = end + 1;
  }
  return 0;
}

std::string node_folder(const std::string& kfd, int node) {
  return kfd + "/topology/nodes/" + std::to_string(node);
}

/// kfd_topology.c: location_id is the PCI number of bus, device and function; in bits 28 to 31 it
/// has the partition.
void place(KfdGpu& gpu, std::uint64_t domain, std::uint64_t location) {
  std::array<char, 32> address{};
  std::snprintf(address.data(), address.size(), "%04x:%02x:%02x.%x",
                static_cast<unsigned>(domain & 0xffff), static_cast<unsigned>(location >> 8 & 0xff),
                static_cast<unsigned>(location >> 3 & 0x1f), static_cast<unsigned>(location & 7));
  gpu.pci_address = address.data();
  gpu.partition = static_cast<unsigned>(location >> 28 & 0xf);
}

/// Nothing for a node that is no GPU, or that has vanished.
std::optional<KfdGpu> gpu_at(const std::string& kfd, int node) {
  const std::string folder = node_folder(kfd, node);
  KfdGpu gpu;
  gpu.node = node;
  const SysfsText id = read_sysfs(folder + "/gpu_id");
  const SysfsText properties = read_page(folder + "/properties");
  // Only of a GPU is it ever asked whether it may be seen.
  gpu.closed = id.errnum == EPERM || id.errnum == EACCES || properties.errnum == EPERM ||
               properties.errnum == EACCES;
  if (gpu.closed) return gpu;
  if (id.number() == 0 || property(properties.text, "simd_count") == 0) return std::nullopt;
  gpu.gpu_id = id.text;
  gpu.render_minor = static_cast<unsigned>(property(properties.text, "drm_render_minor"));
  gpu.unique_id = property(properties.text, "unique_id");
  gpu.gfx_version = property(properties.text, "gfx_target_version");
  place(gpu, property(properties.text, "domain"), property(properties.text, "location_id"));
  return gpu;
}

/// Kernels that do not number the partitions of a card in location_id: they are counted.
void number_partitions(std::vector<KfdGpu>& gpus) {
  std::map<std::string, unsigned> highest;
  for (const KfdGpu& gpu : gpus) {
    unsigned& number = highest[gpu.pci_address];
    number = std::max(number, gpu.partition);
  }
  std::map<std::string, unsigned> counted;
  for (KfdGpu& gpu : gpus) {
    if (!gpu.closed && highest[gpu.pci_address] == 0) gpu.partition = counted[gpu.pci_address]++;
  }
}

}  // namespace

std::uint64_t SysfsText::number(int base) const {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

SysfsText read_sysfs(const std::string& path) {
  SysfsText file = read_page(path);
  file.text.resize(std::min(file.text.find('\n'), file.text.size()));
  return file;
}

std::vector<KfdGpu> kfd_gpus(const std::string& kfd) {
  std::vector<KfdGpu> gpus;
  for (const std::uint64_t number : numbers_in_folder(kfd + "/topology/nodes")) {
    if (const auto gpu = gpu_at(kfd, static_cast<int>(number))) gpus.push_back(*gpu);
  }
  number_partitions(gpus);
  return gpus;
}

std::map<std::string, std::vector<GpuProcess>> kfd_processes(const std::string& kfd,
                                                             const std::vector<KfdGpu>& gpus) {
  std::map<std::string, std::vector<GpuProcess>> on;
  for (const std::uint64_t pid : numbers_in_folder(kfd + "/proc")) {
    const std::string folder = kfd + "/proc/" + std::to_string(pid);
    std::set<std::string> with_queue;
    for (const std::uint64_t queue : numbers_in_folder(folder + "/queues")) {
      with_queue.insert(read_sysfs(folder + "/queues/" + std::to_string(queue) + "/gpuid").text);
    }
    for (const KfdGpu& gpu : gpus) {
      if (gpu.closed) continue;
      // There is such a file for each GPU that the process could open, used or not.
      const std::uint64_t bytes = read_sysfs(folder + "/vram_" + gpu.gpu_id).number();
      if (bytes == 0 && !with_queue.contains(gpu.gpu_id)) continue;
      on[gpu.gpu_id].push_back({.pid = static_cast<pid_t>(pid),
                                .memory_mib = static_cast<std::int64_t>(bytes / kBytesPerMib)});
    }
  }
  return on;
}

std::vector<int> kfd_linked_nodes(const std::string& kfd, int node) {
  constexpr std::uint64_t kXgmi = 11;  // CRAT_IOLINK_TYPE_XGMI of kfd_crat.h
  std::vector<int> linked;
  const std::string links = node_folder(kfd, node) + "/io_links";
  for (const std::uint64_t link : numbers_in_folder(links)) {
    const SysfsText properties = read_page(links + "/" + std::to_string(link) + "/properties");
    if (property(properties.text, "type") != kXgmi) continue;
    linked.push_back(static_cast<int>(property(properties.text, "node_to")));
  }
  return linked;
}

}  // namespace gpu_gate
