#pragma once

#include <filesystem>
#include <string>

#include "base/test_folder.h"
#include "gpu/amd.h"

namespace gpu_gate {

/// What sysfs and /dev show of a machine with AMD GPUs, made by hand as the kernel's sources have
/// it.
class AmdTree {
 public:
  struct Gpu {
    int node = 1;
    unsigned minor = 128;
    std::string location = "49408";     // 0000:c1:00.0
    std::string unique_id = "0";        // decimal, as KFD has it
    std::string card_id = {};           // 16 hexadecimal digits, as the card has it
    std::string total = "68702699520";  // bytes: 65520 MiB
    std::string used = "11534336";      // 11 MiB
    bool has_card = true;               // else its render node is of a partition
  };

  AmdTree() {
    folder_.write("dev/kfd", "");
    folder_.make_folder("sys/class/kfd/kfd/proc");
    add_cpu(0);
  }

  AmdPaths paths() const { return {.sys = folder_.path("sys"), .dev = folder_.path("dev")}; }

  void add_cpu(int node) const {
    write_node(node, "gpu_id", "0\n");
    write_node(node, "properties", "cpu_cores_count 64\nsimd_count 0\n");
  }

  /// KFD's id of it is 1000 and its node.
  void add(const Gpu& gpu) const {
    write_node(gpu.node, "gpu_id", std::to_string(1000 + gpu.node) + "\n");
    write_node(gpu.node, "name", "ip discovery\n");
    write_node(gpu.node, "properties",
               "cpu_cores_count 0\nsimd_count 1216\ngfx_target_version 90402\nlocation_id " +
                   gpu.location + "\ndomain 0\ndrm_render_minor " + std::to_string(gpu.minor) +
                   "\nnum_xcc 8\nunique_id " + gpu.unique_id + "\n");
    folder_.write("dev/dri/renderD" + std::to_string(gpu.minor), "");
    if (!gpu.has_card) {
      folder_.make_folder("sys/class/drm/renderD" + std::to_string(gpu.minor) + "/device");
      return;
    }
    write_card(gpu.minor, "mem_info_vram_total", gpu.total + "\n");
    write_card(gpu.minor, "mem_info_vram_used", gpu.used + "\n");
    write_card(gpu.minor, "gpu_busy_percent", "3\n");
    if (!gpu.card_id.empty()) write_card(gpu.minor, "unique_id", gpu.card_id + "\n");
  }

  void write_node(int node, const std::string& file, const std::string& text) const {
    folder_.write("sys/class/kfd/kfd/topology/nodes/" + std::to_string(node) + "/" + file, text);
  }
  void write_card(unsigned minor, const std::string& file, const std::string& text) const {
    folder_.write("sys/class/drm/renderD" + std::to_string(minor) + "/device/" + file, text);
  }
  void write_process(pid_t pid, const std::string& file, const std::string& text) const {
    folder_.write("sys/class/kfd/kfd/proc/" + std::to_string(pid) + "/" + file, text);
  }
  void remove(const std::string& file) const { std::filesystem::remove_all(folder_.path(file)); }
  /// Then a read of it fails (EISDIR).
  void replace_by_folder(const std::string& file) const {
    remove(file);
    folder_.make_folder(file);
  }

 private:
  TestFolder folder_;
};

}  // namespace gpu_gate
