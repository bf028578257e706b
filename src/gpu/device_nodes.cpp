#include "gpu/device_nodes.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

bool node_opens(const std::string& node, int access) {
  const UniqueFd fd(::open(node.c_str(), access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return fd || (errno != EACCES && errno != EPERM && errno != ENOENT);
}

}  // namespace

bool card_node_accessible(const std::string& devices, unsigned minor) {
  if (::access((devices + "/nvidiactl").c_str(), F_OK) != 0) return true;
  return node_opens(devices + "/nvidia" + std::to_string(minor), O_RDWR);
}

bool mig_nodes_accessible(const MigInstance& instance, const std::string& devices,
                          const std::string& proc) {
  const std::string folder = devices + "/nvidia-caps";
  // Without the folder they have not been made yet: CUDA has that done (nvidia-modprobe).
  if (::access(folder.c_str(), F_OK) != 0) return true;
  const std::string gpu_instance =
      "gpu" + std::to_string(instance.card_minor) + "/gi" + std::to_string(instance.gpu_instance);
  const std::string gpu_access = gpu_instance + "/access";
  const std::string compute_access =
      gpu_instance + "/ci" + std::to_string(instance.compute_instance) + "/access";
  const std::string minors = proc + "/driver/nvidia-caps/mig-minors";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> list(std::fopen(minors.c_str(), "re"),
                                                             &std::fclose);
  std::array<char, 64> name{};   // "gpu0/gi1/ci0/access"
  std::array<char, 16> minor{};  // "12"
  while (list && std::fscanf(list.get(), "%63s %15s", name.data(), minor.data()) == 2) {
    if (gpu_access != name.data() && compute_access != name.data()) continue;
    std::string node = folder;
    node.append("/nvidia-cap").append(minor.data());
    if (!node_opens(node, O_RDONLY)) return false;
  }
  return true;
}

}  // namespace gpu_gate
