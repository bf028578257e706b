#include "report/doctor.h"

#include <gtest/gtest.h>

#include <functional>

#include "report/test_board.h"
#include "report/test_lock_place.h"

namespace gpu_gate {
namespace {

/// A GPU in order, but for this.
Device gpu(int index, const std::function<void(Device&)>& change = [](Device&) {}) {
  Device device;
  device.index = index;
  device.uuid = "GPU-" + std::to_string(index);
  change(device);
  return device;
}

/// One with so much memory in use.
Device gpu_in_use(std::int64_t used_mib) {
  return gpu(3, [&](Device& device) {
    device.memory_total_mib = 46068;
    device.memory_used_mib = used_mib;
    device.memory_reserved_mib = 600;
  });
}

GpuProcess user_of(std::optional<std::int64_t> memory_mib) {
  return {.pid = 7, .graphics = false, .memory_mib = memory_mib};
}

/// A machine on which nothing is wrong.
Examination well(std::vector<Device> devices = {gpu(0)}) {
  return {.snapshot = Snapshot{std::move(devices)},
          .persistence_off = false,
          .lock = sound_place(),
          .host = {}};
}

/// "fault GPU 0: ..." of each finding; every one has a remedy of one line.
std::vector<std::string> told(const Examination& examination) {
  std::vector<std::string> lines;
  for (const Finding& finding : diagnose(examination)) {
    EXPECT_FALSE(finding.remedy.empty()) << finding.what;
    EXPECT_EQ(finding.remedy.find('\n'), std::string::npos) << finding.remedy;
    lines.push_back((finding.level == Level::fault ? "fault " : "note ") + finding.subject + ": " +
                    finding.what);
  }
  return lines;
}

std::vector<std::string> told_of(const Device& device) { return told(well({device})); }

using Lines = std::vector<std::string>;

TEST(Doctor, FindsNothingWhereNothingIsWrong) { EXPECT_EQ(told(well()), Lines{}); }

TEST(Doctor, TellsWhyAGpuCannotBeUsed) {
  const auto broken = [](Health health, bool accessible = true) {
    return gpu(3, [&](Device& device) {
      device.health = health;
      device.accessible = accessible;
      device.error = "why";
    });
  };
  const std::vector<std::pair<Device, std::string>> cases{
      {broken(Health::lost), "the driver has lost it: why"},
      {broken(Health::reset_required), "it must be reset before anybody can use it"},
      {broken(Health::prohibited), "compute mode PROHIBITED: no process can compute on it"},
      {broken(Health::unreadable), "its state cannot be read: why"},
      {broken(Health::ok, false), "you may not open its device file"},
      {broken(Health::unreadable, false), "you may not open its device file"},
  };
  for (const auto& [device, what] : cases)
    EXPECT_EQ(told_of(device), Lines{"fault GPU 3: " + what});
  EXPECT_EQ(told_of(gpu(3, [](Device& device) { device.exclusive = true; })),
            Lines{"note GPU 3: compute mode EXCLUSIVE_PROCESS: one process at a time"});
}

TEST(Doctor, TellsOfFailedMemory) {
  const std::pair<Repair, std::string> cases[] = {
      {Repair::remap_pending, "note GPU 3: failed memory is replaced at the next reset"},
      {Repair::retire_pending, "note GPU 3: failed memory is retired at the next reset"},
      {Repair::remap_failed,
       "fault GPU 3: failed memory could not be replaced: the GPU should be exchanged"}};
  for (const auto& [repair, line] : cases) {
    EXPECT_EQ(told_of(gpu(3, [&](Device& device) { device.repair = repair; })), Lines{line});
  }
}

TEST(Doctor, TellsOfMemoryThatBelongsToNoProcess) {
  Device device = gpu_in_use(9000);
  EXPECT_EQ(told_of(device), Lines{"fault GPU 3: 9000 MiB in use by no visible process"});
  device.processes = {user_of(5000)};
  EXPECT_EQ(told_of(device), Lines{"fault GPU 3: 4000 MiB in use by no visible process"});
  device.processes = {user_of(8900)};
  EXPECT_EQ(told_of(device), Lines{}) << "what the driver itself needs is no trouble";
  device.processes = {user_of({})};
  EXPECT_EQ(told_of(device), Lines{}) << "it may all be that process's";
}

TEST(Doctor, SaysNothingOfMemoryWhereItCannotTell) {
  Device device = gpu_in_use(9000);
  Examination in_container = well({device});
  in_container.host.own_pid_namespace = true;
  EXPECT_EQ(
      told(in_container),
      Lines{"note pid namespace: processes outside it cannot be seen: status cannot name them"});
  device.shares_system_memory = true;
  EXPECT_EQ(told_of(device), Lines{});
  device = gpu_in_use(9000);
  device.health = Health::mig;
  EXPECT_EQ(told_of(device),
            Lines{"note GPU 3: MIG is on, but it has no instances: nobody can use it"});
}

TEST(Doctor, TellsOfAnInstanceOnlyWhatItsCardDoesNot) {
  Device card = gpu(3);
  card.health = Health::mig;
  card.repair = Repair::remap_pending;
  Device instance = card;
  instance.instance = 0;
  instance.card_uuid = card.uuid;
  instance.uuid = "MIG-1";
  instance.health = Health::ok;
  EXPECT_EQ(told(well({card, instance})),
            Lines{"note GPU 3: failed memory is replaced at the next reset"});
  instance.accessible = false;
  card.repair = instance.repair = Repair::none;
  EXPECT_EQ(told(well({card, instance})), Lines{"fault GPU 3:0: you may not open its device file"});
}

TEST(Doctor, SaysNothingOfMemoryWhereTheDriverListsNoProcesses) {
  Examination on_wsl = well({gpu_in_use(9000)});
  on_wsl.host.is_wsl = true;
  EXPECT_EQ(told(on_wsl), Lines{});
}

TEST(Doctor, TellsOfAClosedDeviceFileAndNotOfItsConsequence) {
  Examination closed = well();
  closed.snapshot = fail(ErrorKind::gpu_state, "nvmlInit: Insufficient Permissions");
  EXPECT_EQ(told(closed), Lines{"fault driver: nvmlInit: Insufficient Permissions"});
  closed.host.closed_nodes = {{.path = "/dev/nvidiactl", .group = ""}};
  EXPECT_EQ(told(closed), Lines{"fault /dev/nvidiactl: you may not open it"});
}

/// A GPU of AMD's in order, but for this.
Device amd_gpu(const std::function<void(Device&)>& change = [](Device&) {}) {
  return gpu(0, [&](Device& device) {
    device.vendor = Vendor::amd;
    device.memory_total_mib = 65520;
    device.memory_reserved_mib = 0;
    change(device);
  });
}

TEST(Doctor, OfAmdsGpusNamesTheFileThatIsClosedAndItsGroup) {
  Examination machine = well({amd_gpu([](Device& device) { device.accessible = false; })});
  machine.snapshot->vendor = Vendor::amd;
  machine.host.closed_nodes = {{.path = "/dev/dri/renderD128", .group = "render"}};
  EXPECT_EQ(told(machine), Lines{"fault GPU 0: you may not open its device file"});
  EXPECT_EQ(diagnose(machine)[0].remedy, "sudo usermod -aG render \"$USER\"  # then log in again");
  machine.host.closed_nodes.clear();
  EXPECT_EQ(diagnose(machine)[0].remedy, "ls -l /dev/kfd /dev/dri/renderD*");
  machine.host.closed_nodes = {{.path = "/dev/kfd", .group = "render"}};
  EXPECT_EQ(told(machine), Lines{"fault /dev/kfd: you may not open it"}) << "all GPUs need it";
}

TEST(Doctor, OfAmdsGpusMemoryOfNoProcessIsANoteSinceItMayBeADisplays) {
  EXPECT_EQ(told_of(amd_gpu([](Device& device) { device.memory_used_mib = 4000; })),
            Lines{"note GPU 0: 4000 MiB in use by no process that computes: what draws, or what a "
                  "job has left over"});
}

TEST(Doctor, OfAmdsGpusNamesNoToolOfNvidias) {
  const Device broken = amd_gpu([](Device& device) {
    device.health = Health::unreadable;
    device.error = "why";
  });
  EXPECT_EQ(diagnose(well({broken}))[0].remedy, "sudo dmesg | grep -i -e amdgpu -e kfd");
}

TEST(Doctor, TellsFaultsFirst) {
  Examination machine = well({gpu(0, [](Device& device) { device.exclusive = true; }),
                              gpu(1, [](Device& device) { device.health = Health::lost; })});
  machine.persistence_off = true;
  const Lines lines = told(machine);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(lines[0].starts_with("fault GPU 1"));
  EXPECT_TRUE(lines[1].starts_with("note GPU 0"));
  EXPECT_TRUE(lines[2].starts_with("note driver: persistence mode is off"));
}

TEST(Doctor, TellsThatThereIsNoGpu) {
  EXPECT_EQ(told(well({})), Lines{"fault driver: it finds no GPU on this machine"});
}

TEST(Doctor, TellsOfADriverInItsOwnWordsWhereItHasNoOthers) {
  Examination machine = well();
  machine.snapshot = fail(ErrorKind::gpu_state, "nvmlDeviceGetCount: reports 5000 GPUs");
  EXPECT_EQ(told(machine), Lines{"fault driver: nvmlDeviceGetCount: reports 5000 GPUs"});
  machine.snapshot = fail({.kind = ErrorKind::gpu_state,
                           .text = "not loaded; load it",
                           .diagnosis = {.what = "not loaded", .remedy = "sudo modprobe nvidia"}});
  EXPECT_EQ(told(machine), Lines{"fault driver: not loaded"});
  EXPECT_EQ(diagnose(machine)[0].remedy, "sudo modprobe nvidia");
}

TEST(Doctor, OpensADeviceFileByItsGroupIfThatIsWhatItIsFor) {
  Examination machine = well({gpu(0, [](Device& device) { device.accessible = false; })});
  machine.host.closed_nodes = {{.path = "/dev/nvidia-uvm", .group = ""},
                               {.path = "/dev/nvidia0", .group = "video"}};
  const std::vector<Finding> findings = diagnose(machine);
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].subject, "/dev/nvidia-uvm");
  EXPECT_EQ(findings[0].remedy, "sudo chmod 666 /dev/nvidia-uvm");
  EXPECT_EQ(findings[1].subject, "GPU 0");
  EXPECT_EQ(findings[1].remedy, "sudo usermod -aG video \"$USER\"  # then log in again");
}

