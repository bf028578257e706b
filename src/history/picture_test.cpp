#include "history/picture.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace gpu_gate {
namespace {

constexpr std::int64_t kPictureHour = 3'600'000;

class PictureTest : public testing::Test {
 protected:
  PictureTest() { set_zone("UTC"); }
  ~PictureTest() override {
    ::unsetenv("TZ");
    ::tzset();
  }

  static void set_zone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }

  PastClaim& add(uid_t uid, std::int64_t from_h, std::optional<std::int64_t> to_h,
                 const std::string& label = "0") {
    PastClaim claim;
    claim.entry.uid = uid;
    claim.entry.claim = claims_.size() + 1;
    claim.entry.begin_ms = from_h * kPictureHour;
    if (to_h) claim.entry.end_ms = *to_h * kPictureHour;
    claim.entry.command = "python";
    claim.entry.pid = 4242;
    claim.entry.devices = {{.uuid = "GPU-" + label, .label = label, .name = "L40S", .pci = ""}};
    claims_.push_back(claim);
    return claims_.back();
  }

  std::string svg(std::int64_t to_h = 100) const {
    return picture_svg({.span = {.from_ms = 0, .to_ms = to_h * kPictureHour},
                        .now_ms = to_h * kPictureHour,
                        .claims = claims_,
                        .all = claims_,
                        .user_name = [](uid_t uid) { return "user" + std::to_string(uid); }});
  }

  static std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  }

  std::vector<PastClaim> claims_;
};

TEST_F(PictureTest, HasABarForEachClaimWithItsFactsInTheTitle) {
  PastClaim& first = add(1, 10, 20);
  first.entry.waited_ms = 2 * kPictureHour;
  first.entry.share_mib = 8000;
  add(2, 30, {}, "1");
  const std::string text = svg();
  EXPECT_EQ(count(text, "<rect class=\"bar "), 2U);
  EXPECT_EQ(count(text, "<rect class=\"wait "), 1U);
  EXPECT_NE(text.find("<title>user1: python (pid 4242)\nGPU 0  L40S, a share of 8000 MiB\nfrom "
                      "1970-01-01 10:00 to 1970-01-01 20:00 (10h)\nwaited 2h</title>"),
            std::string::npos);
  EXPECT_NE(text.find("from 1970-01-02 06:00 on, for 70h so far</title>"), std::string::npos);
  EXPECT_EQ(count(text, "<script"), 0U);
  EXPECT_NE(text.find("prefers-color-scheme:dark"), std::string::npos);
}

TEST_F(PictureTest, SaysOfAnEndThatNobodyWroteDownThatItIsTheLatest) {
  add(1, 10, 20).at_latest = true;
  const std::string text = svg();
  EXPECT_EQ(count(text, "class=\"bar u0 open\""), 1U);
  EXPECT_NE(text.find("to at the latest 1970-01-01 20:00"), std::string::npos);
}

TEST_F(PictureTest, LeavesNothingOfWhatOthersWroteToTheReaderOfTheXml) {
  PastClaim& claim = add(1, 10, 20);
  claim.entry.command = "</title><script>alert(1)</script>&\"\x1b\xEF\xBF\xBF";
  claim.entry.devices[0].label = "<b>";
  const std::string text = svg();
  EXPECT_EQ(count(text, "<script"), 0U);
  EXPECT_EQ(count(text, "<b>"), 0U);
  EXPECT_NE(text.find("&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;\\x1b?"),
            std::string::npos);
}

TEST_F(PictureTest, ClaimsThatShareAGpuStandOneAboveTheOther) {
  add(1, 10, 20);
  add(2, 15, 30);
  add(1, 20, 40);
  const std::string text = svg();
  EXPECT_EQ(count(text, "height=\"12\"><title>"), 3U) << "half the height of a row each";
}

TEST_F(PictureTest, WhatIsInsideAnotherClaimIsNotDrawnTwice) {
  add(1, 10, 20);
  add(1, 12, 14).inside = true;
  EXPECT_EQ(count(svg(), "<rect class=\"bar "), 1U);
}

TEST_F(PictureTest, UsersBeyondTheColoursHaveStripes) {
  for (uid_t uid = 0; uid < 9; ++uid) add(uid, 10 + uid, 11 + uid);
  const std::string text = svg();
  EXPECT_EQ(count(text, "<pattern "), 2U);
  EXPECT_EQ(count(text, ".u7{fill:url(#p7)}"), 1U);
  EXPECT_EQ(count(text, ".u6{fill:#"), 2U) << "for light and for dark";
}

TEST_F(PictureTest, TicksAreRoundTimesOfTheLocalClockAlsoWhereItIsPutForward) {
  set_zone("XST-1XDT,M1.1.5/2,M10.5.0/3");  // Friday 1970-01-02 at 02:00
  const std::string text = svg(48);
  EXPECT_EQ(count(text, ">06:00</text>"), 2U);
  EXPECT_EQ(count(text, ">Fri 01-02</text>"), 1U);
  EXPECT_EQ(count(text, ">05:00</text>") + count(text, ">07:00</text>"), 0U);
}

TEST_F(PictureTest, HasAFewTicksWhateverTheSpan) {
  for (const std::int64_t hours : {1, 5, 24, 100, 24 * 7, 24 * 60, 24 * 365, 24 * 3650}) {
    const std::size_t ticks = count(svg(hours), "class=\"tick\"");
    EXPECT_GE(ticks, 4U) << hours;
    EXPECT_LE(ticks, 15U) << hours;
  }
}

TEST_F(PictureTest, SaysThatThereIsNothing) { EXPECT_EQ(count(svg(), ">no claims</text>"), 1U); }

}  // namespace
}  // namespace gpu_gate
