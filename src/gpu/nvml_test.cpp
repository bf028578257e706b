#include "gpu/nvml.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/unique_fd.h"
#include "gpu/sources.h"
#include "gpu/test_driver.h"

namespace gpu_gate {
namespace {

class Nvml : public SimulatedDriverTest {
 protected:
  void SetUp() override {
    SimulatedDriverTest::SetUp();
    set_machine("gpu\n");
  }

  /// The devices that a fresh source sees.
  std::vector<Device> devices() const { return devices_of(*nvml_source(paths_)); }
  static std::vector<Device> devices_of(GpuSource& source) {
    const Result<Snapshot> snapshot = source.read();
    if (snapshot) return snapshot->devices;
    ADD_FAILURE() << snapshot.error().text;
    return std::vector<Device>(8);
  }
  /// The first device of such a machine.
  Device device(const std::string& machine) const {
    set_machine(machine);
    return devices().at(0);
  }
  Error error() const {
    const Result<Snapshot> snapshot = nvml_source(paths_)->read();
    if (!snapshot) return snapshot.error();
    ADD_FAILURE() << "it could be read";
    return {};
  }
};

/// The same for the drivers of all ages.
class EveryNvml : public Nvml, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    Nvml::SetUp();
    paths_.driver_library = driver(GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Drivers, EveryNvml, testing::Values("current", "r535", "old"),
                         [](const auto& age) { return std::string(age.param); });

template <class Member>
auto each(const std::vector<Device>& devices, Member member) {
  std::vector<std::decay_t<decltype(devices[0].*member)>> values;
  for (const Device& device : devices) values.push_back(device.*member);
  return values;
}

using Texts = std::vector<std::string>;

TEST_F(Nvml, TheIndexIsThePositionInPciBusOrder) {
  set_machine(
      "gpu uuid=GPU-d pci=0001:00:00.0\n"
      "gpu uuid=GPU-b pci=0000:0a:02.0\n"
      "gpu uuid=GPU-c pci=0000:a0:00.0\n"
      "gpu uuid=GPU-a pci=0000:0a:01.0\n");
  const std::vector<Device> found = devices();
  EXPECT_EQ(each(found, &Device::uuid), (Texts{"GPU-a", "GPU-b", "GPU-c", "GPU-d"}));
  EXPECT_EQ(each(found, &Device::index), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(each(found, &Device::pci_bus_id), (Texts{"00000000:0A:01.0", "00000000:0A:02.0",
                                                     "00000000:A0:00.0", "00000001:00:00.0"}));
}

TEST_P(EveryNvml, TellsTheSameInOldLayouts) {
  const Device found =
      device("layouts old\ngpu pci=0000:17:00.0\nprocess gpu=0 pid=101 memory=300 type=compute\n");
  EXPECT_EQ(found.pci_bus_id, "0000:17:00.0");
  ASSERT_EQ(found.processes.size(), 1U);
  EXPECT_EQ(found.processes[0].pid, 101);
  EXPECT_EQ(found.processes[0].memory_mib, 300);
}

TEST_P(EveryNvml, TellsWhatTheCardIs) {
  const Device found = device("gpu name=\"NVIDIA Test 9000\" uuid=GPU-3f2a pci=0000:17:00.0\n");
  EXPECT_EQ(found.name, "NVIDIA Test 9000");
  EXPECT_EQ(found.uuid, "GPU-3f2a");
  EXPECT_EQ(found.pci_bus_id, "00000000:17:00.0");
  EXPECT_EQ(found.card_uuid, "");
  EXPECT_EQ(found.vendor, Vendor::nvidia);
  EXPECT_EQ(found.health, Health::ok);
  EXPECT_EQ(found.error, "");
}

TEST_F(Nvml, AMachineWithoutCardsIsNoError) {
  set_machine("");
  EXPECT_TRUE(devices().empty());
}

TEST_F(Nvml, WhatTheDriverReservesIsToldApart) {
  const Device found = device("gpu memory=24576 reserved=400 used=1000\n");
  EXPECT_EQ(found.memory_total_mib, 24576);
  EXPECT_EQ(found.memory_reserved_mib, 400);
  EXPECT_EQ(found.memory_used_mib, 1000);
  EXPECT_EQ(found.memory_free_mib, 24576 - 400 - 1000);
}

TEST_F(Nvml, WhatIsReservedIsNoPartOfWhatIsUsedWhateverTheDriverSaysIsUsed) {
  const Device found = device("gpu memory=24576 reserved=400 used=1000 reserved_in_used=1\n");
  EXPECT_EQ(found.memory_reserved_mib, 400);
  EXPECT_EQ(found.memory_used_mib, 1000);
}

TEST_F(Nvml, AnOldDriverCountsWhatItReservesAsUsed) {
  paths_.driver_library = driver("old");
  const Device found = device("gpu memory=24576 reserved=400 used=1000\n");
  EXPECT_EQ(found.memory_total_mib, 24576);
  EXPECT_FALSE(found.memory_reserved_mib);
  EXPECT_EQ(found.memory_used_mib, 1400);
  EXPECT_EQ(found.memory_free_mib, 24576 - 1400);
}

TEST_F(Nvml, ANewMemoryQueryThatFailsLeavesTheOldOne) {
  for (const char* code : {"3", "13", "25", "999"}) {
    const Device found =
        device(std::string("gpu reserved=400 used=1000 memory_v2_error=") + code + "\n");
    EXPECT_EQ(found.health, Health::ok) << code;
    EXPECT_FALSE(found.memory_reserved_mib) << code;
    EXPECT_EQ(found.memory_used_mib, 1400) << code;
  }
}

TEST_F(Nvml, ACardLostAtTheNewMemoryQueryIsAskedNoMore) {
  const Device found = device("gpu memory_v2_error=15\n");
  EXPECT_EQ(found.health, Health::lost);
  EXPECT_EQ(calls("nvmlDeviceGetMemoryInfo"), 0);
  EXPECT_EQ(calls("nvmlDeviceGetUtilizationRates"), 0);
}

TEST_F(Nvml, AFailingMemoryQueryIsToldByItsNameWordsAndNumber) {
  const Device found = device("gpu used=7000 memory_v2_error=999 memory_error=999\n");
  EXPECT_EQ(found.health, Health::unreadable);
  EXPECT_EQ(found.error, "nvmlDeviceGetMemoryInfo: Unknown Error (NVML 999)");
  EXPECT_EQ(found.memory_total_mib, 0);
}

TEST_F(Nvml, ACardThatSharesTheSystemsMemoryIsMeasuredByThat) {
  folder_.write("meminfo",
                "MemTotal:       131072000 kB\nMemFree:         1024 kB\n"
                "MemAvailableToNobody: 1 kB\nMemAvailable:   65536000 kB\n");
  const Device found = device("gpu used=7000 memory_v2_error=3 memory_error=3\n");
  EXPECT_EQ(found.health, Health::ok);
  EXPECT_EQ(found.memory_total_mib, 128000);
  EXPECT_EQ(found.memory_free_mib, 64000);
  EXPECT_EQ(found.memory_used_mib, 64000);
  EXPECT_FALSE(found.memory_reserved_mib);
  EXPECT_TRUE(found.shares_system_memory);
}

TEST_F(Nvml, AnIntegratedGpuThatReportsTheSystemsMemoryIsMeasuredByThat) {
  folder_.write("meminfo", "MemTotal: 131072000 kB\nMemAvailable: 65536000 kB\n");
  for (const char* capability : {"8.7", "11.0", "12.1"}) {
    for (const char* memory : {"128000", "127000", "129000"}) {
      const Device found = device(std::string("gpu used=120000 reserved=500 memory=") + memory +
                                  " capability=" + capability + "\n");
      EXPECT_EQ(found.memory_total_mib, 128000) << capability;
      EXPECT_EQ(found.memory_free_mib, 64000) << memory;
      EXPECT_FALSE(found.memory_reserved_mib);
      EXPECT_TRUE(found.shares_system_memory);
    }
  }
}

TEST_F(Nvml, ACardAsLargeAsTheSystemsMemoryHasItsOwn) {
  folder_.write("meminfo", "MemTotal: 47172632 kB\nMemAvailable: 1024 kB\n");  // 46067 MiB
  const Device found = device("gpu\n");
  EXPECT_EQ(found.memory_total_mib, 46068);
  EXPECT_EQ(found.memory_free_mib, 46068 - 600);
  EXPECT_FALSE(found.shares_system_memory);
  EXPECT_FALSE(device("gpu memory=24000 capability=12.1\n").shares_system_memory);
}

TEST_F(Nvml, MemoryThatIsANumaNodeIsReportedAsItIsAndTheSystemsToo) {
  const Device found = device("gpu used=7000 numa_node=1\n");
  EXPECT_EQ(found.memory_total_mib, 46068);
  EXPECT_EQ(found.memory_used_mib, 7000);
  EXPECT_EQ(found.memory_reserved_mib, 600);
  EXPECT_TRUE(found.shares_system_memory);
}

TEST_F(Nvml, SharedMemoryThatCannotBeReadIsOfUnknownSize) {
  const Device without_file = device("gpu memory=0 reserved=0\n");
  EXPECT_EQ(without_file.health, Health::ok);
  EXPECT_EQ(without_file.memory_total_mib, 0);
  folder_.write("meminfo", "MemFree: 1024 kB\n");
  const Device without_field = devices().at(0);
  EXPECT_EQ(without_field.memory_total_mib, 0);
  EXPECT_EQ(without_field.memory_free_mib, 0);
}

TEST_P(EveryNvml, TellsHowBusyACardIs) {
  EXPECT_EQ(device("gpu util=0\n").utilization_pct, 0);
  EXPECT_EQ(device("gpu util=100\n").utilization_pct, 100);
}

TEST_F(Nvml, AUtilisationThatCannotBeReadIsUnknownAndNoFault) {
  for (const char* code : {"3", "15", "999"}) {
    const Device found = device(std::string("gpu util=80 util_error=") + code + "\n");
    EXPECT_FALSE(found.utilization_pct) << code;
    EXPECT_EQ(found.health, Health::ok) << code;
  }
}

/// "7c100 8g-": the pid, compute or graphics, the memory in MiB or "-" for unknown.
std::string processes_of(const Device& device) {
  std::string text;
  for (const GpuProcess& process : device.processes) {
    text += (text.empty() ? "" : " ") + std::to_string(process.pid) +
            (process.graphics ? "g" : "c") +
            (process.memory_mib ? std::to_string(*process.memory_mib) : "-");
  }
  return text;
}

TEST_P(EveryNvml, ListsEachProcessWithItsKindAndMemory) {
  set_machine(
      "gpu\ngpu\n"
      "process gpu=0 pid=101 memory=300 type=compute\n"
      "process gpu=0 pid=102 memory=0 type=compute\n"
      "process gpu=0 pid=2147483647 memory=8000 type=compute\n"
      "process gpu=0 pid=103 memory=20 type=graphics\n"
      "process gpu=1 pid=104 memory=1 type=graphics\n");
  const std::vector<Device> found = devices();
  EXPECT_EQ(processes_of(found.at(0)), "101c300 102c0 2147483647c8000 103g20");
  EXPECT_EQ(processes_of(found.at(1)), "104g1");
}

TEST_P(EveryNvml, AProcessThatDrawsAndComputesCountsOnceAsACompute) {
  EXPECT_EQ(processes_of(device("gpu\n"
                                "process gpu=0 pid=101 memory=300 type=graphics\n"
                                "process gpu=0 pid=101 memory=300 type=compute\n"
                                "process gpu=0 pid=102 memory=20 type=graphics\n")),
            "101c300 102g20");
}

TEST_P(EveryNvml, ListsTheClientsOfAnMpsServerOnce) {
  EXPECT_EQ(processes_of(device("gpu\n"
                                "process gpu=0 pid=101 memory=28 type=compute\n"
                                "process gpu=0 pid=102 memory=300 type=compute\n"
                                "process gpu=0 pid=102 memory=300 type=mps\n"
                                "process gpu=0 pid=103 memory=20 type=mps\n"
                                "process gpu=0 pid=103 memory=20 type=graphics\n")),
            "101c28 102c300 103c20");
}

TEST_F(Nvml, KnowsAnMpsServerByTheNameThatItWasStartedWith) {
  paths_.proc = folder_.path("proc");
  using namespace std::string_view_literals;
  folder_.write("proc/101/cmdline", "nvidia-cuda-mps-server\0"sv);
  folder_.write("proc/102/cmdline", "/usr/bin/nvidia-cuda-mps-server\0-f\0"sv);
  folder_.write("proc/103/cmdline", "python\0/x/nvidia-cuda-mps-server\0"sv);
  folder_.write("proc/104/cmdline", "");
  std::string machine = "gpu\n";
  for (const char* pid : {"101", "102", "103", "104", "105"}) {
    machine += std::string("process gpu=0 pid=") + pid + " memory=28 type=compute\n";
  }
  folder_.write("proc/99/cmdline", "nvidia-cuda-mps-server\0"sv);
  const Device found = device(machine +
                              "process gpu=0 pid=101 memory=1 type=mps\n"
                              "process gpu=0 pid=99 memory=1 type=mps\n");
  EXPECT_EQ(processes_of(found), "101c28 102c28 103c28 104c28 105c28 99c1");
  for (const GpuProcess& process : found.processes) {
    EXPECT_EQ(process.mps_server, process.pid <= 102) << process.pid;
  }
}

TEST_P(EveryNvml, MemoryThatTheDriverCannotTellIsUnknown) {
  EXPECT_EQ(processes_of(device("gpu\n"
                                "process gpu=0 pid=101 memory=unknown type=compute\n"
                                "process gpu=0 pid=102 memory=20 type=graphics\n")),
            "101c- 102g20");
  EXPECT_EQ(processes_of(device("gpu process_memory=unknown\n"
                                "process gpu=0 pid=101 memory=300 type=compute\n")),
            "101c-");
}

TEST_P(EveryNvml, ListsManyProcesses) {
  std::string machine = "gpu\n";
  std::string expected;
  for (int i = 1; i <= 500; ++i) {
    machine += "process gpu=0 pid=" + std::to_string(i) + " memory=1 type=compute\n";
    expected += (i == 1 ? "" : " ") + std::to_string(i) + "c1";
  }
  EXPECT_EQ(processes_of(device(machine)), expected);
}

TEST_F(Nvml, OneCallFetchesAListOfUpToEightProcesses) {
  std::string machine = "gpu\n";
  for (int i = 1; i <= 8; ++i) {
    machine += "process gpu=0 pid=" + std::to_string(i) + " memory=1 type=compute\n";
  }
  EXPECT_EQ(device(machine).processes.size(), 8U);
  EXPECT_EQ(calls("nvmlDeviceGetComputeRunningProcesses_v3"), 1);
  EXPECT_EQ(calls("nvmlDeviceGetGraphicsRunningProcesses_v3"), 1);
  EXPECT_EQ(device(machine + "process gpu=0 pid=9 memory=1 type=compute\n").processes.size(), 9U);
  EXPECT_EQ(calls("nvmlDeviceGetComputeRunningProcesses_v3"), 3);
}

TEST_P(EveryNvml, ListsProcessesWhateverTheLibraryMakesOfTooLittleRoom) {
  for (const char* lists : {"checked", "counted", "filled"}) {
    for (const int count : {0, 1, 8, 9, 100}) {
      std::string machine = std::string("process_lists ") + lists + "\ngpu\ngpu\n";
      std::string expected;
      for (int i = 1; i <= count; ++i) {
        machine += "process gpu=0 pid=" + std::to_string(i) + " memory=1 type=compute\n";
        expected += (i == 1 ? "" : " ") + std::to_string(i) + "c1";
      }
      set_machine(machine);
      const std::vector<Device> found = devices();
      EXPECT_EQ(processes_of(found.at(0)), expected) << lists << ' ' << count;
      EXPECT_EQ(processes_of(found.at(1)), "") << lists << ' ' << count;
    }
  }
}

TEST_F(Nvml, AListOfProcessesDoesNotOutliveThem) {
  set_machine("gpu\nprocess gpu=0 pid=101 memory=300 type=compute\n");
  const auto source = nvml_source(paths_);
  EXPECT_EQ(processes_of(devices_of(*source).at(0)), "101c300");
  set_machine("gpu\n");
  EXPECT_EQ(processes_of(devices_of(*source).at(0)), "");
}

TEST_F(Nvml, ProcessesThatCannotBeReadAreNone) {
  const Device found =
      device("gpu process_error=999\nprocess gpu=0 pid=101 memory=300 type=compute\n");
  EXPECT_TRUE(found.processes.empty());
  EXPECT_EQ(found.memory_used_mib, 300);
  EXPECT_EQ(found.health, Health::ok);
}

TEST_F(Nvml, ALostCardKeepsItsPlaceAmongTheOthers) {
  set_machine(
      "gpu pci=0000:03:00.0 uuid=GPU-c\n"
      "gpu pci=0000:01:00.0 uuid=GPU-a\n"
      "gpu pci=0000:02:00.0 uuid=GPU-b\n");
  const auto source = nvml_source(paths_);
  ASSERT_EQ(devices_of(*source).size(), 3U);
  set_machine(
      "gpu pci=0000:03:00.0 uuid=GPU-c\n"
      "gpu pci=0000:01:00.0 uuid=GPU-a\n"
      "gpu pci=0000:02:00.0 uuid=GPU-b lost=1\n");
  const std::vector<Device> found = devices_of(*source);
  EXPECT_EQ(each(found, &Device::uuid), (Texts{"GPU-a", "GPU-b", "GPU-c"}));
  EXPECT_EQ(each(found, &Device::health),
            (std::vector<Health>{Health::ok, Health::lost, Health::ok}));
  EXPECT_EQ(found[1].error, "nvmlDeviceGetMemoryInfo: GPU is lost (NVML 15)");
}

TEST_F(Nvml, ACardLostFromTheStartHasNoUuidAndIsStillListed) {
  const Device found = device("gpu lost=1\n");
  EXPECT_EQ(found.health, Health::lost);
  EXPECT_EQ(found.uuid, "");
  EXPECT_EQ(found.error, "nvmlDeviceGetUUID: GPU is lost (NVML 15)");
}

TEST_F(Nvml, ACardWhoseHandleFailsStaysBehindItsNeighbour) {
  set_machine("gpu pci=0000:01:00.0\ngpu handle_error=999\ngpu pci=0000:03:00.0\n");
  const std::vector<Device> found = devices();
  EXPECT_EQ(each(found, &Device::health),
            (std::vector<Health>{Health::ok, Health::unreadable, Health::ok}));
  EXPECT_EQ(each(found, &Device::index), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(found[1].error, "nvmlDeviceGetHandleByIndex: Unknown Error (NVML 999)");
}

TEST_F(Nvml, TheCodeOfAFailureTellsItsHealth) {
  const std::pair<const char*, Health> codes[] = {{"15", Health::lost},
                                                  {"16", Health::reset_required},
                                                  {"4", Health::unreadable},
                                                  {"28", Health::unreadable}};
  for (const auto& [code, health] : codes) {
    EXPECT_EQ(device(std::string("gpu handle_error=") + code + "\n").health, health) << code;
    EXPECT_EQ(
        device(std::string("gpu memory_v2_error=") + code + " memory_error=" + code + "\n").health,
        health)
        << code;
  }
}

TEST_F(Nvml, WhereOpeningIsRefusedTheErrorNamesTheNode) {
  EXPECT_EQ(device("gpu handle_error=4\n").error,
            "nvmlDeviceGetHandleByIndex: Insufficient Permissions (NVML 4); "
            "this user or container may not open its device node in /dev");
}

TEST_F(Nvml, AnyRecoveryActionMeansAReset) {
  for (const char* action : {"1", "2", "5", "99"}) {
    EXPECT_EQ(device(std::string("gpu recovery=") + action + "\n").health, Health::reset_required)
        << action;
  }
  EXPECT_EQ(device("gpu recovery=0\n").health, Health::ok);
}

TEST_F(Nvml, ADriverThatDoesNotKnowRecoveryActionsAsksForNone) {
  for (const char* age : {"r535", "old"}) {
    paths_.driver_library = driver(age);
    EXPECT_EQ(device("gpu recovery=1\n").health, Health::ok) << age;
  }
}

TEST_F(Nvml, FailedMemoryThatWaitsForARepairIsToldAndIsNoIllness) {
  const std::pair<const char*, Repair> repairs[] = {
      {"remap_pending=1", Repair::remap_pending},
      {"retire_pending=1", Repair::retire_pending},
      {"remap_failed=1", Repair::remap_failed},
      {"remap_failed=1 remap_pending=1 retire_pending=1", Repair::remap_failed},
      {"util=3", Repair::none},
  };
  for (const auto& [keys, repair] : repairs) {
    const Device found = device(std::string("gpu ") + keys + "\n");
    EXPECT_EQ(found.repair, repair) << keys;
    EXPECT_EQ(found.health, Health::ok) << keys;
  }
}

TEST_F(Nvml, ADriverWithoutRecoveryActionsTellsOfRepairs) {
  paths_.driver_library = driver("r535");
  EXPECT_EQ(device("gpu remap_pending=1\n").repair, Repair::remap_pending);
}

TEST_P(EveryNvml, OnlyTheProhibitedComputeModeKeepsEverybodyOff) {
  EXPECT_EQ(device("gpu mode=prohibited\n").health, Health::prohibited);
  EXPECT_FALSE(device("gpu mode=prohibited\n").exclusive);
  EXPECT_EQ(device("gpu mode=exclusive\n").health, Health::ok);
  EXPECT_TRUE(device("gpu mode=exclusive\n").exclusive);
  EXPECT_EQ(device("gpu mode=default\n").health, Health::ok);
}

TEST_F(Nvml, MigCountsOnlyWhereItIsOn) {
  for (const char* age : {"current", "r535"}) {
    paths_.driver_library = driver(age);
    EXPECT_EQ(device("gpu mig=1\n").health, Health::mig) << age;
    EXPECT_EQ(device("gpu mig=0\n").health, Health::ok) << age;
    EXPECT_EQ(device("gpu\n").health, Health::ok) << age;
  }
}

TEST_F(Nvml, ACardInMigModeThatMayNotBeMonitoredIsNoFault) {
  set_machine("gpu mig=1 memory_v2_error=4 memory_error=4 process_error=4 util_error=3\n");
  const auto source = nvml_source(paths_);
  for (int i = 0; i < 3; ++i) {
    const Device found = devices_of(*source).at(0);
    EXPECT_EQ(found.health, Health::mig);
    EXPECT_EQ(found.error, "");
    EXPECT_EQ(found.memory_total_mib, 0);
  }
  EXPECT_EQ(calls("nvmlInit_v2"), 1);
  EXPECT_EQ(device("gpu mig=0 memory_v2_error=4 memory_error=4\n").health, Health::unreadable);
  EXPECT_EQ(device("gpu mig=1 memory_v2_error=999 memory_error=999\n").health, Health::unreadable);
}

TEST_F(Nvml, ACardOfWhichItCannotBeToldWhetherItsInstancesHaveItIsNobodys) {
  for (const int code : {4, 10, 17, 23}) {
    set_machine("gpu\ngpu mig=1\nfails nvmlDeviceGetMigMode " + std::to_string(code) + "\n");
    const std::vector<Device> found = devices_of(*nvml_source(paths_));
    EXPECT_EQ(found.at(1).health, Health::unreadable) << code;
    EXPECT_NE(found.at(1).error.find("nvmlDeviceGetMigMode"), std::string::npos);
  }
  set_machine("gpu\nfails nvmlDeviceGetMigMode 3\n");
  EXPECT_EQ(devices_of(*nvml_source(paths_)).at(0).health, Health::ok);
}

TEST_F(Nvml, AResetIsToldBeforeMigAndMigBeforeTheComputeMode) {
  EXPECT_EQ(device("gpu mode=prohibited mig=1\n").health, Health::mig);
  EXPECT_EQ(device("gpu mode=prohibited mig=1 recovery=1\n").health, Health::reset_required);
}

TEST_F(Nvml, AUuidThatIsNoneIsNotUsed) {
  for (const char* uuid : {"3f2a11", "gpu-3f2a11", "MIG-3f2a11"}) {
    const Device found = device(std::string("gpu uuid=") + uuid + "\n");
    EXPECT_EQ(found.health, Health::unreadable) << uuid;
    EXPECT_EQ(found.uuid, "") << uuid;
    EXPECT_EQ(found.error, std::string("nvmlDeviceGetUUID: '") + uuid + "' is not a UUID");
  }
}

TEST_F(Nvml, WithoutTheControlNodeNoNodeIsMissing) {
  EXPECT_TRUE(device("gpu minor=3\n").accessible);
}

TEST_F(Nvml, ACardWithoutAMinorNumberHasNoNode) {
  folder_.write("dev/nvidiactl", "");
  EXPECT_TRUE(device("gpu\n").accessible);
}

TEST_F(Nvml, ACardIsAccessibleByTheNodeOfItsMinorNumber) {
  folder_.write("dev/nvidiactl", "");
  folder_.write("dev/nvidia1", "");
  set_machine("gpu minor=1 pci=0000:01:00.0\ngpu minor=0 pci=0000:02:00.0\n");
  EXPECT_EQ(each(devices(), &Device::accessible), (std::vector<bool>{true, false}));
}

TEST_F(Nvml, ANodeWithoutTheRightToOpenItIsNotAccessible) {
  folder_.write("dev/nvidiactl", "");
  const std::string node = folder_.write("dev/nvidia0", "", 0);
  if (UniqueFd(::open(node.c_str(), O_RDWR | O_CLOEXEC))) GTEST_SKIP() << "root may open it";
  EXPECT_FALSE(device("gpu minor=0\n").accessible);
}

TEST_F(Nvml, ANodeThatFailsToOpenForAnotherReasonIsNotRefused) {
  folder_.write("dev/nvidiactl", "");
  folder_.make_folder("dev/nvidia0");  // EISDIR, which no device cgroup and no mode says
  EXPECT_TRUE(device("gpu minor=0\n").accessible);
}

TEST_F(Nvml, ACardWhoseHandleIsRefusedIsNotAccessible) {
  EXPECT_FALSE(device("gpu handle_error=4\n").accessible);
  EXPECT_TRUE(device("gpu handle_error=999\n").accessible);
}

TEST_F(Nvml, AFailingDriverIsToldWithItsRemedy) {
  const std::pair<const char*, const char*> cases[] = {
      {"9",
       "nvmlInit: Driver Not Loaded (NVML 9): the NVIDIA kernel module is not loaded; "
       "`sudo modprobe nvidia` loads it"},
      {"18",
       "nvmlInit: Driver/library version mismatch (NVML 18): the driver was updated, but its old "
       "kernel module is still loaded; reboot, or reload the module"},
      {"4",
       "nvmlInit: Insufficient Permissions (NVML 4): this user or container may not open "
       "/dev/nvidiactl"},
      {"17",
       "nvmlInit: GPU access blocked by the operating system (NVML 17): this user or container may "
       "not open /dev/nvidiactl"},
      {"999", "nvmlInit: Unknown Error (NVML 999): `nvidia-smi` should say more"}};
  for (const auto& [code, text] : cases) {
    set_machine(std::string("init_error ") + code + "\ngpu\n");
    const Error found = error();
    EXPECT_EQ(found.text, text);
    EXPECT_EQ(found.kind, std::string(code) == "9" ? ErrorKind::no_driver : ErrorKind::gpu_state);
  }
}

TEST_F(Nvml, ADriverThatDidNotStartIsNotShutDownAndMayStartLater) {
  set_machine("init_error 9\ngpu\n");
  const auto source = nvml_source(paths_);
  EXPECT_FALSE(source->read());
  EXPECT_FALSE(source->read());
  EXPECT_EQ(calls("nvmlInit_v2"), 2);
  EXPECT_EQ(calls("nvmlShutdown"), 0);
  set_machine("gpu\n");
  EXPECT_EQ(devices_of(*source).size(), 1U);
}

TEST_F(Nvml, AMissingLibraryIsNamedWithWhatHelps) {
  paths_.driver_library = folder_.path("no-such\nlibrary.so");
  const Error found = error();
  EXPECT_EQ(found.kind, ErrorKind::gpu_state);
  EXPECT_TRUE(found.text.starts_with("cannot load the NVIDIA driver's library: ")) << found.text;
  EXPECT_NE(found.text.find("no-such\\nlibrary.so"), std::string::npos) << found.text;
  EXPECT_TRUE(
      found.text.ends_with("; install the NVIDIA driver, or name its library in GPU_GATE_NVML"))
      << found.text;
}

TEST_F(Nvml, AFileThatIsNoLibraryCannotBeLoaded) {
  paths_.driver_library = folder_.write("text.so", "no library\n");
  EXPECT_NE(error().text.find(folder_.path("text.so")), std::string::npos);
}

TEST_F(Nvml, AnotherLibraryIsToldByTheFirstSymbolThatItLacks) {
  paths_.driver_library = "libc.so.6";
  const Error found = error();
  EXPECT_EQ(found.kind, ErrorKind::gpu_state);
  EXPECT_EQ(found.text,
            "libc.so.6 has no nvmlInit_v2: it is not the NVIDIA driver's library, or is older "
            "than any that gpu-gate knows");
}

TEST_F(Nvml, NothingIsOpenedBeforeTheFirstRead) {
  const auto source = nvml_source(paths_);
  EXPECT_EQ(calls("nvmlInit_v2"), 0);
  source->close();
  EXPECT_EQ(calls("nvmlShutdown"), 0);
}

TEST_F(Nvml, ADriverWithoutFaultsIsOpenedOnceForAllReads) {
  const auto source = nvml_source(paths_);
  for (int i = 0; i < 3; ++i) devices_of(*source);
  EXPECT_EQ(calls("nvmlInit_v2"), 1);
  EXPECT_EQ(calls("nvmlDeviceGetUUID"), 1);
  EXPECT_EQ(calls("nvmlDeviceGetMemoryInfo_v2"), 3);
}

TEST_P(EveryNvml, AfterCloseTheNextReadOpensItAgain) {
  const auto source = nvml_source(paths_);
  devices_of(*source);
  source->close();
  source->close();
  EXPECT_EQ(calls("nvmlShutdown"), 1);
  EXPECT_EQ(devices_of(*source).size(), 1U);
  EXPECT_EQ(calls("nvmlInit_v2"), 2);
}

TEST_F(Nvml, TheEndOfASourceClosesTheDriver) {
  devices_of(*nvml_source(paths_));
  EXPECT_EQ(calls("nvmlShutdown"), 1);
}

TEST_P(EveryNvml, MustStayOpenWhereACardIsWithoutPersistenceMode) {
  set_machine("gpu\ngpu persistence=0\n");
  const auto source = nvml_source(paths_);
  EXPECT_FALSE(source->needs_open());
  devices_of(*source);
  EXPECT_TRUE(source->needs_open());
  set_machine("gpu\ngpu\n");
  devices_of(*source);
  EXPECT_FALSE(source->needs_open());
}

TEST_F(Nvml, ALostCardIsNotKeptAwake) {
  set_machine("gpu lost=1 persistence=0\ngpu handle_error=4 persistence=0\n");
  const auto source = nvml_source(paths_);
  devices_of(*source);
  EXPECT_FALSE(source->needs_open());
}

TEST_F(Nvml, EveryReadSeesTheMachineAsItIsNow) {
  set_machine("gpu used=100\n");
  const auto source = nvml_source(paths_);
  EXPECT_EQ(devices_of(*source).at(0).memory_used_mib, 100);
  set_machine("gpu used=200 util=7 mode=prohibited\n");
  const Device after = devices_of(*source).at(0);
  EXPECT_EQ(after.memory_used_mib, 200);
  EXPECT_EQ(after.utilization_pct, 7);
  EXPECT_EQ(after.health, Health::prohibited);
}

TEST_F(Nvml, ALostCardThatReturnsIsSeenByTheNextRead) {
  set_machine("gpu lost=1\n");
  const auto source = nvml_source(paths_);
  EXPECT_EQ(devices_of(*source).at(0).health, Health::lost);
  set_machine("gpu uuid=GPU-back\n");
  const Device back = devices_of(*source).at(0);
  EXPECT_EQ(back.health, Health::ok);
  EXPECT_EQ(back.uuid, "GPU-back");
  devices_of(*source);
  EXPECT_EQ(calls("nvmlInit_v2"), 2);  // with all well again it stays open
}

TEST_F(Nvml, ACardThatWasUnreadableIsTriedAnewInEachRead) {
  set_machine("gpu handle_error=999\n");
  const auto source = nvml_source(paths_);
  for (int i = 0; i < 3; ++i) devices_of(*source);
  EXPECT_EQ(calls("nvmlInit_v2"), 3);
}

TEST_F(Nvml, ADriverThatGoesAwayUnderAnOpenSessionIsToldAtOnce) {
  set_machine("gpu\ngpu\n");
  const auto source = nvml_source(paths_);
  devices_of(*source);
  set_machine("driver_error 18\ngpu\ngpu\n");
  const Result<Snapshot> gone = source->read();
  ASSERT_FALSE(gone);
  EXPECT_TRUE(gone.error().text.starts_with("nvmlInit: Driver/library version mismatch"));
  set_machine("gpu\ngpu\n");
  EXPECT_EQ(devices_of(*source).size(), 2U);
}

TEST_F(Nvml, ACardThatVanishedIsLookedForUntilItReturns) {
  set_machine("gpu uuid=GPU-a\ngpu uuid=GPU-b\n");
  const auto source = nvml_source(paths_);
  EXPECT_EQ(devices_of(*source).size(), 2U);
  set_machine("gpu uuid=GPU-a\n");
  EXPECT_EQ(devices_of(*source).at(1).health, Health::lost);  // still known by its handle
  EXPECT_EQ(devices_of(*source).size(), 1U);
  EXPECT_EQ(devices_of(*source).size(), 1U);
  set_machine("gpu uuid=GPU-a\ngpu uuid=GPU-b\n");
  EXPECT_EQ(each(devices_of(*source), &Device::uuid), (Texts{"GPU-a", "GPU-b"}));
}

TEST_F(Nvml, ACardThatIsOnlyBusyOrRefusedDoesNotReopenTheDriver) {
  set_machine("gpu mode=prohibited\ngpu mig=1\ngpu util=100 used=40000\n");
  const auto source = nvml_source(paths_);
  for (int i = 0; i < 3; ++i) devices_of(*source);
  EXPECT_EQ(calls("nvmlInit_v2"), 1);
}

TEST_F(Nvml, TheMachinesSourceReadsNvml) {
  const auto source = gpu_source({.nvml = paths_});
  EXPECT_EQ(calls("nvmlInit_v2"), 0);
  set_machine("gpu uuid=GPU-3f2a\n");
  EXPECT_EQ(each(devices_of(*source), &Device::uuid), Texts{"GPU-3f2a"});
}

}  // namespace
}  // namespace gpu_gate
