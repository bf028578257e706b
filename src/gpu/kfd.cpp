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
  ssize_t got = 0;
  do {
    got = ::read(fd.get(), page.data(), page.size() - 1);
  } while (got < 0 && errno == EINTR);
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

bool is_refusal(int errnum) { return errnum == EPERM || errnum == EACCES; }
bool is_absence(int errnum) { return errnum == ENOENT || errnum == ENODEV || errnum == ESRCH; }

Error unreadable(const std::string& path, int errnum) {
  return system_error(ErrorKind::gpu_state, "read", path, errnum);
}

/// Nothing for a node that is no GPU, or that has vanished.
Result<std::optional<KfdGpu>> gpu_at(const std::string& kfd, int node) {
  const std::string folder = node_folder(kfd, node);
  KfdGpu gpu;
  gpu.node = node;
  const SysfsText id = read_sysfs(folder + "/gpu_id");
  const SysfsText properties = read_page(folder + "/properties");
  // Only of a GPU is it ever asked whether it may be seen.
  gpu.closed = is_refusal(id.errnum) || is_refusal(properties.errnum);
  if (gpu.closed) return gpu;
  for (const SysfsText& file : {id, properties}) {
    if (file.errnum != 0 && !file.is_absent()) return fail(unreadable(folder, file.errnum));
  }
  if (id.number() == 0 || property(properties.text, "simd_count") == 0)
    return std::optional<KfdGpu>();
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

/// The gpu_ids of those that a process has a queue on.
Result<std::set<std::string>> gpus_with_queue(const std::string& folder) {
  const FolderNumbers queues = numbers_in_folder(folder);
  if (queues.errnum != 0 && !is_absence(queues.errnum)) {
    return fail(unreadable(folder, queues.errnum));
  }
  std::set<std::string> gpus;
  for (const std::uint64_t queue : queues.numbers) {
    const std::string file = folder + "/" + std::to_string(queue) + "/gpuid";
    const SysfsText id = read_sysfs(file);
    if (id.errnum != 0 && !id.is_absent()) return fail(unreadable(file, id.errnum));
    gpus.insert(id.text);
  }
  return gpus;
}

}  // namespace

bool SysfsText::is_absent() const { return is_absence(errnum); }

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

Result<std::vector<KfdGpu>> kfd_gpus(const std::string& kfd) {
  const std::string folder = kfd + "/topology/nodes";
  const FolderNumbers nodes = numbers_in_folder(folder);
  if (nodes.errnum != 0 && !is_absence(nodes.errnum)) return fail(unreadable(folder, nodes.errnum));
  std::vector<KfdGpu> gpus;
  for (const std::uint64_t number : nodes.numbers) {
    const auto gpu = gpu_at(kfd, static_cast<int>(number));
    if (!gpu) return fail(gpu.error());
    if (*gpu) gpus.push_back(**gpu);
  }
  number_partitions(gpus);
  return gpus;
}

Result<KfdProcesses> kfd_processes(const std::string& kfd, const std::vector<KfdGpu>& gpus) {
  const FolderNumbers pids = numbers_in_folder(kfd + "/proc");
  if (pids.errnum != 0 && !is_absence(pids.errnum)) {
    return fail(unreadable(kfd + "/proc", pids.errnum));
  }
  KfdProcesses on;
  for (const std::uint64_t pid : pids.numbers) {
    const std::string folder = kfd + "/proc/" + std::to_string(pid);
    const auto with_queue = gpus_with_queue(folder + "/queues");
    if (!with_queue) return fail(with_queue.error());
    for (const KfdGpu& gpu : gpus) {
      if (gpu.closed) continue;
      // There is such a file for each GPU that the process could open, used or not.
      const std::string file = folder + "/vram_" + gpu.gpu_id;
      const SysfsText memory = read_sysfs(file);
      if (memory.errnum != 0 && !memory.is_absent()) return fail(unreadable(file, memory.errnum));
      const std::uint64_t bytes = memory.number();
      if (bytes == 0 && !with_queue->contains(gpu.gpu_id)) continue;
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
  for (const std::uint64_t link : numbers_in_folder(links).numbers) {
    const SysfsText properties = read_page(links + "/" + std::to_string(link) + "/properties");
    if (property(properties.text, "type") != kXgmi) continue;
    linked.push_back(static_cast<int>(property(properties.text, "node_to")));
  }
  return linked;
}

}  // namespace gpu_gate
