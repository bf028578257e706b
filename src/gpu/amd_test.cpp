#include "gpu/amd.h"

#include <gtest/gtest.h>

#include "gpu/test_amd_tree.h"

namespace gpu_gate {
namespace {

class Amd : public testing::Test {
 protected:
  std::vector<Device> devices() const { return amd_source(tree_.paths())->read().value().devices; }
  Device only_device() const {
    const std::vector<Device> all = devices();
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? Device{} : all.front();
  }
  std::vector<std::string> uuids() const {
    std::vector<std::string> list;
    for (const Device& device : devices()) list.push_back(device.uuid);
    return list;
  }
  std::vector<std::string> runtime_ids() const {
    std::vector<std::string> list;
    for (const Device& device : devices()) list.push_back(device.runtime_id);
    return list;
  }

  AmdTree tree_;
};

using Names = std::vector<std::string>;

TEST_F(Amd, ACardIsReadFromSysfs) {
  tree_.add({.unique_id = "81985529216486895"});
  tree_.write_card(128, "product_name", "AMD Instinct MI210\n");
  const Device device = only_device();
  EXPECT_EQ(device.vendor, Vendor::amd);
  EXPECT_EQ(device.index, 0);
  EXPECT_EQ(device.uuid, "GPU-0123456789abcdef");
  EXPECT_EQ(device.runtime_id, "");
  EXPECT_EQ(device.name, "AMD Instinct MI210");
  EXPECT_EQ(device.pci_bus_id, "0000:c1:00.0");
  EXPECT_EQ(device.memory_total_mib, 65520);
  EXPECT_EQ(device.memory_used_mib, 11);
  EXPECT_EQ(device.memory_free_mib, 65509);
  EXPECT_EQ(device.memory_reserved_mib, 0);
  EXPECT_EQ(device.utilization_pct, 3);
  EXPECT_EQ(device.memory_sharers, 1);
  EXPECT_TRUE(device.accessible);
  EXPECT_FALSE(device.only_if_named);
  EXPECT_EQ(device.health, Health::ok);
}

TEST_F(Amd, AMachineWithoutKfdHasNoDevicesAndThatIsNoError) {
  tree_.remove("sys/class/kfd");
  EXPECT_TRUE(devices().empty());
}

TEST_F(Amd, TheIndexCountsTheGpusInTheOrderOfTheirNodesAsNumbers) {
  tree_.add_cpu(1);
  for (const int node : {10, 2, 9}) {
    tree_.add({.node = node,
               .minor = static_cast<unsigned>(126 + node),
               .location = std::to_string(256 * node),
               .unique_id = std::to_string(node)});
  }
  EXPECT_EQ(uuids(),
            (Names{"GPU-0000000000000002", "GPU-0000000000000009", "GPU-000000000000000a"}));
  EXPECT_EQ(devices().back().index, 2);
}

TEST_F(Amd, ACardWithoutUniqueIdHasTheNameOfItsAddressAndTheRuntimesIndex) {
  tree_.add({});
  tree_.add({.node = 2, .minor = 129, .location = "8960"});
  EXPECT_EQ(uuids(), (Names{"PCI-0000-c1-00-0", "PCI-0000-23-00-0"}));
  EXPECT_EQ(runtime_ids(), (Names{"0", "1"}));
  for (const std::string& uuid : uuids()) EXPECT_TRUE(is_uuid(uuid)) << uuid;
}

TEST_F(Amd, TheRuntimesIndexCountsOnlyWhatThisUserCanOpen) {
  for (int node = 1; node <= 3; ++node) {
    tree_.add({.node = node,
               .minor = static_cast<unsigned>(127 + node),
               .location = std::to_string(256 * node)});
  }
  tree_.remove("dev/dri/renderD128");
  EXPECT_EQ(runtime_ids(), (Names{"", "0", "1"}));
  const std::vector<Device> all = devices();
  EXPECT_FALSE(all[0].accessible);
  EXPECT_TRUE(all[1].accessible);
  EXPECT_EQ(all[1].index, 1);
}

TEST_F(Amd, WithoutDevKfdEveryCardIsClosed) {
  tree_.add({.unique_id = "5"});
  tree_.remove("dev/kfd");
  EXPECT_FALSE(only_device().accessible);
  EXPECT_EQ(only_device().memory_total_mib, 65520);
}

TEST_F(Amd, ProcessesAreThoseThatHaveMemoryOrAQueueOnTheCard) {
  tree_.add({.node = 1, .unique_id = "1"});
  tree_.add({.node = 2, .minor = 129, .location = "8960", .unique_id = "2"});
  tree_.write_process(4242, "vram_1001", "5368709120\n");
  tree_.write_process(4242, "vram_1002", "0\n");
  tree_.write_process(77, "vram_1001", "0\n");
  tree_.write_process(77, "vram_1002", "0\n");
  tree_.write_process(77, "queues/3/gpuid", "1002\n");
  tree_.write_process(9, "vram_1001", "1048576\n");
  tree_.write_process(10, "vram_1001", "0\n");
  tree_.write_process(10, "vram_1002", "0\n");
  const std::vector<Device> all = devices();
  ASSERT_EQ(all[0].processes.size(), 2U);
  EXPECT_EQ(all[0].processes[0].pid, 9);
  EXPECT_EQ(all[0].processes[1].pid, 4242);
  EXPECT_EQ(all[0].processes[1].memory_mib, 5120);
  EXPECT_FALSE(all[0].processes[1].graphics);
  ASSERT_EQ(all[1].processes.size(), 1U);
  EXPECT_EQ(all[1].processes[0].pid, 77);
  EXPECT_EQ(all[1].processes[0].memory_mib, 0);
}

TEST_F(Amd, UtilizationThatCannotBeToldIsUnknown) {
  tree_.add({});
  tree_.remove("sys/class/drm/renderD128/device/gpu_busy_percent");
  EXPECT_EQ(only_device().utilization_pct, std::nullopt);
  for (const char* text : {"", "\n", "101\n"}) {
    tree_.write_card(128, "gpu_busy_percent", text);
    EXPECT_EQ(only_device().utilization_pct, std::nullopt) << text;
  }
}

TEST_F(Amd, ACardThatSleepsIsNotWokenAndIsIdle) {
  tree_.add({});
  tree_.write_card(128, "power/runtime_status", "suspended\n");
  EXPECT_EQ(only_device().utilization_pct, 0);
  tree_.write_card(128, "power/runtime_status", "active\n");
  EXPECT_EQ(only_device().utilization_pct, 3);
}

/// A card in four parts, as older kernels show it: all have the card's unique_id.
void add_partitions(const AmdTree& tree, const std::vector<std::string>& ids) {
  for (int i = 0; i < 4; ++i) {
    tree.add({.node = 2 + i,
              .minor = static_cast<unsigned>(128 + i),
              .location = std::to_string(49408ULL + (static_cast<unsigned long long>(i) << 28)),
              .unique_id = ids[static_cast<std::size_t>(i)],
              .card_id = "00000000000000ff",
              .has_card = i == 0});
  }
  tree.write_card(128, "current_compute_partition", "QPX\n");
}

TEST_F(Amd, PartitionsThatHaveTheCardsUniqueIdAreToldByTheirNumbers) {
  add_partitions(tree_, {"255", "255", "255", "255"});
  EXPECT_EQ(uuids(), (Names{"PCI-0000-c1-00-0-0", "PCI-0000-c1-00-0-1", "PCI-0000-c1-00-0-2",
                            "PCI-0000-c1-00-0-3"}));
  EXPECT_EQ(runtime_ids(), (Names{"0", "1", "2", "3"}));
  const Device last = devices().back();
  EXPECT_EQ(last.name, "AMD gfx942 QPX 3");
  EXPECT_EQ(last.memory_total_mib, 65520);
  EXPECT_EQ(last.memory_sharers, 4);
  EXPECT_EQ(last.utilization_pct, std::nullopt);
}

TEST_F(Amd, PartitionsWithIdsOfTheirOwnAreToldByThem) {
  add_partitions(tree_, {"16", "17", "18", "19"});
  EXPECT_EQ(uuids(), (Names{"GPU-0000000000000010", "GPU-0000000000000011", "GPU-0000000000000012",
                            "GPU-0000000000000013"}));
  EXPECT_EQ(runtime_ids(), (Names(4, "")));
}

TEST_F(Amd, APartitionHasTheSameNameForWhoCanOpenNoOther) {
  add_partitions(tree_, {"255", "255", "255", "255"});
  for (const char* node : {"2", "3", "5"}) {
    tree_.remove(std::string("sys/class/kfd/kfd/topology/nodes/") + node);
  }
  EXPECT_EQ(uuids(), Names{"PCI-0000-c1-00-0-2"});
  EXPECT_EQ(only_device().memory_sharers, 2);
}

TEST_F(Amd, PartitionsThatTheKernelDoesNotNumberAreCounted) {
  for (int i = 0; i < 2; ++i) {
    tree_.add({.node = 1 + i,
               .minor = static_cast<unsigned>(128 + i),
               .unique_id = "255",
               .card_id = "ff"});
  }
  tree_.write_card(128, "current_compute_partition", "DPX\n");
  tree_.write_card(129, "current_compute_partition", "DPX\n");
  EXPECT_EQ(uuids(), (Names{"PCI-0000-c1-00-0-0", "PCI-0000-c1-00-0-1"}));
}

TEST_F(Amd, AWholeCardThatCouldBeDividedIsTheCard) {
  tree_.add({.unique_id = "255", .card_id = "00000000000000ff"});
  tree_.write_card(128, "current_compute_partition", "SPX\n");
  EXPECT_EQ(uuids(), Names{"GPU-00000000000000ff"});
  EXPECT_EQ(only_device().memory_sharers, 1);
  EXPECT_EQ(only_device().name, "AMD gfx942");
}

TEST_F(Amd, LittleMemoryIsThatOfAPartOfTheCpu) {
  tree_.add({.total = "536870912"});
  EXPECT_TRUE(only_device().only_if_named);
  tree_.add({.total = "4294967296"});
  EXPECT_FALSE(only_device().only_if_named);
}

TEST_F(Amd, ACardWithoutFilesIsUnreadableAndSaysWhichFile) {
  tree_.add({.unique_id = "7"});
  tree_.remove("sys/class/drm/renderD128/device/mem_info_vram_used");
  const Device device = only_device();
  EXPECT_EQ(device.health, Health::unreadable);
  EXPECT_NE(device.error.find("mem_info_vram_used: No such file"), std::string::npos)
      << device.error;
  EXPECT_EQ(device.uuid, "GPU-0000000000000007");
  EXPECT_FALSE(device.only_if_named);
}

TEST_F(Amd, ACardHasNoNameWhereWhatDecidesItCannotBeRead) {
  for (const std::string& file :
       std::vector<std::string>{"unique_id", "current_compute_partition"}) {
    add_partitions(tree_, {"16", "17", "18", "19"});
    tree_.replace_by_folder("sys/class/drm/renderD128/device/" + file);
    for (const Device& device : devices()) {
      EXPECT_EQ(device.uuid, "");
      EXPECT_EQ(device.health, Health::unreadable);
      EXPECT_NE(device.error.find(file + ": Is a directory"), std::string::npos) << device.error;
    }
    tree_.remove("sys/class/drm/renderD128/device/" + file);
  }
}

TEST_F(Amd, ALookFailsWhereAGpuOrAProcessMayBeMissing) {
  for (const std::string& file :
       std::vector<std::string>{"topology/nodes/1/properties", "topology/nodes/1/gpu_id",
                                "proc/50/vram_1001", "proc/50/queues/0/gpuid"}) {
    tree_.add({});
    tree_.replace_by_folder("sys/class/kfd/kfd/" + file);
    const auto snapshot = amd_source(tree_.paths())->read();
    ASSERT_FALSE(snapshot) << file;
    EXPECT_EQ(snapshot.error().kind, ErrorKind::gpu_state);
    tree_.remove("sys/class/kfd/kfd/" + file);
  }
}

TEST_F(Amd, NamesOfGfxVersionsAreAsTheCompilerHasThem) {
  tree_.add({});
  const auto named = [&](const std::string& version) {
    tree_.write_node(1, "properties",
                     "simd_count 8\ndrm_render_minor 128\ngfx_target_version " + version + "\n");
    return only_device().name;
  };
  EXPECT_EQ(named("90010"), "AMD gfx90a");
  EXPECT_EQ(named("90402"), "AMD gfx942");
  EXPECT_EQ(named("110000"), "AMD gfx1100");
  EXPECT_EQ(named("100300"), "AMD gfx1030");
}

TEST_F(Amd, LinksAreThoseOfXgmiAndTheWayOverPci) {
  for (int i = 0; i < 4; ++i) {
    tree_.add({.node = 1 + i,
               .minor = static_cast<unsigned>(128 + i),
               .location = std::to_string(256 * (i + 1))});
    tree_.write_card(static_cast<unsigned>(128 + i), "numa_node", i < 2 ? "0\n" : "1\n");
  }
  tree_.write_node(1, "io_links/0/properties", "type 2\nnode_from 1\nnode_to 0\n");
  tree_.write_node(1, "io_links/1/properties", "type 11\nnode_from 1\nnode_to 4\nweight 15\n");
  const auto source = amd_source(tree_.paths());
  ASSERT_TRUE(source->read());
  const Links links = source->links();
  EXPECT_EQ(links.score(0, 1), 20);
  EXPECT_EQ(links.score(0, 2), 10);
  EXPECT_EQ(links.score(3, 0), 110);
  EXPECT_EQ(links.score(2, 3), 20);
}

TEST(IsAmdUuid, KnowsTheNamesOfThisSourceFromNvidias) {
  for (const char* uuid : {"GPU-0123456789abcdef", "PCI-0000-c1-00-0", "PCI-0000-c1-00-0-3"}) {
    EXPECT_TRUE(is_amd_uuid(uuid)) << uuid;
  }
  for (const char* uuid : {"", "GPU-0e5d17c3-6a48-4f90-b2e7-91d3c8f04a56", "GPU-0123456789abcde",
                           "MIG-0123456789abcdef", "GPU-0123456789abcdeg"}) {
    EXPECT_FALSE(is_amd_uuid(uuid)) << uuid;
  }
}

TEST_F(Amd, RubbishInSysfsHarmsNothing) {
  tree_.add({.unique_id = "x", .total = "-7", .used = ""});
  tree_.write_node(7, "gpu_id", "\n");
  tree_.write_node(8, "gpu_id", "99999999999999999999\n");
  tree_.write_process(5, "vram_1001", "many\n");
  const Device device = only_device();
  EXPECT_EQ(device.uuid, "PCI-0000-c1-00-0");
  EXPECT_EQ(device.memory_total_mib, 0);
  EXPECT_TRUE(device.processes.empty());
}

}  // namespace
}  // namespace gpu_gate
