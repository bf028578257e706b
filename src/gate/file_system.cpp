#include "gate/file_system.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/printable.h"

namespace gpu_gate {
namespace {

constexpr std::uint32_t kFuse = 0x65735546;  // linux/magic.h

}  // namespace

// Numbers from statfs(2), linux/magic.h, the file systems' own sources, and GNU coreutils
// (src/stat.c), which knows those that are not part of the kernel. Folders that a virtual machine
// shares with its host are among them.
bool is_network_type(std::uint32_t type) {
  constexpr std::array<std::uint32_t, 23> kNetwork{
      0x6969,      // NFS
      0x517B,      // SMB
      0xFF534D42,  // CIFS
      0xFE534D42,  // SMB2
      0x564C,      // NCP
      0x01021997,  // 9P
      0x5346414F,  // AFS
      0x6B414653,  // kAFS
      0x73757245,  // Coda
      0x00C36400,  // Ceph
      0x0BD00BD0,  // Lustre
      0x47504653,  // GPFS
      0x19830326,  // BeeGFS
      0x20030528,  // OrangeFS
      0xAAD7AAEA,  // PanFS
      0xBEEFDEAD,  // StorNext
      0x013111A8,  // IBRIX
      0x61636673,  // ACFS
      0x7461636F,  // OCFS2
      0x01161970,  // GFS2
      0x786F4256,  // VirtualBox shared folders
      0xBACBACBC,  // VMware shared folders
      0x7C7C6673,  // Parallels shared folders
  };
  return std::find(kNetwork.begin(), kNetwork.end(), type) != kNetwork.end();
}

// A block device (ntfs-3g, exfat-fuse) belongs to one machine; fuse-overlayfs is how containers
// without root get their files. What else there is (sshfs, GlusterFS, JuiceFS, s3fs, virtiofs) is
// mostly a network's.
bool is_local_fuse(const std::string& name) {
  return name == "fuseblk" || name.starts_with("fuseblk.") || name == "fuse.fuse-overlayfs";
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": the device is the third field,
// the type comes behind the first " - ", its own options at the end (spaces within a field are
// written as \040).
MountedAs mounted_as(dev_t device, const std::string& mountinfo) {
  std::FILE* file = std::fopen(mountinfo.c_str(), "re");
  if (file == nullptr) return {};
  std::array<char, 64> wanted{};
  std::snprintf(wanted.data(), wanted.size(), "%u:%u", major(device), minor(device));
  MountedAs mounted;
  char* line = nullptr;
  std::size_t room = 0;
  while (mounted.type.empty() && ::getline(&line, &room, file) > 0) {
    std::array<char, 64> found{};
    if (std::sscanf(line, "%*d %*d %63s", found.data()) != 1 || wanted != found) continue;
    const std::string text = line;
    const std::size_t end = text.find(" - ");
    std::array<char, 256> type{};
    std::array<char, 256> options{};
    if (end == std::string::npos ||
        std::sscanf(text.c_str() + end, " - %255s %*s %255s", type.data(), options.data()) < 1) {
      continue;
    }
    mounted = {.type = type.data(), .options = options.data()};
  }
  std::free(line);
  std::fclose(file);
  return mounted;
}

Result<std::optional<std::string>> network_file_system(int fd, const std::string& mountinfo) {
  struct statfs info{};
  if (::fstatfs(fd, &info) != 0) {
    return fail(system_error(ErrorKind::lock_file, "fstatfs", ".", errno));
  }
  const auto number = static_cast<std::uint32_t>(info.f_type);
  if (is_network_type(number)) return "a network file system";
  if (number != kFuse) return std::nullopt;
  struct stat file{};
  if (::fstat(fd, &file) != 0) return fail(system_error(ErrorKind::lock_file, "fstat", ".", errno));
  const std::string type = mounted_as(file.st_dev, mountinfo).type;
  if (is_local_fuse(type)) return std::nullopt;
  return "a FUSE file system" + (type.empty() ? "" : " (" + printable(type) + ")") +
         " that may be a network file system";
}

}  // namespace gpu_gate
