#include "gpu/gpu_list.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gpu_gate {
namespace {

Snapshot two_domains() {
  Snapshot snapshot;
  const char* uuids[] = {"GPU-3f2a11", "GPU-3f2b22", "GPU-aa0000"};
  const char* addresses[] = {"00000000:17:00.0", "00000000:65:00.0", "00000001:17:00.0"};
  for (int i = 0; i < 3; ++i) {
    Device device;
    device.index = i;
    device.uuid = uuids[i];
    device.pci_bus_id = addresses[i];
    snapshot.devices.push_back(device);
  }
  return snapshot;
}

using Positions = std::vector<std::size_t>;

/// The devices that a list names, by their positions; all of it must name something.
Positions resolved(const char* text, const Snapshot& snapshot = two_domains()) {
  const std::vector<GpuRef> list = *parse_gpu_list(text);
  EXPECT_TRUE(check_gpu_list(list, snapshot)) << text;
  Positions positions;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    const bool named = std::any_of(list.begin(), list.end(), [&](const GpuRef& ref) {
      return matches(ref, snapshot.devices[i]);
    });
    if (named) positions.push_back(i);
  }
  return positions;
}

TEST(GpuList, TakesIndicesRangesUuidsAndAddresses) {
  EXPECT_EQ(resolved("2"), Positions{2});
  EXPECT_EQ(resolved("0-2"), (Positions{0, 1, 2}));
  EXPECT_EQ(resolved("1-1"), Positions{1});
  EXPECT_EQ(resolved("GPU-3f2a"), Positions{0});
  EXPECT_EQ(resolved("gpu-AA"), Positions{2});
  EXPECT_EQ(resolved("0000:65:00.0"), Positions{1});
  EXPECT_EQ(resolved("65:00.0"), Positions{1});
  EXPECT_EQ(resolved("00000001:17:00.0"), Positions{2});
  EXPECT_EQ(resolved("17:00.0"), Positions{0});  // domain 0 where none is written
}

TEST(GpuList, AllowsSpacesAndRepetition) {
  EXPECT_EQ(resolved(" 2 , 0 - 1,\tGPU-aa "), (Positions{0, 1, 2}));
}

TEST(GpuList, RefusesWhatIsNoList) {
  for (const char* text :
       {"",    " ",       ",",       "1,",    ",1",        "1,,2",           "a",
        "0-",  "-1",      "3-1",     "1.5",   "0x1",       "1-2-3",          "GPU-",
        "GPU", "GPU-xyz", "MIG-",    "17:00", "17:00.0.0", "0000:17:00.0:1", "123456789:17:00.0",
        "1 2", "*",       "+1",      "0:",    ":1",        "0:1-2",          "0-1:0",
        "0:x", "*:0",     "0:1:2",   "0:-1",  "0:**",      "0:00",           "00:0",
        "1/0", "GPU-1/0", "MIG-1/0", "MIG",   "MIG-xyz",   "MIG-GPU-x"}) {
    EXPECT_FALSE(parse_gpu_list(text)) << text;
  }
}

TEST(GpuList, AnIndexTooLargeForAnyMachineIsMissingNotMalformed) {
  const auto list = parse_gpu_list("99999999999999999999");
  ASSERT_TRUE(list);
  EXPECT_EQ(check_gpu_list(*list, two_domains()).error().kind, ErrorKind::impossible);
}

TEST(GpuList, SaysWhatTheMachineLacksAndWhatIsAmbiguous) {
  EXPECT_EQ(check_gpu_list(*parse_gpu_list("0-3"), two_domains()).error().text,
            "there is no GPU 0-3 on this machine (it has GPUs 0-2)");
  EXPECT_EQ(check_gpu_list(*parse_gpu_list("GPU-3f2"), two_domains()).error().text,
            "GPU-3f2 names 2 GPUs of this machine: write more of the UUID");
}

std::string refusal(const char* text) {
  const auto list = parse_gpu_list(text);
  return list ? "taken" : list.error().text;
}

std::string unresolved(const char* text, const Snapshot& snapshot) {
  const auto found = check_gpu_list(*parse_gpu_list(text), snapshot);
  return found ? "found" : found.error().text;
}

