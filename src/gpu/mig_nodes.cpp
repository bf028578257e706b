#include "gpu/mig_nodes.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <optional>

#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

/// The minor of the node that gives this access ("gpu0/gi1/ci0/access"); nothing where it is not
/// listed.
std::optional<unsigned> minor_of(const std::string& access, const std::string& proc) {
  std::ifstream list(proc + "/driver/nvidia-caps/mig-minors");
  std::string name;
  unsigned minor = 0;
  while (list >> name >> minor) {
    if (name == access) return minor;
  }
  return std::nullopt;
}

/// Only an actual open tells: a device cgroup refuses with EPERM what the file mode allows.
bool node_accessible(const std::string& access, const std::string& folder,
                     const std::string& proc) {
  const std::optional<unsigned> minor = minor_of(access, proc);
  if (!minor) return true;
  const std::string node = folder + "/nvidia-cap" + std::to_string(*minor);
  const UniqueFd fd(::open(node.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return fd || (errno != EACCES && errno != EPERM && errno != ENOENT);
}

}  // namespace

bool mig_nodes_accessible(const MigInstance& instance, const std::string& devices,
                          const std::string& proc) {
  const std::string folder = devices + "/nvidia-caps";
  // Without the folder they have not been made yet: CUDA has that done (nvidia-modprobe).
  if (::access(folder.c_str(), F_OK) != 0) return true;
  const std::string gpu_instance =
      "gpu" + std::to_string(instance.card_minor) + "/gi" + std::to_string(instance.gpu_instance);
  const std::string compute_instance =
      gpu_instance + "/ci" + std::to_string(instance.compute_instance);
  return node_accessible(gpu_instance + "/access", folder, proc) &&
         node_accessible(compute_instance + "/access", folder, proc);
}

}  // namespace gpu_gate