TEST(Doctor, TellsOfALockDirectoryWithWhatHelpsThere) {
  Examination machine = well();
  machine.lock.usable = fail({.kind = ErrorKind::lock_dir,
                              .text = "cannot use it: full; free some space",
                              .diagnosis = {.what = "full", .remedy = ""}});
  EXPECT_EQ(told(machine), Lines{"fault lock directory: it cannot be used: full"});
  EXPECT_EQ(diagnose(machine)[0].remedy, "export GPU_GATE_LOCK_DIR=\"$XDG_RUNTIME_DIR/gpu-gate\"");
  machine.lock.paths.chosen = "/x";
  EXPECT_EQ(diagnose(machine)[0].remedy, "unset GPU_GATE_LOCK_DIR");
}

TEST(Doctor, NamesWhoUsesAnotherLockDirectory) {
  Examination machine = well();
  machine.lock.elsewhere = {{.path = "/tmp/gpu-gate", .claimant = claimant("bob", job(7, "x"))},
                            {.path = "/run/lock/gpu-gate", .claimant = claimant("al\x1b[2Jice")}};
  EXPECT_EQ(
      told(machine),
      (Lines{
          "fault lock directory: /tmp/gpu-gate is in use too (bob, pid 7): a second line beside "
          "this one",
          "fault lock directory: /run/lock/gpu-gate is in use too (al\\x1b[2Jice): a second line "
          "beside this one"}));
  EXPECT_EQ(diagnose(machine)[0].remedy,
            "GPU_GATE_LOCK_DIR=/tmp/gpu-gate gpu-gate status  # let these jobs end");
}