TEST(GpuList, ARefusalNamesTheFirstItemThatIsWrong) {
  EXPECT_EQ(refusal("0,one,two"), "'one'");
  EXPECT_EQ(refusal("0, 3-1 ,x"), "'3-1'");
  EXPECT_EQ(refusal("0,,1"), "an empty item");
  EXPECT_EQ(refusal("0,\t "), "an empty item");
  EXPECT_EQ(parse_gpu_list("x").error().kind, ErrorKind::usage);
}

TEST(GpuList, ARefusalIsSafeForATerminal) {
  EXPECT_EQ(refusal("\x1b[2J"), "'\\x1b[2J'");
  EXPECT_EQ(refusal("1\n2"), "'1\\n2'");
}

TEST(GpuList, KeepsEachItemAsItWasWritten) {
  const auto list = parse_gpu_list(" 1 - 3 ,gpu-3F2A, 0000:AB:00.1");
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 3U);
  EXPECT_EQ((*list)[0].text, "1 - 3");
  EXPECT_EQ((*list)[0].kind, GpuRef::Kind::index);
  EXPECT_EQ((*list)[0].first, 1);
  EXPECT_EQ((*list)[0].last, 3);
  EXPECT_EQ((*list)[1].text, "gpu-3F2A");
  EXPECT_EQ((*list)[1].kind, GpuRef::Kind::uuid);
  EXPECT_EQ((*list)[2].text, "0000:AB:00.1");
  EXPECT_EQ((*list)[2].kind, GpuRef::Kind::pci);
}

TEST(GpuList, AnIndexMayHaveLeadingZeros) {
  EXPECT_EQ(resolved("002"), Positions{2});
  EXPECT_EQ(resolved("00-01"), (Positions{0, 1}));
}

TEST(GpuList, ItemsMayOverlap) {
  EXPECT_EQ(resolved("0-1,1-2,GPU-3f2a,65:00.0,0"), (Positions{0, 1, 2}));
}

TEST(GpuList, ARangeWithoutEndIsMissingAndDoesNotOverflow) {
  EXPECT_EQ(unresolved("0-99999999999999999999", two_domains()),
            "there is no GPU 0-99999999999999999999 on this machine (it has GPUs 0-2)");
  EXPECT_EQ(unresolved("2147483647", two_domains()),
            "there is no GPU 2147483647 on this machine (it has GPUs 0-2)");
}

TEST(GpuList, SaysWhatASmallMachineHas) {
  Snapshot one = two_domains();
  one.devices.resize(1);
  EXPECT_EQ(unresolved("1", one), "there is no GPU 1 on this machine (it has GPU 0)");
  EXPECT_EQ(unresolved("0", {}), "there is no GPU 0 on this machine (it has none)");
}

TEST(GpuList, AUuidThatNoCardHasIsMissing) {
  for (const char* text : {"GPU-3f2c", "GPU-3f2a110"}) {
    EXPECT_EQ(unresolved(text, two_domains()),
              "there is no GPU " + std::string(text) + " on this machine (it has GPUs 0-2)");
  }
}

TEST(GpuList, ADomainIsTheSameHoweverManyZerosItHas) {
  for (const char* text : {"1:17:00.0", "01:17:00.0", "0001:17:00.0", "00000001:17:00.0"}) {
    EXPECT_EQ(resolved(text), Positions{2}) << text;
  }
  for (const char* text : {"0:17:00.0", "0000:17:00.0", "00000000:17:00.0"}) {
    EXPECT_EQ(resolved(text), Positions{0}) << text;
  }
  EXPECT_EQ(unresolved("0002:17:00.0", two_domains()),
            "there is no GPU 0002:17:00.0 on this machine (it has GPUs 0-2)");
}

TEST(GpuList, AnAddressMayBeInEitherCase) {
  Snapshot snapshot = two_domains();
  snapshot.devices[1].pci_bus_id = "0000BEEF:AB:0C.0";
  for (const char* text : {"beef:ab:0c.0", "BEEF:AB:0C.0", "0000Beef:aB:0c.0"}) {
    EXPECT_EQ(resolved(text, snapshot), Positions{1}) << text;
  }
}

