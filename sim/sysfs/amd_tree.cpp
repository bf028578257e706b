#include "sysfs/amd_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs/amd_use.h"
#include "sysfs/folder.h"
#include "sysfs/path.h"

namespace sim {
namespace {

constexpr uint64_t kMib = uint64_t{1024} * 1024;
constexpr unsigned kVendor = 0x1002;
constexpr uint32_t kXgmi = 11;  // link types of KFD's tables (kfd_crat.h)
constexpr uint32_t kPciExpress = 2;
constexpr uint32_t kXgmiWeight = 15;
constexpr uint32_t kPciWeight = 20;

// The card's folder, from the folder that holds `sys`. Each card hangs on a bridge of its own.
Path folder_of(const AmdCard& card) {
  const PciAddress& pci = card.pci;
  const Path address = address_of(pci);
  if (pci.bus == 0) return Path("sys/devices/pci%04x:00/%s", pci.domain, address.text);
  return Path("sys/devices/pci%04x:%02x/%04x:%02x:01.1/%s", pci.domain, pci.bus - 1, pci.domain,
              pci.bus - 1, address.text);
}

const char* mode_name(AmdMode mode) {
  switch (mode) {
    case AmdMode::none:
      return "";
    case AmdMode::spx:
      return "SPX";
    case AmdMode::dpx:
      return "DPX";
    case AmdMode::tpx:
      return "TPX";
    case AmdMode::qpx:
      return "QPX";
    case AmdMode::cpx:
      return "CPX";
  }
  return "";
}

uint32_t cpu_nodes_of(const Machine& machine) {
  uint32_t count = 1;
  for (int i = 0; i < machine.amd_count; ++i) {
    if (machine.amd_cards[i].numa + 1 > count) count = machine.amd_cards[i].numa + 1;
  }
  return count;
}

// A card or render node of the card, or of one of its further partitions, in /sys and /dev.
// Partitions but the first have a platform device of their own, which tells nothing.
void add_drm_node(Tree& tree, const AmdCard& card, const char* kind, uint32_t number,
                  uint32_t minor, uint32_t part, uint32_t parts) {
  const Path name("%s%u", kind, number);
  Path parent = folder_of(card);
  if (part > 0) parent = Path("sys/devices/platform/amdgpu_xcp_%u", card.minor - 128 + part);
  const char* base = strrchr(parent, '/') + 1;
  const Path folder("%s/drm/%s", parent.text, name.text);
  tree.file(Path("%s/dev", folder.text), "226:%u\n", minor);
  tree.file(Path("%s/uevent", folder.text),
            "MAJOR=226\nMINOR=%u\nDEVNAME=dri/%s\nDEVTYPE=drm_minor\n", minor, name.text);
  tree.link(Path("%s/device", folder.text), Path("../../../%s", base));
  tree.link(Path("sys/class/drm/%s", name.text), Path("../../%s", folder.text + strlen("sys/")));
  const bool has_file = card.closed == AmdClosed::no || card.closed == AmdClosed::user;
  if (!has_file || part >= parts) return;
  tree.file_with(Path("dev/dri/%s", name.text), card.closed == AmdClosed::user ? 0600 : 0666, "%s",
                 "");
}

void add_partitions(Tree& tree, const AmdCard& card, const char* folder) {
  if (card.mode == AmdMode::none) return;
  tree.file(Path("%s/current_compute_partition", folder), "%s\n", mode_name(card.mode));
  tree.file(Path("%s/available_compute_partition", folder), "SPX, DPX, QPX, CPX\n");
  tree.file(Path("%s/current_memory_partition", folder), "NPS%u\n", card.nps);
}

void add_pci_files(Tree& tree, const AmdCard& card, const char* folder) {
  const Path address = address_of(card.pci);
  const unsigned pci_class = card.xcc > 1 ? 0x120000 : card.apu ? 0x030000 : 0x038000;
  tree.file(Path("%s/vendor", folder), "0x%04x\n", kVendor);
  tree.file(Path("%s/device", folder), "0x%04x\n", card.device_id);
  tree.file(Path("%s/subsystem_vendor", folder), "0x%04x\n", kVendor);
  tree.file(Path("%s/subsystem_device", folder), "0x%04x\n", card.device_id);
  tree.file(Path("%s/class", folder), "0x%06x\n", pci_class);
  tree.file(Path("%s/revision", folder), "0x00\n");
  tree.file(Path("%s/numa_node", folder), "%u\n", card.numa);
  tree.file(Path("%s/uevent", folder),
            "DRIVER=amdgpu\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
            "PCI_SLOT_NAME=%s\n",
            pci_class, kVendor, card.device_id, kVendor, card.device_id, address.text);
  tree.file(Path("%s/power/runtime_status", folder), "%s\n", card.asleep ? "suspended" : "active");
  tree.file(Path("%s/power/control", folder), "auto\n");
  const char* up = card.pci.bus == 0 ? "../../.." : "../../../..";
  tree.link(Path("%s/subsystem", folder), Path("%s/bus/pci", up));
  tree.link(Path("%s/driver", folder), Path("%s/bus/pci/drivers/amdgpu", up));
  const char* below = folder + strlen("sys/");
  tree.link(Path("sys/bus/pci/devices/%s", address.text), Path("../../../%s", below));
  tree.link(Path("sys/bus/pci/drivers/amdgpu/%s", address.text), Path("../../../../%s", below));
}

// A sensor of each kind: without their labels rocm-smi does not start.
void add_sensors(Tree& tree, const AmdCard& card, const char* folder) {
  const Path hwmon("%s/hwmon/hwmon%u", folder, card.card);
  tree.file(Path("%s/name", hwmon.text), "amdgpu\n");
  tree.file(Path("%s/temp1_label", hwmon.text), "edge\n");
  tree.file(Path("%s/temp1_input", hwmon.text), "40000\n");
  tree.file(Path("%s/temp2_label", hwmon.text), "junction\n");
  tree.file(Path("%s/temp2_input", hwmon.text), "45000\n");
  tree.file(Path("%s/temp3_label", hwmon.text), "mem\n");
  tree.file(Path("%s/temp3_input", hwmon.text), "42000\n");
  tree.file(Path("%s/in0_label", hwmon.text), "vddgfx\n");
  tree.file(Path("%s/in0_input", hwmon.text), "800\n");
}

void add_card(Tree& tree, const AmdCard& card) {
  const Path folder = folder_of(card);
  const Path values = values_of(card);
  add_pci_files(tree, card, folder);
  tree.file(Path("%s/mem_info_vram_total", folder.text), "%" PRIu64 "\n", card.vram_mib * kMib);
  tree.file(Path("%s/mem_info_vis_vram_total", folder.text), "%" PRIu64 "\n", card.vram_mib * kMib);
  tree.file(Path("%s/mem_info_gtt_total", folder.text), "%" PRIu64 "\n", 65536 * kMib);
  tree.file(Path("%s/mem_info_gtt_used", folder.text), "%" PRIu64 "\n", 16 * kMib);
  const Path address = address_of(card.pci);
  const char* up = card.pci.bus == 0 ? "../../.." : "../../../..";
  constexpr const char* kValues[] = {"mem_info_vram_used", "mem_info_vis_vram_used",
                                     "gpu_busy_percent"};
  tree.folder(values, 0777);
  for (const char* name : kValues) {
    tree.file_with(Path("%s/%s", values.text, name), 0666, "0\n");
    if (card.busy_unknown && strcmp(name, "gpu_busy_percent") == 0) continue;
    tree.link(Path("%s/%s", folder.text, name), Path("%s/values/%s/%s", up, address.text, name));
  }
  if (card.unique_id != 0) {
    tree.file(Path("%s/unique_id", folder.text), "%016" PRIx64 "\n", card.unique_id);
  }
  if (card.name[0] != '\0') tree.file(Path("%s/product_name", folder.text), "%s\n", card.name);
  tree.file(Path("%s/vbios_version", folder.text), "113-SIMULATED-001\n");
  add_sensors(tree, card, folder);
  add_partitions(tree, card, folder);
  const uint32_t nodes = card.xcc > 1 ? uint32_t{kMaxXcc} : 1;
  for (uint32_t part = 0; part < nodes; ++part) {
    add_drm_node(tree, card, "card", card.card + part, card.card + part, part, parts_of(card));
    add_drm_node(tree, card, "renderD", card.minor + part, card.minor + part, part, parts_of(card));
  }
}

// A link between KFD nodes; `kind` is io_links or p2p_links.
void add_link(Tree& tree, const char* kind, uint32_t from, uint32_t number, uint32_t to,
              uint32_t type, uint32_t weight) {
  tree.file(Path("sys/class/kfd/kfd/topology/nodes/%u/%s/%u/properties", from, kind, number),
            "type %u\nversion_major 0\nversion_minor 0\nnode_from %u\nnode_to %u\nweight %u\n"
            "min_latency 0\nmax_latency 0\nmin_bandwidth 0\nmax_bandwidth 0\n"
            "recommended_transfer_size 0\nflags 1\n",
            type, from, to, weight);
}

void add_memory_bank(Tree& tree, uint32_t node, uint32_t heap, uint64_t bytes) {
  tree.file(Path("sys/class/kfd/kfd/topology/nodes/%u/mem_banks/0/properties", node),
            "heap_type %u\nsize_in_bytes %" PRIu64 "\nflags 0\nwidth 64\nmem_clk_max 1000\n", heap,
            bytes);
}

void add_cpu_node(Tree& tree, uint32_t node, uint32_t links) {
  const Path folder("sys/class/kfd/kfd/topology/nodes/%u", node);
  tree.file(Path("%s/gpu_id", folder.text), "0\n");
  tree.file(Path("%s/name", folder.text), "\n");
  tree.file(Path("%s/properties", folder.text),
            "cpu_cores_count 64\nsimd_count 0\nmem_banks_count 1\ncaches_count 0\n"
            "io_links_count %u\np2p_links_count 0\ncpu_core_id_base %u\nsimd_id_base 0\n"
            "max_waves_per_simd 0\nlds_size_in_kb 0\ngds_size_in_kb 0\nnum_gws 0\n"
            "wave_front_size 0\narray_count 0\nsimd_arrays_per_engine 0\ncu_per_simd_array 0\n"
            "simd_per_cu 0\nmax_slots_scratch_cu 0\ngfx_target_version 0\nvendor_id 0\n"
            "device_id 0\nlocation_id 0\ndomain 0\ndrm_render_minor 0\nhive_id 0\n"
            "num_sdma_engines 0\nnum_sdma_xgmi_engines 0\nnum_sdma_queues_per_engine 0\n"
            "num_cp_queues 0\nmax_engine_clk_ccompute 3700\n",
            links, node * 64);
  tree.folder(Path("%s/caches", folder.text), 0755);
  tree.folder(Path("%s/io_links", folder.text), 0755);
  tree.folder(Path("%s/p2p_links", folder.text), 0755);
  add_memory_bank(tree, node, 0, uint64_t{512} * 1024 * kMib);
}

void add_gpu_node(Tree& tree, const Machine& machine, const AmdNode& node, uint32_t number,
                  uint32_t io_links, uint32_t p2p_links) {
  const AmdCard& card = machine.amd_cards[node.card];
  const uint32_t parts = parts_of(card);
  const Path folder("sys/class/kfd/kfd/topology/nodes/%u", number);
  const mode_t mode = card.closed == AmdClosed::cgroup ? 0200 : 0644;
  uint32_t location = (card.pci.bus << 8) | (card.pci.device << 3) | card.pci.function;
  if (parts > 1) location |= node.part << 28;
  tree.file_with(Path("%s/gpu_id", folder.text), mode, "%u\n", node.gpu_id);
  tree.file_with(Path("%s/name", folder.text), mode, "%s\n", card.chip);
  tree.file_with(
      Path("%s/properties", folder.text), mode,
      "cpu_cores_count 0\nsimd_count %u\nmem_banks_count 1\ncaches_count 0\nio_links_count %u\n"
      "p2p_links_count %u\ncpu_core_id_base 0\nsimd_id_base 2147487744\nmax_waves_per_simd 8\n"
      "lds_size_in_kb 64\ngds_size_in_kb 0\nnum_gws 64\nwave_front_size 64\narray_count %u\n"
      "simd_arrays_per_engine 1\ncu_per_simd_array 10\nsimd_per_cu 4\nmax_slots_scratch_cu 32\n"
      "gfx_target_version %u\nvendor_id %u\ndevice_id %u\nlocation_id %u\ndomain %u\n"
      "drm_render_minor %u\nhive_id %" PRIu64
      "\nnum_sdma_engines 2\nnum_sdma_xgmi_engines 6\nnum_sdma_queues_per_engine 8\n"
      "num_cp_queues 24\nmax_engine_clk_fcompute 2100\nlocal_mem_size 0\nfw_version 150\n"
      "capability 746594944\ndebug_prop 1511\nsdma_fw_version 22\nunique_id %" PRIu64
      "\nnum_xcc %u\nmax_engine_clk_ccompute 3700\n",
      4 * card.units / parts, io_links, p2p_links, 4 * card.xcc / parts, card.gfx, kVendor,
      card.device_id, location, card.pci.domain, node.minor, card.hive, unique_id_of(machine, node),
      card.xcc / parts);
  tree.folder(Path("%s/caches", folder.text), 0755);
  tree.folder(Path("%s/io_links", folder.text), 0755);
  tree.folder(Path("%s/p2p_links", folder.text), 0755);
  const uint64_t memory = card.vram_mib * kMib / (card.nps > 1 ? parts : 1);
  add_memory_bank(tree, number, 1, memory);
}

void add_gpu_nodes(Tree& tree, const Machine& machine, const AmdNodes& all) {
  const uint32_t cpus = cpu_nodes_of(machine);
  for (int i = 0; i < all.count; ++i) {
    const AmdCard& card = machine.amd_cards[all.nodes[i].card];
    const uint32_t number = cpus + static_cast<uint32_t>(i);
    uint32_t io_links = 0;
    uint32_t p2p_links = 0;
    add_link(tree, "io_links", number, io_links++, card.numa, kPciExpress, kPciWeight);
    for (int other = 0; other < all.count; ++other) {
      if (other == i) continue;
      const AmdCard& to = machine.amd_cards[all.nodes[other].card];
      const uint32_t to_number = cpus + static_cast<uint32_t>(other);
      if (card.hive != 0 && card.hive == to.hive) {
        add_link(tree, "io_links", number, io_links++, to_number, kXgmi, kXgmiWeight);
      } else if (!card.apu && !to.apu) {
        add_link(tree, "p2p_links", number, p2p_links++, to_number, kPciExpress, 2 * kPciWeight);
      }
    }
    add_gpu_node(tree, machine, all.nodes[i], number, io_links, p2p_links);
  }
}

void add_topology(Tree& tree, const Machine& machine) {
  const AmdNodes all = amd_nodes(machine);
  const uint32_t cpus = cpu_nodes_of(machine);
  for (uint32_t cpu = 0; cpu < cpus; ++cpu) {
    uint32_t links = 0;
    for (int i = 0; i < all.count; ++i) {
      if (machine.amd_cards[all.nodes[i].card].numa != cpu) continue;
      add_link(tree, "io_links", cpu, links++, cpus + static_cast<uint32_t>(i), kPciExpress,
               kPciWeight);
    }
    add_cpu_node(tree, cpu, links);
  }
  add_gpu_nodes(tree, machine, all);
  tree.file("sys/class/kfd/kfd/topology/generation_id", "%u\n",
            cpus + static_cast<uint32_t>(all.count));
  tree.file("sys/class/kfd/kfd/topology/system_properties",
            "platform_oem 0\nplatform_id 0\nplatform_rev 0\n");
  tree.file("sys/class/kfd/kfd/dev", "240:0\n");
  tree.file("sys/class/kfd/kfd/uevent", "MAJOR=240\nMINOR=0\nDEVNAME=kfd\n");
}

int add_all(const Machine& machine, int root) {
  Tree tree(root);
  tree.folder("sys/class/drm", 0755);
  tree.folder("sys/class/kfd", 0755);
  tree.folder("sys/bus/pci/devices", 0755);
  tree.folder("dev/dri", 0755);
  if (machine.amd_count > 0) {
    tree.file("sys/module/amdgpu/initstate", "live\n");
    tree.file("sys/class/drm/version", "drm 1.1.0 20060810\n");
    tree.folder("sys/class/kfd/kfd/proc", 0777);
    tree.file_with("dev/kfd", 0666, "%s", "");
    add_topology(tree, machine);
  }
  for (int i = 0; i < machine.amd_count; ++i) {
    if (!machine.amd_cards[i].lost) add_card(tree, machine.amd_cards[i]);
  }
  return tree.error();
}

// Folders where what is real stands beside what is simulated (layer.cpp): mount points that may be
// in use.
bool is_shared_level(const char* path) {
  constexpr const char* kLevels[] = {"sys", "sys/class", "sys/bus", "sys/devices", "dev"};
  for (const char* level : kLevels) {
    const size_t length = strlen(level);
    if (strcmp(path, level) == 0) return true;
    if (strncmp(path, level, length) == 0 && path[length] == '/' &&
        strchr(path + length + 1, '/') == nullptr) {
      return true;
    }
  }
  return false;
}

bool tree_path(const char* machine_path, char (&path)[PATH_MAX]) {
  const int length = snprintf(path, sizeof(path), "%s.sysfs", machine_path);
  if (length > 0 && static_cast<size_t>(length) < sizeof(path)) return true;
  errno = ENAMETOOLONG;
  return false;
}

bool write_whole(int root, const char* name, const char* text, size_t size) {
  const Path fresh("new/%s", name);
  const int fd = openat(root, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return false;
  const bool good = write(fd, text, size) == static_cast<ssize_t>(size) && fchmod(fd, 0644) == 0;
  close(fd);
  return good && renameat(root, fresh, root, name) == 0;
}

bool is_mine(int root) {
  struct stat about{};
  return fstat(root, &about) == 0 && (geteuid() == 0 || about.st_uid == geteuid());
}

bool is_made_from(int root, const char* text, size_t size) {
  const int fd = openat(root, "machine", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  static char old[kMaxMachineBytes];
  const ssize_t got = read(fd, old, sizeof(old));
  close(fd);
  return got == static_cast<ssize_t>(size) && memcmp(old, text, size) == 0;
}

bool move_part(int from, int to, const char* name) {
  const int old_folder = open_folder(from, name);
  const int folder = make_folder(to, name, 0755);
  const bool good =
      old_folder >= 0 && folder >= 0 && move_folder(old_folder, folder, is_shared_level, name);
  if (old_folder >= 0) close(old_folder);
  if (folder >= 0) close(folder);
  return good;
}

// All of it is made aside, and then moved.
bool build(const Machine& machine, int root) {
  const int fresh = make_folder(root, "new", 0777);
  if (fresh < 0) return false;
  remove_all(fresh, "tree");
  const int tree = make_folder(fresh, "tree", 0700);
  bool good = false;
  int error = errno;
  if (tree >= 0) {
    error = add_all(machine, tree);
    good = error == 0 && move_part(tree, root, "sys") && move_part(tree, root, "dev");
    if (error == 0) error = errno;
    close(tree);
    remove_all(fresh, "tree");
  }
  close(fresh);
  errno = error;
  return good;
}

}  // namespace

int open_tree_of(const char* machine_path) {
  char path[PATH_MAX];
  if (!tree_path(machine_path, path)) return -1;
  return open_folder(AT_FDCWD, path);
}

uint64_t unique_id_of(const Machine& machine, const AmdNode& node) {
  const AmdCard& card = machine.amd_cards[node.card];
  if (card.unique_id == 0 || !card.own_ids || parts_of(card) == 1) return card.unique_id;
  return card.unique_id + node.part;
}

bool make_tree(const Machine& machine, const char* machine_path, const char* text, size_t size,
               int state_folder) {
  char path[PATH_MAX];
  if (!tree_path(machine_path, path)) return false;
  const int root = make_folder(AT_FDCWD, path, 0755);
  if (root < 0) return false;
  bool good = is_made_from(root, text, size);
  if (!good && !is_mine(root)) {
    errno = EACCES;
  } else if (!good) {
    good = build(machine, root) && write_whole(root, "machine", text, size);
  }
  const int error = errno;
  if (good) show_use(machine, state_folder, root);
  close(root);
  errno = error;
  return good;
}

}  // namespace sim
