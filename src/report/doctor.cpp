#include "report/doctor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <utility>

#include "base/env.h"
#include "base/printable.h"
#include "gpu/visible_devices.h"
#include "policy/fit.h"

namespace gpu_gate {
namespace {

constexpr const char* kMakeForAll =
    "sudo install -d -m 1777 /run/gpu-gate /run/gpu-gate/queue /run/gpu-gate/claims";
constexpr const char* kLockDirectory = "lock directory";

class Findings {
 public:
  void fault(std::string subject, std::string what, std::string remedy) {
    faults_.push_back({.level = Level::fault,
                       .subject = std::move(subject),
                       .what = std::move(what),
                       .remedy = std::move(remedy)});
  }
  void note(std::string subject, std::string what, std::string remedy) {
    notes_.push_back({.level = Level::note,
                      .subject = std::move(subject),
                      .what = std::move(what),
                      .remedy = std::move(remedy)});
  }
  /// All, faults first.
  std::vector<Finding> all() && {
    std::move(notes_.begin(), notes_.end(), std::back_inserter(faults_));
    return std::move(faults_);
  }

 private:
  std::vector<Finding> faults_;
  std::vector<Finding> notes_;
};

std::string octal(mode_t mode) {
  std::array<char, 16> digits{};
  const auto [end, problem] = std::to_chars(digits.begin(), digits.end(), mode, 8);
  return {digits.begin(), end};
}

std::string set_variable(const char* name, const std::string& value) {
  return "export " + std::string(name) + "=" + value;
}

/// What opens a device file to this user.
std::string opening(const ClosedNode& node) {
  if (node.group.empty()) return "sudo chmod 666 " + node.path;
  return "sudo usermod -aG " + shell_word(node.group) + " \"$USER\"  # then log in again";
}

/// The device file of a GPU, "/dev/nvidia0", not one that all GPUs need.
bool is_of_one_gpu(const ClosedNode& node) {
  return node.path.find_last_of("0123456789") == node.path.size() - 1;
}

std::string device_name(const Device& device) { return "GPU " + label(device); }

void examine_health(const Device& device, Findings& findings) {
  const std::string name = device_name(device);
  const std::string number = std::to_string(device.index);
  switch (device.health) {
    case Health::lost:
      findings.fault(name, "the driver has lost it: " + printable(device.error), "sudo reboot");
      break;
    case Health::reset_required:
      findings.fault(name, "it must be reset before anybody can use it",
                     "sudo nvidia-smi -r -i " + number + "  # if that fails: sudo reboot");
      break;
    case Health::prohibited:
      findings.fault(name, "compute mode PROHIBITED: no process can compute on it",
                     "sudo nvidia-smi -i " + number + " -c DEFAULT");
      break;
    case Health::unreadable:
      if (!device.accessible) break;  // said of it anyway
      findings.fault(name, "its state cannot be read: " + printable(device.error),
                     device.vendor == Vendor::amd ? "sudo dmesg | grep -i -e amdgpu -e kfd"
                                                  : "nvidia-smi -q -i " + number);
      break;
    case Health::ok:
    case Health::mig:
      break;
  }
}

void examine_repair(const Device& device, Findings& findings) {
  const std::string name = device_name(device);
  const std::string number = std::to_string(device.index);
  switch (device.repair) {
    case Repair::none:
      break;
    case Repair::remap_pending:
      findings.note(name, "failed memory is replaced at the next reset",
                    "sudo nvidia-smi -r -i " + number);
      break;
    case Repair::retire_pending:
      findings.note(name, "failed memory is retired at the next reset",
                    "sudo nvidia-smi -r -i " + number);
      break;
    case Repair::remap_failed:
      findings.fault(name, "failed memory could not be replaced: the GPU should be exchanged",
                     "nvidia-smi -q -i " + number + " -d ROW_REMAPPER");
      break;
  }
}

/// An instance is not to be told of what is told of its card.
void examine_access(const Device& device, const Host& host, Findings& findings) {
  const auto node = std::find_if(host.closed_nodes.begin(), host.closed_nodes.end(), is_of_one_gpu);
  const bool of_card = node != host.closed_nodes.end();
  if (device.accessible || (device.instance && of_card)) return;
  const char* list = device.vendor == Vendor::amd ? "ls -l /dev/kfd /dev/dri/renderD*"
                     : device.instance            ? "ls -l /dev/nvidia-caps"
                                                  : "ls -l /dev/nvidia*";
  findings.fault(device_name(device), "you may not open its device file",
                 of_card ? opening(*node) : list);
}

/// Memory in use of no process. Those of AMD's that only draw are never shown.
void examine_memory(const Device& device, const Host& host, Findings& findings) {
  // In a pid namespace of one's own the driver leaves out the processes outside, on WSL all.
  if (device.health != Health::ok || host.own_pid_namespace || host.is_wsl ||
      !has_unowned_memory(device)) {
    return;
  }
  const std::string mib = std::to_string(unowned_mib(device)) + " MiB in use by no ";
  if (device.vendor == Vendor::amd) {
    findings.note(device_name(device),
                  mib + "process that computes: what draws, or what a job has left over",
                  "sudo fuser -v /dev/kfd /dev/dri/*");
    return;
  }
  findings.fault(
      device_name(device), mib + "visible process",
      "sudo fuser -v /dev/nvidia*  # end what is left over; else: sudo nvidia-smi -r -i " +
          std::to_string(device.index));
}

void examine_device(const Device& device, const Host& host, Findings& findings) {
  const std::string name = device_name(device);
  const std::string number = std::to_string(device.index);
  examine_access(device, host, findings);
  examine_health(device, findings);
  if (!device.instance) examine_repair(device, findings);
  if (device.exclusive) {
    findings.note(name, "compute mode EXCLUSIVE_PROCESS: one process at a time",
                  "sudo nvidia-smi -i " + number + " -c DEFAULT");
  }
  examine_memory(device, host, findings);
}

void examine_mig(const Snapshot& snapshot, Findings& findings) {
  for (const Device& card : snapshot.devices) {
    const bool divided =
        std::any_of(snapshot.devices.begin(), snapshot.devices.end(),
                    [&](const Device& device) { return device.card_uuid == card.uuid; });
    if (card.health != Health::mig || divided) continue;
    const std::string number = std::to_string(card.index);
    std::string remedy = "nvidia-smi mig -lgip -i " + number;
    remedy.append("  # then: sudo nvidia-smi mig -i ").append(number).append(" -cgi PROFILES -C");
    findings.note(device_name(card), "MIG is on, but it has no instances: nobody can use it",
                  std::move(remedy));
  }
}

void examine_driver(const Examination& seen, Findings& findings) {
  constexpr const char* kDriver = "driver";
  bool closed = false;
  for (const ClosedNode& node : seen.host.closed_nodes) {
    if (is_of_one_gpu(node)) continue;
    findings.fault(node.path, "you may not open it", opening(node));
    closed = true;
  }
  if (!seen.snapshot && closed) return;  // that is why
  if (!seen.snapshot) {
    const Error& error = seen.snapshot.error();
    const Diagnosis& diagnosis = error.diagnosis;
    findings.fault(kDriver, diagnosis.what.empty() ? error.text : diagnosis.what,
                   diagnosis.remedy.empty() ? "nvidia-smi" : diagnosis.remedy);
    return;
  }
  if (seen.snapshot->devices.empty()) {
    findings.fault(kDriver, "it finds no GPU on this machine",
                   "lspci -d 10de:  # an NVIDIA GPU in this list? sudo dmesg | grep -i nvrm");
  }
  for (Device device : seen.snapshot->devices) {
    // What all of AMD's need is closed, and so each of them: that is said.
    if (closed && device.vendor == Vendor::amd) device.accessible = true;
    examine_device(device, seen.host, findings);
  }
  examine_mig(*seen.snapshot, findings);
  if (seen.persistence_off) {
    findings.note(kDriver, "persistence mode is off: an idle GPU takes seconds to wake up",
                  "sudo nvidia-smi -pm 1");
  }
}

/// A directory that this user may use in any case.
std::string another_directory(const LockPlace& lock) {
  if (lock.paths.chosen) return std::string("unset ") + env::kLockDir;
  return set_variable(env::kLockDir, "\"$XDG_RUNTIME_DIR/gpu-gate\"");
}

void examine_policy(const LockPlace& lock, Findings& findings) {
  constexpr const char* kPolicy = "policy file";
  const std::string file = shell_word(printable(lock.path + "/policy"));
  if (lock.policy_ignored) {
    findings.fault(kPolicy,
                   "it is ignored: it must be a file of root's or of the directory's owner that "
                   "nobody else may write",
                   "sudo chown root " + file + " && sudo chmod 644 " + file);
  }
  for (const std::string& line : lock.policy.unread) {
    findings.fault(kPolicy, "this line is ignored: " + printable(line),
                   "sudoedit " + file + "  # order = turns | arrival, max-per-user = N");
  }
}

void examine_other_places(const LockPlace& lock, Findings& findings) {
  for (const ClaimElsewhere& other : lock.elsewhere) {
    const std::string holder =
        printable(other.claimant.user) + (other.claimant.job && other.claimant.job->pid != 0
                                              ? ", pid " + std::to_string(other.claimant.job->pid)
                                              : "");
    const std::string path = shell_word(printable(other.path));
    findings.fault(
        kLockDirectory,
        printable(other.path) + " is in use too (" + holder + "): a second line beside this one",
        lock.paths.chosen
            ? std::string("unset ") + env::kLockDir
            : std::string(env::kLockDir) + "=" + path + " gpu-gate status  # let these jobs end");
  }
}

void examine_lock(const LockPlace& lock, const Host& host, Findings& findings) {
  const std::string path = printable(lock.path);
  if (!lock.usable) {
    const Error& error = lock.usable.error();
    const Diagnosis& diagnosis = error.diagnosis;
    findings.fault(kLockDirectory,
                   diagnosis.what.empty() ? error.text : "it cannot be used: " + diagnosis.what,
                   diagnosis.remedy.empty() ? another_directory(lock) : diagnosis.remedy);
  }
  examine_other_places(lock, findings);
  examine_policy(lock, findings);
  if (lock.last_resort) {
    findings.note(kLockDirectory,
                  path + ": a service with a /tmp of its own stands in another line", kMakeForAll);
  }
  constexpr mode_t kForAll = 01777;
  if (!lock.paths.chosen && lock.exists && (lock.mode & kForAll) != kForAll) {
    findings.note(
        kLockDirectory,
        path + " has mode " + octal(lock.mode) + ", not 1777: not all users can claim there",
        "sudo chmod 1777 " + shell_word(path));
  }
  if (host.is_container && !lock.paths.chosen && lock.on_root) {
    findings.note("container",
                  "it does not have the host's lock directory: its jobs stand in another line",
                  "docker run -v /run/gpu-gate:/run/gpu-gate --pid=host ...");
  }
}

void examine_surroundings(const Examination& seen, Findings& findings) {
  const Host& host = seen.host;
  if (host.hides_processes) {
    findings.note("/proc", "hides other users' processes (hidepid): status cannot name them",
                  "sudo mount -o remount,hidepid=0 /proc");
  }
  if (host.own_pid_namespace) {
    findings.note("pid namespace", "processes outside it cannot be seen: status cannot name them",
                  "docker run --pid=host ...");
  }
  const bool none = seen.snapshot && visible_devices(host.visible, *seen.snapshot).empty();
  for (const VisibleList& list : host.visible) {
    if (host.in_job) break;
    findings.note(list.variable,
                  "set to '" + printable(list.value) +
                      (none ? "', which is no GPU here: gpu-gate chooses among none"
                            : "': gpu-gate chooses only among these GPUs"),
                  "unset " + list.variable);
  }
  if (!host.in_job && host.device_order && *host.device_order != "PCI_BUS_ID") {
    findings.note(env::kCudaDeviceOrder,
                  "set to '" + printable(*host.device_order) +
                      "': CUDA numbers the GPUs differently from nvidia-smi",
                  std::string("unset ") + env::kCudaDeviceOrder);
  }
  if (!host.closed_history.empty()) {
    const std::string path = printable(host.closed_history);
    findings.note("history", path + " cannot be written: your jobs are not recorded",
                  "sudo chmod 1777 " + shell_word(path));
  }
  if (const std::optional<Diagnosis>& refused = seen.refused_by_slurm) {
    findings.note("Slurm", refused->what, refused->remedy);
  } else if (host.has_slurmd && !host.in_job) {
    findings.note("Slurm", "it starts jobs on this machine too, and knows nothing of claims",
                  "srun --gpus=1 gpu-gate run -- COMMAND");
  }
}

}  // namespace

std::vector<Finding> diagnose(const Examination& examination) {
  Findings findings;
  examine_driver(examination, findings);
  examine_lock(examination.lock, examination.host, findings);
  examine_surroundings(examination, findings);
  return std::move(findings).all();
}

std::string why_this_one(const LockPlace& lock) {
  if (lock.paths.chosen) return std::string("from ") + env::kLockDir;
  if (lock.path == lock.paths.administered) return "made for all users";
  if (!lock.last_resort) return "since there is no " + lock.paths.administered;
  return "since there is no " + lock.paths.administered + ", and " + lock.paths.shared.front() +
         " is not open to all";
}

}  // namespace gpu_gate
