#include "cli/json_output.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "report/test_board.h"

namespace gpu_gate {
namespace {

using Json = nlohmann::json;

/// Bytes that do something to a terminal, or are no UTF-8.
const std::string kHostile = "\x1b[31m\r\n\t\"\\\x7f\x01\xff\xc3\xe2\x80\xae\xc2\x9b";

bool is_plain_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c == '\n' || (c >= 0x20 && c < 0x7F); });
}

Json read_back(const std::string& text) {
  EXPECT_TRUE(is_plain_ascii(text)) << text;
  EXPECT_TRUE(text.ends_with("\n")) << text;
  return Json::parse(text);
}

Json status_of(const Board& board) { return read_back(status_json(board)); }

/// What status --json says of a GPU.
Json status_of(const BoardRow& row) {
  return status_of(Board{.rows = {row}, .waiters = {}, .holders = {}}).at(0);
}

std::set<std::string> keys_of(const Json& json) {
  std::set<std::string> keys;
  for (const auto& item : json.items()) keys.insert(item.key());
  return keys;
}

TEST(StatusJson, OfAMachineWithoutGpusIsAnEmptyList) {
  EXPECT_EQ(status_of(Board{}), Json::array());
}

TEST(StatusJson, HasAnObjectForEachGpuInOrder) {
  const Json list =
      status_of(Board{.rows = {board_row(card(0)), board_row(card(1)), board_row(card(2))},
                      .waiters = {},
                      .holders = {}});
  ASSERT_EQ(list.size(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(list[static_cast<std::size_t>(i)]["index"], i);
}

TEST(StatusJson, TellsWhatAGpuWaitsFor) {
  Device device = card(0);
  EXPECT_EQ(status_of(board_row(device))["repair"], nullptr);
  const std::pair<Repair, const char*> words[] = {{Repair::remap_pending, "remap_pending"},
                                                  {Repair::retire_pending, "retire_pending"},
                                                  {Repair::remap_failed, "remap_failed"}};
  for (const auto& [repair, word] : words) {
    device.repair = repair;
    EXPECT_EQ(status_of(board_row(device))["repair"], word);
    EXPECT_EQ(status_of(board_row(device))["health"], "ok");
  }
}

TEST(StatusJson, HasEveryKeyWhateverIsKnown) {
  EXPECT_EQ(keys_of(status_of(board_row(Device{}))),
            (std::set<std::string>{"index", "name", "uuid", "vendor", "memory_total_mb",
                                   "memory_used_mb", "memory_free_mb", "memory_reserved_mb",
                                   "utilization_pct", "pci_bus_id", "processes", "claim", "claims",
                                   "health", "repair", "accessible"}));
}

TEST(StatusJson, ListsEveryClaimWithItsShareAndTheOldestAsTheClaim) {
  BoardRow row = board_row(card(0), {board_claim(5, claimant("alice", job(1, "serve"))),
                                     board_claim(6, claimant("bob", job(2, "eval")))});
  row.claims[0].claimant.share_mib = 8000;
  row.claims[1].claimant.share_mib = 4000;
  const Json json = status_of(row);
  ASSERT_EQ(json["claims"].size(), 2U);
  EXPECT_EQ(json["claims"][0]["share_mb"], 8000);
  EXPECT_EQ(json["claims"][1]["user"], "bob");
  EXPECT_EQ(json["claims"][1]["share_mb"], 4000);
  EXPECT_EQ(json["claim"], json["claims"][0]);
  EXPECT_TRUE(
      status_of(board_row(card(0), {board_claim(5, claimant("alice"))}))["claim"]["share_mb"]
          .is_null());
  EXPECT_TRUE(status_of(board_row(card(0)))["claims"].empty());
}

TEST(StatusJson, TellsWhatTheDriverTold) {
  Device device = card(3, 1000);
  device.name = "NVIDIA L40S";
  device.pci_bus_id = "00000000:17:00.0";
  device.utilization_pct = 42;
  const Json json = status_of(board_row(device));
  EXPECT_EQ(json["index"], 3);
  EXPECT_EQ(json["name"], "NVIDIA L40S");
  EXPECT_EQ(json["uuid"], "GPU-3");
  EXPECT_EQ(json["pci_bus_id"], "00000000:17:00.0");
  EXPECT_EQ(json["memory_total_mb"], 46068);
  EXPECT_EQ(json["memory_used_mb"], device.memory_used_mib);
  EXPECT_EQ(json["memory_free_mb"], 1000);
  EXPECT_EQ(json["memory_reserved_mb"], 600);
  EXPECT_EQ(json["utilization_pct"], 42);
  EXPECT_EQ(json["health"], "ok");
}

TEST(StatusJson, HasNumbersAsNumbers) {
  Device device = card(0);
  device.memory_total_mib = 5'000'000'000;
  const Json json = status_of(board_row(device));
  for (const char* key : {"index", "memory_total_mb", "memory_used_mb", "memory_free_mb",
                          "memory_reserved_mb", "utilization_pct"}) {
    EXPECT_TRUE(json[key].is_number_integer()) << key;
  }
  EXPECT_EQ(json["memory_total_mb"], 5'000'000'000) << "cut to 32 bits";
}

TEST(StatusJson, SaysNullWhereNothingIsKnown) {
  Device device = card(0);
  device.utilization_pct.reset();
  device.memory_reserved_mib.reset();
  const Json json = status_of(board_row(device));
  EXPECT_TRUE(json["utilization_pct"].is_null());
  EXPECT_TRUE(json["memory_reserved_mb"].is_null());
  EXPECT_TRUE(json["claim"].is_null());
  EXPECT_EQ(json["processes"], Json::array());
}

TEST(StatusJson, HasAWordForEachHealth) {
  const std::vector<std::pair<Health, std::string>> words{
      {Health::ok, "ok"},
      {Health::lost, "lost"},
      {Health::reset_required, "reset_required"},
      {Health::prohibited, "prohibited"},
      {Health::mig, "mig"},
      {Health::unreadable, "unreadable"}};
  for (const auto& [health, word] : words) {
    Device device = card(0);
    device.health = health;
    EXPECT_EQ(status_of(board_row(device))["health"], word);
  }
}

TEST(StatusJson, HasAnErrorOnlyWhereThereIsOne) {
  Device device = card(0);
  EXPECT_FALSE(status_of(board_row(device)).contains("error"));
  device.error = "GPU is lost (15)";
  EXPECT_EQ(status_of(board_row(device))["error"], "GPU is lost (15)");
}

TEST(StatusJson, TellsWhoHoldsAGpu) {
  const Json claim = status_of(board_row(
      card(0), {board_claim(17, claimant("alice", job(4242, "python train.py", 1'700'000'000)),
                            {"GPU-0", "GPU-1"})}))["claim"];
  EXPECT_EQ(claim["user"], "alice");
  EXPECT_EQ(claim["uid"], 1000);
  EXPECT_EQ(claim["pid"], 4242);
  EXPECT_EQ(claim["command"], "python train.py");
  EXPECT_EQ(claim["since"], 1'700'000'000);
  EXPECT_EQ(claim["devices"], (Json{"GPU-0", "GPU-1"}));
  EXPECT_EQ(claim["ticket"], 17);
}

TEST(StatusJson, SaysNullForTheJobOfAClaimWithoutARecord) {
  const Json claim = status_of(board_row(card(0), {board_claim(17, claimant("alice"))}))["claim"];
  EXPECT_EQ(claim["user"], "alice");
  EXPECT_EQ(claim["ticket"], 17);
  for (const char* key : {"pid", "command", "since"}) {
    ASSERT_TRUE(claim.contains(key)) << key;
    EXPECT_TRUE(claim[key].is_null()) << key;
  }
}

TEST(StatusJson, NamesTheOutermostOfClaimsInsideEachOther) {
  const Json claim =
      status_of(board_row(card(0), {board_claim(17, claimant("alice", job(1, "sweep"))),
                                    board_claim(18, claimant("alice", job(2, "one")))}))["claim"];
  EXPECT_EQ(claim["ticket"], 17);
  EXPECT_EQ(claim["command"], "sweep");
}

TEST(StatusJson, ListsEveryProcessAlsoThoseOfAClaim) {
  DeviceProcess large = seen_process(7, "bob", "julia");
  large.process.memory_mib = 300;
  DeviceProcess server = seen_process(8, "root", "Xorg");
  server.process.graphics = true;
  const Json processes =
      status_of(board_row(card(0), {},
                          {{.described = large, .claimed = true},
                           {.described = server, .claimed = false}}))["processes"];
  EXPECT_EQ(processes, (Json{{{"pid", 7},
                              {"user", "bob"},
                              {"uid", 1000},
                              {"command", "julia"},
                              {"memory_mb", 300},
                              {"type", "compute"},
                              {"claimed", true},
                              {"strays", false}},
                             {{"pid", 8},
                              {"user", "root"},
                              {"uid", 1000},
                              {"command", "Xorg"},
                              {"memory_mb", nullptr},
                              {"type", "graphics"},
                              {"claimed", false},
                              {"strays", false}}}));
}

TEST(StatusJson, SaysNullForTheUserOfAProcessThatCannotBeSeen) {
  const Json process = status_of(board_row(
      card(0), {}, {{.described = hidden_process(77), .claimed = false}}))["processes"][0];
  EXPECT_EQ(process["pid"], 77);
  EXPECT_TRUE(process["user"].is_null());
  EXPECT_TRUE(process["uid"].is_null());
  EXPECT_EQ(process["command"], "");
}

TEST(StatusJson, TellsRootFromNobodyKnown) {
  DeviceProcess process = seen_process(7, "root", "x");
  process.uid = 0;
  EXPECT_EQ(status_of(board_row(card(0), {},
                                {{.described = process, .claimed = false}}))["processes"][0]["uid"],
            0);
}

TEST(StatusJson, IsPlainAsciiWhateverOthersWrite) {
  Device device = card(0);
  device.name = device.error = device.uuid = device.pci_bus_id = kHostile;
  const Json json = status_of(
      board_row(device, {board_claim(1, claimant(kHostile, job(2, kHostile)), {kHostile})},
                {{.described = seen_process(3, kHostile, kHostile), .claimed = false}}));
  EXPECT_EQ(json["name"], json["claim"]["command"]);
  EXPECT_EQ(json["name"], json["claim"]["devices"][0]);
  EXPECT_EQ(json["name"], json["processes"][0]["command"]);
}

std::string command_read_back(const std::string& command) {
  const BoardRow row = board_row(card(0), {board_claim(1, claimant("alice", job(2, command)))});
  return status_of(row)["claim"]["command"];
}

TEST(StatusJson, GivesTextBackAsItWasWhereItIsUtf8) {
  using std::string_literals::operator""s;
  for (const std::string& text : {"Größe ½ 你好 😀"s, "\x7f \x7f\x7f"s, "\\\x7f\\u007f"s,
                                  "\"quoted\"\n\t\x01"s, "nul\0byte"s}) {
    EXPECT_EQ(command_read_back(text), text);
  }
}

TEST(StatusJson, ReplacesOnlyTheBytesThatAreNoUtf8) {
  EXPECT_EQ(command_read_back("x\xff-\xc3"), "x\uFFFD-\uFFFD");
}

TEST(DevicesJson, NamesTheGpusBothWays) {
  const Json json = read_back(devices_json({card(0), card(2)}, "0,2", 0));
  EXPECT_EQ(json["indices"], (Json{0, 2}));
  EXPECT_EQ(json["uuids"], (Json{"GPU-0", "GPU-2"}));
  EXPECT_EQ(json["cuda_visible_devices"], "0,2");
}

TEST(DevicesJson, HasAClaimOnlyWhereOneIsHeld) {
  EXPECT_EQ(keys_of(read_back(devices_json({card(0)}, "0", 0))),
            (std::set<std::string>{"indices", "uuids", "cuda_visible_devices"}));
  const Json json = read_back(devices_json({card(0)}, "0", 1'234'567'890'123'456'789U));
  EXPECT_EQ(json["claim"], "1234567890123456789")
      << "as a number it would lose digits in a reader that has only doubles";
}

TEST(DevicesJson, IsOneLine) {
  const std::string text = devices_json({card(0), card(1)}, "0,1", 5);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(DevicesJson, IsPlainAscii) {
  Device device = card(0);
  device.uuid = kHostile;
  const Json json = read_back(devices_json({device}, kHostile, 5));
  EXPECT_EQ(json["uuids"][0], json["cuda_visible_devices"]);
}

TEST(DoctorJson, IsTheLockDirectoryAndTheFindings) {
  LockPlace place;
  place.path = "/run/gpu-gate";
  EXPECT_EQ(doctor_json({}, place),
            "{\n  \"lock_directory\": \"/run/gpu-gate\",\n  \"findings\": []\n}\n");
  place.path = "";
  const Finding finding{
      .level = Level::fault, .subject = "GPU 0", .what = "lost", .remedy = "sudo reboot"};
  EXPECT_EQ(doctor_json({finding}, place),
            "{\n  \"lock_directory\": null,\n  \"findings\": [\n    {\n"
            "      \"level\": \"fault\",\n      \"subject\": \"GPU 0\",\n"
            "      \"what\": \"lost\",\n      \"remedy\": \"sudo reboot\"\n    }\n  ]\n}\n");
}

}  // namespace
}  // namespace gpu_gate