TEST(Doctor, QuotesWhatAShellWouldTakeApart) {
  Examination machine = well();
  machine.lock.paths.chosen = machine.lock.path = "/a; b";
  machine.lock.policy.unread = {"x\ty"};
  EXPECT_TRUE(diagnose(machine)[0].remedy.starts_with("sudoedit '/a; b/policy'"));
  EXPECT_EQ(told(machine), Lines{"fault policy file: this line is ignored: x\\ty"});
}

TEST(Doctor, TellsOfAContainersOwnLockDirectoryUnlessTheUserChoseIt) {
  Examination machine = well();
  machine.host.is_container = true;
  EXPECT_EQ(told(machine), Lines{});
  machine.lock.on_root = true;
  EXPECT_EQ(told(machine), Lines{"note container: it does not have the host's lock directory: its "
                                 "jobs stand in another line"});
  machine.lock.paths.chosen = "/x";
  EXPECT_EQ(told(machine), Lines{});
}

TEST(Doctor, TellsOfAVariableThatLeavesNoGpu) {
  Examination machine = well();
  machine.host.visible = {{"CUDA_VISIBLE_DEVICES", "0"}};
  EXPECT_EQ(told(machine),
            Lines{"note CUDA_VISIBLE_DEVICES: set to '0': gpu-gate chooses only among these GPUs"});
  for (const std::string value : {"", "-1", "1", "NoDevFiles"}) {
    machine.host.visible = {{"CUDA_VISIBLE_DEVICES", value}};
    EXPECT_EQ(told(machine), Lines{"note CUDA_VISIBLE_DEVICES: set to '" + value +
                                   "', which is no GPU here: gpu-gate chooses among none"});
  }
}

TEST(WhyThisOne, IsTheRuleThatChoseIt) {
  LockPlace place = sound_place();
  EXPECT_EQ(why_this_one(place), "made for all users");
  place.path = "/run/lock/gpu-gate";
  EXPECT_EQ(why_this_one(place), "since there is no /run/gpu-gate");
  place.path = "/tmp/gpu-gate";
  place.last_resort = true;
  EXPECT_EQ(why_this_one(place),
            "since there is no /run/gpu-gate, and /run/lock is not open to all");
  place.paths.chosen = place.path;
  EXPECT_EQ(why_this_one(place), "from GPU_GATE_LOCK_DIR");
}

TEST(Doctor, OfSlurmOnTheMachineNothingNeedsToBeSaidInsideAJob) {
  Examination examination = well();
  examination.host.has_slurmd = true;
  EXPECT_EQ(told(examination).size(), 1U);
  examination.host.in_job = true;
  EXPECT_EQ(told(examination), Lines{});
}

TEST(Doctor, TellsWhySlurmGivesNoGpu) {
  Examination examination = well();
  examination.host.in_job = true;
  examination.refused_by_slurm = {.what = "job 7 was given no GPU", .remedy = "srun --gpus=1 ..."};
  EXPECT_EQ(told(examination), Lines{"note Slurm: job 7 was given no GPU"});
}

}  // namespace
}  // namespace gpu_gate
