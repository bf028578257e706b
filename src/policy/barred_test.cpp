#include "policy/barred.h"

#include <gtest/gtest.h>

#include "policy/test_machine.h"

namespace gpu_gate {
namespace {

Snapshot four_devices() {
  Snapshot snapshot;
  for (int i = 0; i < 4; ++i) {
    Device device;
    device.index = i;
    device.uuid = "GPU-" + std::to_string(i) + "a";
    device.pci_bus_id = "00000000:1" + std::to_string(i) + ":00.0";
    snapshot.devices.push_back(device);
  }
  return snapshot;
}

std::vector<GpuRef> list(const char* text) { return *parse_gpu_list(text); }

std::vector<VisibleList> cuda(const char* value) { return {{"CUDA_VISIBLE_DEVICES", value}}; }

using Bars = std::vector<Barred>;

TEST(BarDevices, EverythingIsAllowedByDefault) {
  EXPECT_EQ(bar_devices({}, four_devices()), Bars(4, Barred::no));
}

TEST(BarDevices, EachBarIsToldByItsOwnReason) {
  Selection selection;
  selection.only = list("0-2");
  selection.exclude = list("1");
  selection.inherited = cuda("0,1");
  EXPECT_EQ(bar_devices(selection, four_devices()),
            (Bars{Barred::no, Barred::excluded, Barred::not_visible, Barred::not_in_only}));
}

TEST(BarDevices, AJobChoosesAmongItsOwnCards) {
  Selection selection;
  selection.claim_devices = std::vector<std::string>{"GPU-2a"};
  EXPECT_EQ(
      bar_devices(selection, four_devices()),
      (Bars{Barred::outside_claim, Barred::outside_claim, Barred::no, Barred::outside_claim}));
}

TEST(BarDevices, ACardThatIsLostForNowMayBeTheJobsOwn) {
  Snapshot snapshot = four_devices();
  snapshot.devices[2].uuid.clear();
  Selection selection;
  selection.claim_devices = std::vector<std::string>{"GPU-2a"};
  EXPECT_EQ(bar_devices(selection, snapshot)[2], Barred::no);
}

TEST(BarDevices, ACardThatCannotBeOpenedIsBarred) {
  Snapshot snapshot = four_devices();
  snapshot.devices[3].accessible = false;
  EXPECT_EQ(bar_devices({}, snapshot)[3], Barred::no_access);
}

TEST(BarDevices, OnlyWhatTheMachineLacksCanNeverBe) {
  Selection selection;
  selection.only = list("4");
  EXPECT_EQ(check_only(selection, four_devices()).error().kind, ErrorKind::impossible);
  selection.only = std::vector<GpuRef>{GpuRef{.kind = GpuRef::Kind::uuid, .text = "GPU-"}};
  EXPECT_EQ(check_only(selection, four_devices()).error().kind,
            ErrorKind::impossible);  // ambiguous
}

TEST(BarDevices, ExcludingWhatTheMachineLacksIsHarmless) {
  Selection selection;
  selection.exclude = list("7,GPU-ff,0000:99:00.0");
  EXPECT_EQ(bar_devices(selection, four_devices()), Bars(4, Barred::no));
}

TEST(BarDevices, WithSeveralBarsTheFirstOfAFixedOrderIsTold) {
  Snapshot snapshot = four_devices();
  for (Device& device : snapshot.devices) device.accessible = false;
  Selection selection;
  selection.only = list("0");
  selection.exclude = list("0-3");
  selection.claim_devices = std::vector<std::string>{};
  selection.inherited = cuda("");
  const auto bars = [&] { return bar_devices(selection, snapshot); };
  EXPECT_EQ(bars(), (Bars{Barred::excluded, Barred::not_in_only, Barred::not_in_only,
                          Barred::not_in_only}));
  selection.only.reset();
  EXPECT_EQ(bars(), Bars(4, Barred::excluded));
  selection.exclude.clear();
  EXPECT_EQ(bars(), Bars(4, Barred::outside_claim));
  selection.claim_devices.reset();
  EXPECT_EQ(bars(), Bars(4, Barred::not_visible));
  selection.inherited.clear();
  EXPECT_EQ(bars(), Bars(4, Barred::no_access));
}

TEST(BarDevices, AnEmptyListOfVisibleDevicesBarsAll) {
  for (const char* value : {"", "-1", "none", ","}) {
    Selection selection;
    selection.inherited = cuda(value);
    EXPECT_EQ(bar_devices(selection, four_devices()), Bars(4, Barred::not_visible)) << value;
  }
}

TEST(BarDevices, AClaimOfNothingBarsAll) {
  Selection selection;
  selection.claim_devices = std::vector<std::string>{};
  EXPECT_EQ(bar_devices(selection, four_devices()), Bars(4, Barred::outside_claim));
}

TEST(BarDevices, TheJobsOwnCardsAreKnownByTheirWholeUuid) {
  Selection selection;
  selection.claim_devices = std::vector<std::string>{"GPU-2", "gpu-1a"};
  EXPECT_EQ(bar_devices(selection, four_devices()), Bars(4, Barred::outside_claim));
}

TEST(BarDevices, AUuidToExcludeThatNamesSeveralExcludesThemAll) {
  Snapshot snapshot = four_devices();
  snapshot.devices[3].uuid = "GPU-1b";
  Selection selection;
  selection.exclude = list("GPU-1");
  EXPECT_EQ(bar_devices(selection, snapshot),
            (Bars{Barred::no, Barred::excluded, Barred::no, Barred::excluded}));
}

TEST(BarDevices, ExcludingGoesBeforeOnly) {
  Selection selection;
  selection.only = list("1,2");
  selection.exclude = list("GPU-1a,0000:12:00.0");
  EXPECT_EQ(bar_devices(selection, four_devices()),
            (Bars{Barred::not_in_only, Barred::excluded, Barred::excluded, Barred::not_in_only}));
}

TEST(BarDevices, TheErrorOfOnlyNamesTheOption) {
  Selection selection;
  selection.only = list("2,4");
  EXPECT_EQ(check_only(selection, four_devices()).error().text,
            "--only: there is no GPU 4 on this machine (it has GPUs 0-3)");
}

TEST(BarDevices, AnOnlyIsCheckedAlsoWhereEverythingElseIsBarred) {
  Selection selection;
  selection.only = list("4");
  selection.inherited = cuda("");
  EXPECT_FALSE(check_only(selection, four_devices()));
}

TEST(BarDevices, APartOfTheCpuIsForWhoNamesItAndForPartsOfTheJobThatDid) {
  Snapshot snapshot = four_devices();
  snapshot.devices[1].only_if_named = true;
  const Bars without{Barred::no, Barred::not_named, Barred::no, Barred::no};
  EXPECT_EQ(bar_devices({}, snapshot), without);
  Selection selection;
  selection.only = list("0-1");
  EXPECT_EQ(bar_devices(selection, snapshot)[1], Barred::no);
  selection.only.reset();
  selection.claim_devices = std::vector<std::string>{"GPU-1a"};
  EXPECT_EQ(bar_devices(selection, snapshot)[1], Barred::no);
}

TEST(BarDevices, OneThatIsClosedForCertainIsBarredAlsoWithoutAName) {
  Snapshot snapshot = four_devices();
  snapshot.devices[2].accessible = false;
  snapshot.devices[2].uuid.clear();
  EXPECT_EQ(bar_devices({}, snapshot)[2], Barred::no_access);
  snapshot.devices[2].health = Health::unreadable;
  EXPECT_EQ(bar_devices({}, snapshot)[2], Barred::no);
}

TEST(BarDevices, AMachineWithoutCardsHasNothingToBar) { EXPECT_EQ(bar_devices({}, {}), Bars{}); }

TEST(BarDevices, ExcludingACardTakesOutItsInstances) {
  const Snapshot machine = divided_machine(2);
  Selection selection;
  selection.exclude = list("1");
  EXPECT_EQ(bar_devices(selection, machine),
            (Bars{Barred::no, Barred::excluded, Barred::excluded, Barred::excluded}));
  selection.exclude = list("1:1");
  EXPECT_EQ(bar_devices(selection, machine),
            (Bars{Barred::no, Barred::no, Barred::no, Barred::excluded}));
}

TEST(BarDevices, OnlyACardIsItAlone) {
  const Snapshot machine = divided_machine(2);
  Selection selection;
  selection.only = list("1");
  EXPECT_EQ(bar_devices(selection, machine),
            (Bars{Barred::not_in_only, Barred::no, Barred::not_in_only, Barred::not_in_only}));
  selection.only = list("1:*");
  EXPECT_EQ(bar_devices(selection, machine),
            (Bars{Barred::not_in_only, Barred::not_in_only, Barred::no, Barred::no}));
}

TEST(BarDevices, WhatIsGoneThatOnlyNamesBarsTheOthersStill) {
  Snapshot machine = divided_machine(2);
  machine.devices.pop_back();
  Selection selection;
  selection.only = list("1:1");
  EXPECT_FALSE(check_only(selection, machine));
  EXPECT_EQ(bar_devices(selection, machine), Bars(3, Barred::not_in_only));
}

}  // namespace
}  // namespace gpu_gate
