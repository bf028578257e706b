#include "report/host.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>

#include "base/env.h"
#include "base/folder.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "gate/file_system.h"

namespace gpu_gate {
namespace {

/// Of the whole machine: PROC_PID_INIT_INO of linux/proc_ns.h.
constexpr std::uint64_t kFirstPidNamespace = 0xEFFFFFFC;

std::string group_name(gid_t gid) {
  const struct group* entry = ::getgrgid(gid);
  return entry != nullptr ? entry->gr_name : std::to_string(gid);
}

bool is_in_group(gid_t gid) {
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return ::getegid() == gid || std::find(groups.begin(), groups.end(), gid) != groups.end();
}

/// "nvidiactl", "nvidia-uvm", "nvidia0"; "kfd", "renderD128".
bool is_node_name(const std::string& name, Vendor vendor) {
  const std::string_view prefix = vendor == Vendor::amd ? "renderD" : "nvidia";
  if (vendor == Vendor::amd && name == "kfd") return true;
  if (vendor == Vendor::nvidia && (name == "nvidiactl" || name == "nvidia-uvm")) return true;
  if (!name.starts_with(prefix)) return false;
  const std::string_view number = std::string_view(name).substr(prefix.size());
  return !number.empty() && std::all_of(number.begin(), number.end(),
                                        [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// Only an open tells: a device cgroup refuses what the mode allows. (Of AMD's, what such a one
/// refuses is not seen here; to open one would wake its GPU.) One that fails otherwise (no such
/// device) is not closed.
bool is_closed(const std::string& path, Vendor vendor) {
  if (vendor == Vendor::amd) return ::access(path.c_str(), R_OK | W_OK) != 0 && errno == EACCES;
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return !fd && (errno == EACCES || errno == EPERM);
}

std::optional<ClosedNode> closed_node(const std::string& path, Vendor vendor) {
  if (!is_closed(path, vendor)) return std::nullopt;
  ClosedNode node{.path = path, .group = ""};
  constexpr mode_t kGroupMay = S_IRGRP | S_IWGRP;
  struct stat file{};
  if (::stat(path.c_str(), &file) == 0 && (file.st_mode & kGroupMay) == kGroupMay &&
      !is_in_group(file.st_gid)) {
    node.group = group_name(file.st_gid);
  }
  return node;
}

std::vector<ClosedNode> closed_nodes(const std::string& devices, Vendor vendor) {
  std::vector<ClosedNode> closed;
  for (const std::string& folder : {devices + "/", devices + "/dri/"}) {
    for (const std::string& name : names_in_folder(folder).names) {
      if (!is_node_name(name, vendor)) continue;
      if (auto node = closed_node(folder + name, vendor)) {
        closed.push_back(std::move(*node));
      }
    }
  }
  std::sort(closed.begin(), closed.end(),
            [](const ClosedNode& a, const ClosedNode& b) { return a.path < b.path; });
  return closed;
}

/// proc(5), "hidepid=n": 1, 2 and 4 hide something, by name since Linux 5.8.
bool hides_processes(const HostPaths& paths) {
  struct stat proc{};
  if (::stat(paths.proc.c_str(), &proc) != 0) return false;
  const std::string options = "," + mounted_as(proc.st_dev, paths.mountinfo).options + ",";
  return options.find(",hidepid=") != std::string::npos &&
         options.find(",hidepid=0,") == std::string::npos &&
         options.find(",hidepid=off,") == std::string::npos;
}

bool runs_slurmd(const std::string& proc) {
  const std::vector<std::uint64_t> pids = numbers_in_folder(proc).numbers;
  return std::any_of(pids.begin(), pids.end(), [&](std::uint64_t pid) {
    return process_name(static_cast<pid_t>(pid), proc) == "slurmd" &&
           !has_ended(static_cast<pid_t>(pid), proc);
  });
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

Host look_at_host(const char* const* environment, const HostPaths& paths, Vendor vendor) {
  const std::string history = env_setting(environment, env::kHistory).value_or(paths.history);
  const std::uint64_t pids = pid_namespace();
  return {
      .closed_nodes = closed_nodes(paths.devices, vendor),
      .hides_processes = hides_processes(paths),
      .own_pid_namespace = pids != 0 && pids != kFirstPidNamespace,
      .is_container = env_setting(environment, env::kContainer) ||
                      exists(paths.root + "/.dockerenv") ||
                      exists(paths.root + "/run/.containerenv"),
      .is_wsl = exists(paths.devices + "/dxg"),  // of dxgkrnl, the GPU driver there
      .has_slurmd = runs_slurmd(paths.proc),
      .in_job = env_setting(environment, env::kClaim) || env_setting(environment, env::kSlurmJob),
      .visible = inherited_lists(environment, vendor),
      .device_order =
          vendor == Vendor::nvidia ? env_setting(environment, env::kCudaDeviceOrder) : std::nullopt,
      .closed_history =
          exists(history) && ::access(history.c_str(), W_OK | X_OK) != 0 ? history : ""};
}

}  // namespace gpu_gate
