#include "gpu/amd.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "gpu/kfd.h"

namespace gpu_gate {
namespace {

constexpr std::uint64_t kAmdMib = 1048576;

/// GPUs with less memory of their own are taken for a part of the CPU (an APU), which shares the
/// system's memory: sysfs has no mark of it.
constexpr std::int64_t kLeastCardMib = 4096;

/// May this user read and write it? It is not opened: that would wake a card that sleeps
/// (amdgpu_driver_open_kms), and of /dev/kfd make this process one that computes. What a device
/// cgroup closes, KFD says itself (KfdGpu::closed).
bool may_open(const std::string& path) { return ::access(path.c_str(), R_OK | W_OK) == 0; }

/// "AMD Instinct MI300X OAM"; of a card without data of its maker "AMD gfx1100".
std::string card_name(const std::string& card, std::uint64_t gfx_version) {
  if (const SysfsText name = read_sysfs(card + "/product_name"); !name.text.empty()) {
    return name.text;
  }
  std::array<char, 32> gfx{};
  std::snprintf(gfx.data(), gfx.size(), "AMD gfx%u%x%x", static_cast<unsigned>(gfx_version / 10000),
                static_cast<unsigned>(gfx_version / 100 % 100),
                static_cast<unsigned>(gfx_version % 100));
  return gfx.data();
}

/// "0000:c1:00.0" as a part of a file name.
std::string with_hyphens(std::string address) {
  std::replace_if(address.begin(), address.end(), [](char c) { return c == ':' || c == '.'; }, '-');
  return address;
}

/// Where a card is among the machine's buses.
struct Position {
  std::string path;       // of the device, without links: from the host bridge down
  std::string numa_node;  // "0"; "-1" or "": unknown
};

Position position_of(const std::string& card) {
  Position position{.path = "", .numa_node = read_sysfs(card + "/numa_node").text};
  if (char* path = ::realpath(card.c_str(), nullptr); path != nullptr) {
    position.path = path;
    std::free(path);
  }
  return position;
}

/// The bridges that both paths go through: 0 where they begin at other host bridges.
std::size_t common_bridges(const std::string& a, const std::string& b) {
  const std::size_t differ = static_cast<std::size_t>(
      std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  const std::size_t bus = a.find("/pci");
  const std::size_t last = a.rfind('/', differ);
  if (bus == std::string::npos || last == std::string::npos || last <= bus) return 0;
  const auto from = a.begin() + static_cast<std::ptrdiff_t>(bus);
  return static_cast<std::size_t>(
      std::count(from + 1, a.begin() + static_cast<std::ptrdiff_t>(last) + 1, '/'));
}

/// As by NVML's levels: 60 one card, 40 a common bridge (which may be a switch or several), 30 a
/// common host bridge, 20 one NUMA node, 10 none of these; 0 where nothing is known.
int pci_score_of(const Position& a, const Position& b) {
  if (a.path.empty() || b.path.empty()) return 0;
  if (a.path == b.path) return 60;
  if (const std::size_t bridges = common_bridges(a.path, b.path); bridges > 0) {
    return bridges > 1 ? 40 : 30;
  }
  return a.numa_node == b.numa_node && a.numa_node != "-1" && !a.numa_node.empty() ? 20 : 10;
}

class AmdSource final : public GpuSource {
 public:
  explicit AmdSource(AmdPaths paths) : paths_(std::move(paths)) {}

  Result<Snapshot> read() override {
    auto gpus = kfd_gpus(kfd());
    if (!gpus) return fail(gpus.error());
    gpus_ = std::move(*gpus);
    const auto processes = kfd_processes(kfd(), gpus_);
    if (!processes) return fail(processes.error());
    const bool kfd_open = may_open(paths_.dev + "/kfd");
    Snapshot snapshot;
    snapshot.vendor = Vendor::amd;
    int counted = 0;  // by the runtime: those that this user can open
    for (const KfdGpu& gpu : gpus_) {
      Device device = gpu.closed ? closed_device() : identify(gpu);
      device.index = static_cast<int>(snapshot.devices.size());
      device.vendor = Vendor::amd;
      if (!gpu.closed) {
        device.accessible = kfd_open && may_open(render_node(gpu));
        if (device.accessible) {
          const std::string number = std::to_string(counted++);
          if (!has_runtime_uuid(device)) device.runtime_id = number;
        }
        if (!device.uuid.empty()) read_state(gpu, device);
        const auto on = processes->find(gpu.gpu_id);
        if (on != processes->end()) device.processes = on->second;
      }
      snapshot.devices.push_back(std::move(device));
    }
    return snapshot;
  }

  Links links() override {
    constexpr int kScoreOfXgmi = 100;
    Links links(gpus_.size());
    std::vector<Position> positions;
    positions.reserve(gpus_.size());
    for (const KfdGpu& gpu : gpus_) {
      positions.push_back(gpu.closed ? Position{} : position_of(card_folder(gpu)));
    }
    for (std::size_t a = 0; a < gpus_.size(); ++a) {
      if (gpus_[a].closed) continue;
      const std::vector<int> linked = kfd_linked_nodes(kfd(), gpus_[a].node);
      for (std::size_t b = 0; b < gpus_.size(); ++b) {
        if (b == a || gpus_[b].closed) continue;
        const bool xgmi = std::find(linked.begin(), linked.end(), gpus_[b].node) != linked.end();
        links.set_score(a, b,
                        std::max(links.score(a, b), (xgmi ? kScoreOfXgmi : 0) +
                                                        pci_score_of(positions[a], positions[b])));
      }
    }
    return links;
  }

  bool needs_open() override { return false; }
  void close() override {}

 private:
  std::string kfd() const { return paths_.sys + "/class/kfd/kfd"; }

  std::string render_folder(unsigned minor) const {
    return paths_.sys + "/class/drm/renderD" + std::to_string(minor) + "/device";
  }

  std::string render_node(const KfdGpu& gpu) const {
    return paths_.dev + "/dri/renderD" + std::to_string(gpu.render_minor);
  }

  /// Where the card's files are. A partition but for the first has a render node of its own whose
  /// device has none of them (amdgpu_xcp_drv.c): they are at the first one of the card.
  std::string card_folder(const KfdGpu& gpu) const {
    const auto of_card =
        std::min_element(gpus_.begin(), gpus_.end(), [&](const KfdGpu& a, const KfdGpu& b) {
          const auto rank = [&](const KfdGpu& each) {
            return std::pair(each.closed || each.pci_address != gpu.pci_address, each.partition);
          };
          return rank(a) < rank(b);
        });
    std::string own = render_folder(gpu.render_minor);
    const std::string by_address = paths_.sys + "/bus/pci/devices/" + gpu.pci_address;
    for (const std::string& folder : {own, render_folder(of_card->render_minor), by_address}) {
      if (::access((folder + "/mem_info_vram_total").c_str(), F_OK) == 0) return folder;
    }
    return own;
  }

  /// One that a device cgroup closes. It has its place, or those behind it would have another index
  /// here than elsewhere.
  static Device closed_device() {
    Device device;
    device.accessible = false;
    return device;
  }

  /// By what it has as long as it is there. unique_id names a card, and on newer kernels each
  /// partition of one; on older ones all partitions of a card have the card's, and it names none.
  /// Where what decides that cannot be read the device has no name, and so is nobody's: with
  /// another one than before it would be given although it is held.
  Device identify(const KfdGpu& gpu) const {
    const std::string card = card_folder(gpu);
    const SysfsText mode_file = read_sysfs(card + "/current_compute_partition");
    const SysfsText id_file = read_sysfs(card + "/unique_id");
    const std::string& mode = mode_file.text;
    const bool is_partition = (!mode.empty() && mode != "SPX") || gpu.partition != 0;
    Device device;
    device.name = card_name(card, gpu.gfx_version);
    device.pci_bus_id = gpu.pci_address;
    for (const auto* file : {&mode_file, &id_file}) {
      if (file->errnum == 0 || file->errnum == ENOENT) continue;
      say_unreadable(device,
                     card + (file == &id_file ? "/unique_id" : "/current_compute_partition"),
                     file->errnum);
      return device;
    }
    const std::uint64_t of_card = id_file.number(16);
    const bool named =
        gpu.unique_id != 0 && (!is_partition || (of_card != 0 && of_card != gpu.unique_id));
    if (named) {
      std::array<char, 32> id{};
      std::snprintf(id.data(), id.size(), "GPU-%016llx",
                    static_cast<unsigned long long>(gpu.unique_id));
      device.uuid = id.data();
    } else {
      device.uuid = "PCI-" + with_hyphens(gpu.pci_address);
      if (is_partition) device.uuid += "-" + std::to_string(gpu.partition);
    }
    if (is_partition) {
      device.name += " " + (mode.empty() ? "" : mode + " ") + std::to_string(gpu.partition);
      const auto here = std::count_if(gpus_.begin(), gpus_.end(), [&](const KfdGpu& each) {
        return each.pci_address == gpu.pci_address;
      });
      device.memory_sharers = std::max(static_cast<int>(here), 2);  // others may be closed
    }
    return device;
  }

  /// Is it named by a unique_id, as ROCR_VISIBLE_DEVICES takes it?
  static bool has_runtime_uuid(const Device& device) { return device.uuid.starts_with("GPU-"); }

  static void say_unreadable(Device& device, const std::string& path, int errnum) {
    device.health = errnum == ENODEV ? Health::lost : Health::unreadable;
    device.error = path + ": " + std::strerror(errnum);
  }

  /// Every failure ends in the Device.
  void read_state(const KfdGpu& gpu, Device& device) const {
    const std::string card = card_folder(gpu);
    const SysfsText total = read_sysfs(card + "/mem_info_vram_total");
    const SysfsText used = read_sysfs(card + "/mem_info_vram_used");
    if (total.errnum != 0 || used.errnum != 0) {
      const bool first = total.errnum != 0;
      say_unreadable(device, card + (first ? "/mem_info_vram_total" : "/mem_info_vram_used"),
                     first ? total.errnum : used.errnum);
      return;
    }
    device.memory_total_mib = static_cast<std::int64_t>(total.number() / kAmdMib);
    device.memory_used_mib = static_cast<std::int64_t>(used.number() / kAmdMib);
    device.memory_reserved_mib = 0;  // none of it is told apart, and an idle MI300X uses 284 MiB
    device.only_if_named = device.memory_total_mib < kLeastCardMib;
    device.memory_free_mib =
        std::max<std::int64_t>(device.memory_total_mib - device.memory_used_mib, 0);
    // How busy the card is says nothing of one of its partitions.
    if (device.memory_sharers == 1) device.utilization_pct = utilization(card);
  }

  /// Nothing during a reset (EPERM), or where the card cannot tell. To ask a card that sleeps would
  /// wake it (amdgpu_pm.c), and it does nothing.
  static std::optional<int> utilization(const std::string& card) {
    if (read_sysfs(card + "/power/runtime_status").text == "suspended") return 0;
    const SysfsText busy = read_sysfs(card + "/gpu_busy_percent");
    if (busy.errnum != 0 || busy.text.empty() || busy.number() > 100) return std::nullopt;
    return static_cast<int>(busy.number());
  }

  AmdPaths paths_;
  std::vector<KfdGpu> gpus_;  // at the last reading
};

}  // namespace

bool is_amd_uuid(std::string_view uuid) {
  constexpr std::size_t kSize = std::string_view("GPU-0123456789abcdef").size();
  return uuid.starts_with("PCI-") ||
         (uuid.size() == kSize && uuid.starts_with("GPU-") &&
          uuid.find_first_not_of("0123456789abcdef", 4) == std::string_view::npos);
}

std::unique_ptr<GpuSource> amd_source(AmdPaths paths) {
  return std::make_unique<AmdSource>(std::move(paths));
}

}  // namespace gpu_gate
