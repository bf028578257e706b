#include "job/environment.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

Device device_of(int index, const char* uuid) {
  Device device;
  device.index = index;
  device.uuid = uuid;
  return device;
}

const Device kSecond = device_of(2, "GPU-2b");
const Device kFifth = device_of(5, "GPU-5e");

/// The environment of a job that was started in `before`.
Words after(std::vector<const char*> before, const std::vector<Device>& devices,
            Ids ids = Ids::index, Ticket claim = 9) {
  before.push_back(nullptr);
  return job_environment(before.data(), {.devices = devices, .ids = ids, .claim = claim});
}

TEST(JobEnvironment, ChangesItsOwnVariablesAndNothingElse) {
  const char* before[] = {"A=1",  "CUDA_VISIBLE_DEVICES=7", "GPU_GATE_CLAIM=3", "EMPTY=", "odd",
                          nullptr};
  const std::vector<Device> devices{kSecond};
  EXPECT_EQ(job_environment(before, {.devices = devices, .claim = 9}),
            (Words{"A=1", "EMPTY=", "odd", "CUDA_VISIBLE_DEVICES=2", "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                   "GPU_GATE_INDICES=2", "GPU_GATE_UUIDS=GPU-2b", "GPU_GATE_CLAIM=9"}));
}

Ids named_with(const char* order, Ids asked = Ids::index) {
  const std::string assignment = std::string("CUDA_DEVICE_ORDER=") + order;
  const char* environment[] = {"A=1", assignment.c_str(), nullptr};
  return naming({.devices = {}, .ids = asked}, environment);
}

TEST(JobEnvironment, NamesByUuidWhereIndicesWouldMeanOtherCards) {
  const char* nothing[] = {nullptr};
  EXPECT_EQ(naming({.devices = {}}, nothing), Ids::index);
  EXPECT_EQ(named_with("PCI_BUS_ID"), Ids::index);
  EXPECT_EQ(named_with(""), Ids::index);
  EXPECT_EQ(named_with("FASTEST_FIRST"), Ids::uuid);
  EXPECT_EQ(named_with("PCI_BUS_ID", Ids::uuid), Ids::uuid);
}

TEST(JobEnvironment, OfAmdsGpusSetsRocmsVariableAndRemovesThoseThatCountWithinIt) {
  Device named = kSecond;
  named.vendor = Vendor::amd;
  Device numbered = named;
  numbered.index = 5;
  numbered.uuid = "PCI-0000-c1-00-0";
  numbered.runtime_id = "4";
  const char* before[] = {"HIP_VISIBLE_DEVICES=1",           "A=1",
                          "CUDA_VISIBLE_DEVICES=",           "ROCR_VISIBLE_DEVICES=0,1",
                          "CUDA_DEVICE_ORDER=FASTEST_FIRST", nullptr};
  const std::vector<Device> devices{named, numbered};
  for (const Ids ids : {Ids::index, Ids::uuid}) {
    const JobDevices job{.devices = devices, .ids = ids, .claim = 9};
    EXPECT_EQ(job_environment(before, job),
              (Words{"A=1", "CUDA_DEVICE_ORDER=FASTEST_FIRST", "ROCR_VISIBLE_DEVICES=GPU-2b,4",
                     "GPU_GATE_INDICES=2,5", "GPU_GATE_UUIDS=GPU-2b,PCI-0000-c1-00-0",
                     "GPU_GATE_CLAIM=9"}));
    EXPECT_EQ(untrue_variables(before, job),
              (Words{"HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"}));
  }
}

TEST(JobEnvironment, OfNvidiasGpusLeavesWhatIsAmds) {
  const Words found = after({"HIP_VISIBLE_DEVICES=1", "ROCR_VISIBLE_DEVICES=0"}, {kSecond});
  EXPECT_EQ(found[0], "HIP_VISIBLE_DEVICES=1");
  EXPECT_EQ(found[1], "ROCR_VISIBLE_DEVICES=0");
}

TEST(JobEnvironment, KeepsAnOrderThatTheUserHasPinned) {
  const Words found = after({"CUDA_DEVICE_ORDER=FASTEST_FIRST"}, {kSecond});
  EXPECT_EQ(found[0], "CUDA_VISIBLE_DEVICES=GPU-2b");
  EXPECT_EQ(found[1], "CUDA_DEVICE_ORDER=FASTEST_FIRST");
}

TEST(JobEnvironment, SetsItsFiveVariablesWhereThereAreNone) {
  EXPECT_EQ(after({}, {kSecond}),
            (Words{"CUDA_VISIBLE_DEVICES=2", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "GPU_GATE_INDICES=2",
                   "GPU_GATE_UUIDS=GPU-2b", "GPU_GATE_CLAIM=9"}));
}

TEST(JobEnvironment, NamesSeveralDevicesInTheirOrder) {
  EXPECT_EQ(after({}, {kSecond, kFifth}),
            (Words{"CUDA_VISIBLE_DEVICES=2,5", "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                   "GPU_GATE_INDICES=2,5", "GPU_GATE_UUIDS=GPU-2b,GPU-5e", "GPU_GATE_CLAIM=9"}));
}

TEST(JobEnvironment, NamesByUuidWhereThatIsAskedFor) {
  EXPECT_EQ(after({}, {kSecond, kFifth}, Ids::uuid),
            (Words{"CUDA_VISIBLE_DEVICES=GPU-2b,GPU-5e", "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                   "GPU_GATE_INDICES=2,5", "GPU_GATE_UUIDS=GPU-2b,GPU-5e", "GPU_GATE_CLAIM=9"}));
}

TEST(JobEnvironment, EveryOneOfAVariableThatIsThereSeveralTimesIsReplaced) {
  const Words found = after({"CUDA_VISIBLE_DEVICES=7", "A=1", "GPU_GATE_UUIDS=GPU-x",
                             "CUDA_VISIBLE_DEVICES=", "GPU_GATE_UUIDS=GPU-y"},
                            {kSecond});
  EXPECT_EQ(found, (Words{"A=1", "CUDA_VISIBLE_DEVICES=2", "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                          "GPU_GATE_INDICES=2", "GPU_GATE_UUIDS=GPU-2b", "GPU_GATE_CLAIM=9"}));
}

TEST(JobEnvironment, VariablesOfLikeNamesStay) {
  const Words like{"CUDA_VISIBLE_DEVICES_OLD=7", "XCUDA_VISIBLE_DEVICES=7", "CUDA_VISIBLE_DEVICES",
                   "cuda_visible_devices=7",     "GPU_GATE_CLAIM_X=1",      "GPU_GATE_LOCK_DIR=/x"};
  std::vector<const char*> before;
  for (const std::string& word : like) before.push_back(word.c_str());
  const Words found = after(before, {kSecond});
  ASSERT_GT(found.size(), like.size());
  EXPECT_EQ(Words(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(like.size())), like);
}

TEST(JobEnvironment, AnEmptyOrderIsNoneAndIsReplaced) {
  EXPECT_EQ(after({"CUDA_DEVICE_ORDER="}, {kSecond}),
            (Words{"CUDA_VISIBLE_DEVICES=2", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "GPU_GATE_INDICES=2",
                   "GPU_GATE_UUIDS=GPU-2b", "GPU_GATE_CLAIM=9"}));
}

TEST(JobEnvironment, OfAnOrderThatIsPinnedTwiceTheFirstStays) {
  EXPECT_EQ(after({"CUDA_DEVICE_ORDER=FASTEST_FIRST", "CUDA_DEVICE_ORDER=PCI_BUS_ID"}, {kSecond}),
            (Words{"CUDA_VISIBLE_DEVICES=GPU-2b", "CUDA_DEVICE_ORDER=FASTEST_FIRST",
                   "GPU_GATE_INDICES=2", "GPU_GATE_UUIDS=GPU-2b", "GPU_GATE_CLAIM=9"}));
}

TEST(JobEnvironment, APinnedOrderChangesNothingBesideHowCudaIsTold) {
  const Words found = after({"CUDA_DEVICE_ORDER=FASTEST_FIRST"}, {kSecond, kFifth});
  EXPECT_EQ(found[0], "CUDA_VISIBLE_DEVICES=GPU-2b,GPU-5e");
  EXPECT_EQ(found[2], "GPU_GATE_INDICES=2,5");
}

TEST(JobEnvironment, ATicketMayTakeAllItsBits) {
  EXPECT_EQ(after({}, {kSecond}, Ids::index, ~Ticket{0}).back(),
            "GPU_GATE_CLAIM=18446744073709551615");
}

Device device_of_size(std::int64_t mib) {
  Device device = device_of(2, "GPU-2b");
  device.memory_total_mib = mib;
  return device;
}

std::string fraction_of(std::int64_t share_mib, const std::vector<Device>& devices) {
  const char* environment[] = {nullptr};
  for (const auto& [name, value] :
       job_variables(environment, {.devices = devices, .share_mib = share_mib})) {
    if (name == "GPU_GATE_SHARE_FRACTION") return value;
  }
  return "none";
}

TEST(JobEnvironment, OfAShareTellsHowMuchItIs) {
  const std::vector<Device> devices{device_of_size(46068)};
  const char* before[] = {nullptr};
  const Words words = job_environment(before, {.devices = devices, .claim = 9, .share_mib = 8000});
  ASSERT_EQ(words.size(), 7U);
  EXPECT_EQ(words[5], "GPU_GATE_SHARE_MB=8000");
  EXPECT_EQ(words[6], "GPU_GATE_SHARE_FRACTION=0.173");
}

TEST(JobEnvironment, TheFractionIsThatOfTheSmallestDeviceRoundedDown) {
  EXPECT_EQ(fraction_of(1, {device_of_size(46068)}), "0.000");
  EXPECT_EQ(fraction_of(999, {device_of_size(1000)}), "0.999");
  EXPECT_EQ(fraction_of(1000, {device_of_size(1000)}), "1.000");
  EXPECT_EQ(fraction_of(50, {device_of_size(1000), device_of_size(500)}), "0.100");
  EXPECT_EQ(fraction_of(50, {device_of_size(1000), device_of_size(0)}), "none");
}

TEST(JobEnvironment, OfAWholeClaimTellsNothingOfAnEarlierShare) {
  EXPECT_EQ(after({"GPU_GATE_SHARE_MB=1", "GPU_GATE_SHARE_FRACTION=0.5", "A=1"}, {kSecond}).front(),
            "A=1");
  const char* before[] = {"GPU_GATE_SHARE_FRACTION=0.5", nullptr};
  const std::vector<Device> unknown{device_of_size(0)};
  EXPECT_EQ(untrue_variables(before, {.devices = unknown, .share_mib = 5}),
            Words{"GPU_GATE_SHARE_FRACTION"});
  const std::vector<Device> known{device_of_size(100)};
  EXPECT_EQ(untrue_variables(before, {.devices = known, .share_mib = 5}), Words{});
}

}  // namespace
}  // namespace gpu_gate
