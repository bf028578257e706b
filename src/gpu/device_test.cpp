#include "gpu/device.h"

#include <gtest/gtest.h>

#include "gpu/vendor.h"

namespace gpu_gate {
namespace {

TEST(IsUuid, TakesLettersDigitsAndHyphensInEitherCase) {
  for (const char* text : {"GPU-0e5d17c3-6a48-4f90-b2e7-91d3c8f04a56", "MIG-AZ-az-09", "-", "7"}) {
    EXPECT_TRUE(is_uuid(text)) << text;
  }
}

TEST(IsUuid, RefusesWhatCouldLeaveAFileName) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view text :
       {""sv, "."sv, ".."sv, "GPU/1"sv, "GPU_1"sv, "GPU 1"sv, "GPU-1\n"sv, "GPU-1\0"sv, "GPU@1"sv,
        "GPU[1"sv, "GPU`1"sv, "GPU{1"sv, "GPU:1"sv, "GPU-\xc3\xa4"sv}) {
    EXPECT_FALSE(is_uuid(text)) << text;
  }
}

TEST(IsUuid, IsNoLongerThanNvmlMakesIt) {
  EXPECT_TRUE(is_uuid(std::string(96, 'a')));
  EXPECT_FALSE(is_uuid(std::string(97, 'a')));
}

TEST(Label, IsTheIndexAndOfAnInstanceItsNumberBehindThatOfItsCard) {
  Device device;
  device.index = 3;
  EXPECT_EQ(label(device), "3");
  device.instance = 0;
  EXPECT_EQ(label(device), "3:0");
  device.index = -1;
  EXPECT_EQ(label(device), "?");
}

TEST(Vendor, NvidiaIsToldByCudasVariables) {
  constexpr VendorVariables kNames = variables_of(Vendor::nvidia);
  EXPECT_STREQ(kNames.visible_devices, "CUDA_VISIBLE_DEVICES");
  EXPECT_STREQ(kNames.device_order, "CUDA_DEVICE_ORDER");
  EXPECT_STREQ(kNames.pci_order, "PCI_BUS_ID");
}

TEST(Vendor, AmdIsToldByRocmsVariable) {
  constexpr VendorVariables kNames = variables_of(Vendor::amd);
  EXPECT_STREQ(kNames.visible_devices, "ROCR_VISIBLE_DEVICES");
  EXPECT_EQ(kNames.device_order, nullptr);
}

TEST(Vendor, IsWrittenInOneWord) {
  for (const Vendor vendor : {Vendor::nvidia, Vendor::amd}) {
    EXPECT_EQ(vendor_of_word(word_of(vendor)), vendor);
  }
  for (const char* word : {"", "AMD", "amd ", "intel"}) EXPECT_FALSE(vendor_of_word(word)) << word;
}

}  // namespace
}  // namespace gpu_gate
