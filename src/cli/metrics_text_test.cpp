#include "cli/metrics_text.h"

#include <gtest/gtest.h>

#include "cli/test_text.h"
#include "report/test_board.h"

namespace gpu_gate {
namespace {

constexpr std::int64_t kThen = 1'000'000;

std::string metrics_page(const Board& board) { return metrics_text(board, kThen); }

Device l40s(int index) {
  Device device = card(index, 40000);
  device.name = "NVIDIA L40S";
  device.utilization_pct = 97;
  return device;
}

BoardClaim metered_claim(const std::string& user, std::optional<std::int64_t> share_mib = {}) {
  BoardClaim claim = board_claim(1, claimant(user, job(7, "python train.py")));
  claim.claimant.share_mib = share_mib;
  return claim;
}

BoardWaiter metered_waiter(const std::string& user, int count, std::int64_t waited) {
  return board_waiter(user, job(9, "python eval.py", kThen - waited), wish(count));
}

/// The value of a sample; "" where there is none.
std::string sample_value(const std::string& text, const std::string& sample) {
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("gpu_gate_" + sample + " ")) return line.substr(line.rfind(' ') + 1);
  }
  return "";
}

TEST(MetricsText, IsEmptyWhereThereIsNothingToTell) { EXPECT_EQ(metrics_page({}), ""); }

TEST(MetricsText, TellsOfEachGpu) {
  const std::string text =
      metrics_page({.rows = {board_row(l40s(3))}, .waiters = {}, .holders = {}});
  const std::string labels = R"({gpu="3",uuid="GPU-3",name="NVIDIA L40S"})";
  EXPECT_EQ(sample_value(text, "gpu_memory_total_bytes" + labels), std::to_string(46068LL << 20));
  EXPECT_EQ(sample_value(text, "gpu_memory_used_bytes" + labels), std::to_string(5468LL << 20));
  EXPECT_EQ(sample_value(text, "gpu_memory_free_bytes" + labels), std::to_string(40000LL << 20));
  EXPECT_EQ(sample_value(text, "gpu_utilization_ratio" + labels), "0.97");
  EXPECT_EQ(sample_value(text, "gpu_healthy" + labels), "1");
}

TEST(MetricsText, NamesAndTypesEachMetricOnceBeforeItsSamples) {
  const std::string text = metrics_page(
      {.rows = {board_row(l40s(0)), board_row(l40s(1))}, .waiters = {}, .holders = {}});
  EXPECT_EQ(times(text, "# TYPE gpu_gate_gpu_healthy gauge\ngpu_gate_gpu_healthy{gpu=\"0\""), 1);
  EXPECT_EQ(times(text, "# HELP gpu_gate_gpu_healthy "), 1);
  EXPECT_EQ(times(text, "\ngpu_gate_gpu_healthy{"), 2);
}

TEST(MetricsText, HasNoLineForWhatIsUnknown) {
  Device device;  // of unknown size and load
  device.uuid = "GPU-0";
  EXPECT_EQ(times(metrics_page({.rows = {board_row(device)}, .waiters = {}, .holders = {}}),
                  "\ngpu_gate_"),
            1)
      << "that it works";
  device.health = Health::unreadable;
  device.accessible = false;
  EXPECT_EQ(metrics_page({.rows = {board_row(device)}, .waiters = {}, .holders = {}}), "");
}

TEST(MetricsText, TellsAnUnhealthyGpuFromOneInMigMode) {
  const std::pair<Health, const char*> known[] = {
      {Health::ok, "1"},         {Health::mig, "1"},
      {Health::lost, "0"},       {Health::reset_required, "0"},
      {Health::prohibited, "0"}, {Health::unreadable, "0"}};
  for (const auto& [health, told] : known) {
    Device device = card(0);
    device.health = health;
    EXPECT_EQ(
        sample_value(metrics_page({.rows = {board_row(device)}, .waiters = {}, .holders = {}}),
                     "gpu_healthy{gpu=\"0\",uuid=\"GPU-0\"}"),
        told);
  }
}

