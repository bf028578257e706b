#include "cli/history_text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace gpu_gate {
namespace {

constexpr std::int64_t kHour = 3'600'000;

class HistoryTextTest : public testing::Test {
 protected:
  HistoryTextTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  ~HistoryTextTest() override {
    ::unsetenv("TZ");
    ::tzset();
  }

  PastClaim& add(uid_t uid, std::int64_t from_h, std::optional<std::int64_t> to_h,
                 const std::vector<std::string>& labels) {
    PastClaim claim;
    claim.entry.uid = uid;
    claim.entry.claim = view_.all.size() + 1;
    claim.entry.begin_ms = from_h * kHour;
    if (to_h) claim.entry.end_ms = *to_h * kHour;
    claim.entry.pid = 4242;
    claim.entry.command = "python";
    for (const std::string& label : labels) {
      claim.entry.devices.push_back(
          {.uuid = "GPU-" + label, .label = label, .name = "L40S", .pci = ""});
    }
    view_.all.push_back(claim);
    view_.claims.push_back(claim);
    return view_.claims.back();
  }

  HistoryView view_{.span = {.from_ms = 0, .to_ms = 100 * kHour},
                    .now_ms = 100 * kHour,
                    .claims = {},
                    .all = {},
                    .user_name = [](uid_t uid) { return uid == 1 ? "alice" : "b\x1bob"; }};
};

TEST_F(HistoryTextTest, SaysHowMuchEachUserHadAndHowBusyEachGpuWas) {
  add(1, 0, 50, {"0", "1"});
  add(2, 50, {}, {"1"}).entry.waited_ms = 2 * kHour;
  EXPECT_EQ(history_text(view_),
            "1970-01-01 00:00 to 1970-01-05 04:00: 2 GPUs\n"
            "  user     GPU hours  jobs  median wait  of the machine\n"
            "  alice        100.0     1           0s             50%\n"
            "  b\\x1bob       50.0     1           2h             25%\n"
            "\n"
            "  GPU  name  busy\n"
            "    0  L40S   50%\n"
            "    1  L40S  100%\n");
}

TEST_F(HistoryTextTest, SaysThatThereIsNothing) {
  EXPECT_EQ(history_text(view_), "1970-01-01 00:00 to 1970-01-05 04:00: no claims\n");
}

TEST_F(HistoryTextTest, HasALineForEachClaim) {
  PastClaim& first = add(1, 1, 2, {"0", "1:3"});
  first.at_latest = true;
  first.entry.share_mib = 8000;
  first.entry.note = "n\n";
  add(2, 98, {}, {"1"}).inside = true;
  const std::string text = history_jobs_text(view_, {});
  EXPECT_EQ(
      text,
      "  from                               to  lasted  waited  GPUs   user         command\n"
      "  1970-01-01 01:00  <= 1970-01-01 02:00   <= 1h      0s  0,1:3  alice (n\\n)  python (pid "
      "4242, shares 8000 MiB)\n"
      "  1970-01-05 02:00          still lasts      2h      0s  1      b\\x1bob      python (pid "
      "4242, inside another claim)\n");
  EXPECT_EQ(history_jobs_text(view_, 40).find('\n'), 40U);
}

}  // namespace
}  // namespace gpu_gate