TEST(GpuList, AnAddressIsTheWholeOfIt) {
  EXPECT_EQ(unresolved("17:00.1", two_domains()),
            "there is no GPU 17:00.1 on this machine (it has GPUs 0-2)");
  for (const char* text : {"17:00.a", "1:00.0", "17:0.0", ":17:00.0", "g:17:00.0", "17:00.00"}) {
    EXPECT_FALSE(parse_gpu_list(text)) << text;
  }
}

TEST(GpuList, ACardOfWhichNothingCanBeReadIsNamedByItsIndexOnly) {
  Snapshot snapshot = two_domains();
  snapshot.devices[1].uuid.clear();
  snapshot.devices[1].pci_bus_id.clear();
  EXPECT_EQ(resolved("1", snapshot), Positions{1});
  for (const char* text : {"GPU-3f2b22", "65:00.0"}) {
    EXPECT_FALSE(check_gpu_list(*parse_gpu_list(text), snapshot)) << text;
  }
}

/// GPU 0 with two instances, the first of which is old enough to have a slash in its name; GPU 1.
Snapshot with_instances() {
  Snapshot snapshot;
  for (const int number : {-1, 0, 3}) {
    Device device;
    device.pci_bus_id = "00000000:17:00.0";
    device.uuid = "GPU-aa11";
    if (number >= 0) {
      device.instance = number;
      device.card_uuid = device.uuid;
      device.uuid = "MIG-" + std::to_string(number) + "b22";
      device.second_name = "MIG-GPU-aa11/" + std::to_string(number) + "/0";
    }
    snapshot.devices.push_back(device);
  }
  snapshot.devices.push_back(two_domains().devices[1]);
  return snapshot;
}

TEST(GpuList, NamesInstancesByNumberUuidAndOldName) {
  const Snapshot machine = with_instances();
  EXPECT_EQ(resolved("0:0", machine), Positions{1});
  EXPECT_EQ(resolved("0:3", machine), Positions{2});
  EXPECT_EQ(resolved("0:*", machine), (Positions{1, 2}));
  EXPECT_EQ(resolved("MIG-3b2", machine), Positions{2});
  EXPECT_EQ(resolved("mig-3B22,1", machine), (Positions{2, 3}));
  EXPECT_EQ(resolved("MIG-GPU-aa11/0/0", machine), Positions{1});
}

TEST(GpuList, ACardIsNamedWithoutItsInstances) {
  const Snapshot machine = with_instances();
  for (const char* text : {"0", "GPU-aa11", "17:00.0"}) {
    EXPECT_EQ(resolved(text, machine), Positions{0}) << text;
  }
  EXPECT_EQ(resolved("0-1", machine), (Positions{0, 3}));
}

TEST(GpuList, WhatCoversACardCoversItsInstances) {
  const Snapshot machine = with_instances();
  for (const char* text : {"0", "GPU-aa", "17:00.0", "0-1", "0:*"}) {
    const GpuRef ref = parse_gpu_list(text)->front();
    EXPECT_TRUE(covers(ref, machine.devices[1]) && covers(ref, machine.devices[2])) << text;
  }
  const GpuRef one = parse_gpu_list("0:0")->front();
  EXPECT_TRUE(covers(one, machine.devices[1]));
  EXPECT_FALSE(covers(one, machine.devices[0]) || covers(one, machine.devices[2]));
}

TEST(GpuList, SaysWhichInstancesThereAre) {
  const Snapshot machine = with_instances();
  EXPECT_EQ(unresolved("0:1", machine),
            "there is no instance 0:1 on this machine (GPU 0 has 0:0, 0:3)");
  EXPECT_EQ(unresolved("1:0", machine),
            "there is no instance 1:0 on this machine (GPU 1 has none)");
  EXPECT_EQ(unresolved("1:*", machine),
            "there is no instance 1:* on this machine (GPU 1 has none)");
  EXPECT_EQ(unresolved("2:*", machine),
            "there is no instance 2:* on this machine (it has GPUs 0-1)");
  EXPECT_EQ(unresolved("2", machine), "there is no GPU 2 on this machine (it has GPUs 0-1)");
}

TEST(GpuList, AnEmptyListNamesNothing) { EXPECT_TRUE(check_gpu_list({}, two_domains())); }

}  // namespace
}  // namespace gpu_gate