TEST(MetricsText, CountsAClaimAsOneAndAShareAsItsPart) {
  BoardClaim inside = metered_claim("alice");
  inside.inside = true;
  const Board board{
      .rows = {board_row(card(0), {metered_claim("alice"), inside}),
               board_row(card(1), {metered_claim("bob", 4607), metered_claim("carol", 9214),
                                   metered_claim("bob", 4607)})},
      .waiters = {},
      .holders = {{.uid = 1, .user = "alice", .held = 1000},
                  {.uid = 2, .user = "bob", .held = 200}}};
  const std::string text = metrics_page(board);
  EXPECT_EQ(sample_value(text, R"(gpu_claimed{gpu="0",uuid="GPU-0",user="alice"})"), "1");
  EXPECT_EQ(sample_value(text, R"(gpu_claimed{gpu="1",uuid="GPU-1",user="bob"})"), "0.2");
  EXPECT_EQ(sample_value(text, R"(gpu_claimed{gpu="1",uuid="GPU-1",user="carol"})"), "0.2");
  EXPECT_EQ(sample_value(text, R"(claimed_gpus{user="alice"})"), "1");
  EXPECT_EQ(sample_value(text, R"(claimed_gpus{user="bob"})"), "0.2");
}

TEST(MetricsText, SaysNothingOfAShareOfUnknownSize) {
  Device device;
  device.index = -1;
  device.uuid = "GPU-9";
  device.health = Health::unreadable;
  const Board board{.rows = {board_row(device, {metered_claim("alice", 4000)})},
                    .waiters = {},
                    .holders = {{.uid = 1000, .user = "alice", .held = 1000}},
                    .devices_read = false};
  EXPECT_EQ(metrics_page(board), "");
}

TEST(MetricsText, WithoutADriverStillTellsClaimsAndLine) {
  Device device;
  device.index = -1;
  device.uuid = "GPU-9";
  device.health = Health::unreadable;
  const Board board{.rows = {board_row(device, {metered_claim("alice")})},
                    .waiters = {metered_waiter("bob", 1, 60)},
                    .holders = {},
                    .devices_read = false};
  const std::string text = metrics_page(board);
  EXPECT_EQ(sample_value(text, R"(gpu_claimed{uuid="GPU-9",user="alice"})"), "1");
  EXPECT_EQ(sample_value(text, R"(waiting_requests{user="bob"})"), "1");
  EXPECT_FALSE(has(text, "healthy"));
}

TEST(MetricsText, SumsUpTheLineByUser) {
  const Board board{.rows = {board_row(card(0)), board_row(card(1))},
                    .waiters = {metered_waiter("bob", 2, 60), metered_waiter("carol", 1, 10),
                                metered_waiter("bob", 1, 3600)},
                    .holders = {}};
  const std::string text = metrics_page(board);
  EXPECT_EQ(sample_value(text, R"(waiting_requests{user="bob"})"), "2");
  EXPECT_EQ(sample_value(text, R"(waiting_gpus{user="bob"})"), "3");
  EXPECT_EQ(sample_value(text, R"(longest_wait_seconds{user="bob"})"), "3600");
  EXPECT_EQ(sample_value(text, R"(waiting_requests{user="carol"})"), "1");
}

TEST(MetricsText, CountsAWaiterForEveryDeviceByTheDevicesThereAre) {
  const Board board{.rows = {board_row(card(0)), board_row(card(1))},
                    .waiters = {metered_waiter("bob", kEveryDevice, 0)},
                    .holders = {}};
  EXPECT_EQ(sample_value(metrics_page(board), R"(waiting_gpus{user="bob"})"), "2");
}

TEST(MetricsText, SaysNothingOfATimeThatIsNoneAndNothingBelowZero) {
  Board board{.rows = {}, .waiters = {metered_waiter("bob", 1, -50)}, .holders = {}};
  EXPECT_EQ(sample_value(metrics_page(board), R"(longest_wait_seconds{user="bob"})"), "0");
  board.waiters[0].record.owner.since = 0;
  EXPECT_FALSE(has(metrics_page(board), "longest"));
}

TEST(MetricsText, KeepsHostileNamesInsideTheirLabel) {
  Device device = l40s(0);
  device.name = "A\"} 1\ngpu_gate_x{y=\"\\\xff\t";
  const Board board{
      .rows = {board_row(device)}, .waiters = {metered_waiter("b\nob\"", 1, 0)}, .holders = {}};
  const std::string text = metrics_page(board);
  EXPECT_TRUE(has(text, R"(name="A\"} 1\\ngpu_gate_x{y=\"\\\\xff\\t")")) << text;
  EXPECT_TRUE(has(text, R"({user="b\\nob\""} 1)")) << text;
  for (const std::string& line : lines_of(text)) {
    EXPECT_TRUE(line.starts_with("# ") || line.starts_with("gpu_gate_")) << line;
  }
}

}  // namespace
}  // namespace gpu_gate
