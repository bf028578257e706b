#include "cli/values.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include <cstdint>
#include <limits>

#include "cli/test_text.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr auto kForEver = seconds(1'000'000'000);

template <class Value>
std::string refusal(const Result<Value>& value) {
  EXPECT_FALSE(value);
  if (value) return "";
  EXPECT_EQ(value.error().kind, ErrorKind::usage);
  return value.error().text;
}

TEST(WholeNumber, IsDecimalDigits) {
  EXPECT_EQ(whole_number<int>("0"), 0);
  EXPECT_EQ(whole_number<int>("42"), 42);
  EXPECT_EQ(whole_number<int>("007"), 7) << "a leading zero is no sign of octal";
  EXPECT_EQ(whole_number<std::int64_t>("5000000000"), 5'000'000'000);
}

TEST(WholeNumber, HasNothingAroundIt) {
  for (const char* text : {"",   " ",   " 5",  "5 ",   "+1",  "1.5", "1,5", "0x10", "1e3", ".5",
                           "5.", "inf", "nan", "five", "5MB", "½",   "-",   "--1",  "\t5", "5\n"}) {
    EXPECT_TRUE(has(refusal(whole_number<int>(text)), "not a whole number")) << text;
  }
}

TEST(WholeNumber, IsNeverNegative) {
  for (const char* text : {"-1", "-0", "-99999999999999999999"}) {
    EXPECT_TRUE(has(refusal(whole_number<int>(text)), "less than 0")) << text;
    EXPECT_TRUE(has(refusal(whole_number<std::int64_t>(text, {.min = 1})), "less than 1")) << text;
  }
}

TEST(WholeNumber, KeepsItsBoundsBothIncluded) {
  const Bounds<int> bounds{.min = 1, .max = 100};
  EXPECT_EQ(whole_number<int>("1", bounds), 1);
  EXPECT_EQ(whole_number<int>("100", bounds), 100);
  EXPECT_TRUE(has(refusal(whole_number<int>("0", bounds)), "less than 1"));
  EXPECT_TRUE(has(refusal(whole_number<int>("101", bounds)), "more than 100"));
  EXPECT_TRUE(has(refusal(whole_number<int>("99999999999999999999", bounds)), "more than 100"));
}

TEST(WholeNumber, IsCutDownToWhatTheTypeHolds) {
  constexpr int kMaxInt = std::numeric_limits<int>::max();
  constexpr std::int64_t kMaxLong = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(whole_number<int>("2147483647"), kMaxInt);
  EXPECT_EQ(whole_number<int>("2147483648"), kMaxInt);
  EXPECT_EQ(whole_number<std::int64_t>("9223372036854775807"), kMaxLong);
  EXPECT_EQ(whole_number<std::int64_t>("9223372036854775808"), kMaxLong);
  EXPECT_EQ(whole_number<std::int64_t>(std::string(1000, '9')), kMaxLong);
}

TEST(WholeNumber, IsNotCutDownWhereMoreThanANumberIsThere) {
  EXPECT_TRUE(has(refusal(whole_number<int>("99999999999999999999x")), "not a whole number"));
}

TEST(TimeValue, TakesEachFormOfADecimalNumber) {
  EXPECT_EQ(time_value("0"), nanoseconds(0));
  EXPECT_EQ(time_value("5"), seconds(5));
  EXPECT_EQ(time_value("1.5"), milliseconds(1500));
  EXPECT_EQ(time_value(".5"), milliseconds(500));
  EXPECT_EQ(time_value("5."), seconds(5));
  EXPECT_EQ(time_value("1e3"), seconds(1000));
  EXPECT_EQ(time_value("1E3"), seconds(1000));
  EXPECT_EQ(time_value("25e-2"), milliseconds(250));
  EXPECT_EQ(time_value("1e+1"), seconds(10));
  EXPECT_EQ(time_value("007"), seconds(7));
  EXPECT_EQ(time_value("-0"), nanoseconds(0));
}

TEST(TimeValue, WithoutAUnitTakesForEverForThirtyYears) {
  for (const char* text : {"inf", "infinity", "1e300", "1e9999", "1000000000", "1000000001"}) {
    EXPECT_EQ(time_value(text), kForEver) << text;
  }
  EXPECT_LT(time_value("999999999").value(), kForEver);
}

TEST(TimeValue, TakesTheSmallestForNothing) {
  EXPECT_EQ(time_value("1e-300"), nanoseconds(0));
  EXPECT_EQ(time_value("1e-9999"), nanoseconds(0));
  EXPECT_EQ(time_value("0.000000001"), nanoseconds(1));
}

TEST(TimeValue, HasTheUnitAtItsEnd) {
  EXPECT_EQ(time_value("90"), seconds(90));
  EXPECT_EQ(time_value("90s"), seconds(90));
  EXPECT_EQ(time_value("45m"), seconds(45 * 60));
  EXPECT_EQ(time_value("2h"), seconds(2 * 3600));
  EXPECT_EQ(time_value("1d"), seconds(86400));
  EXPECT_EQ(time_value("500ms"), milliseconds(500));
  EXPECT_EQ(time_value("0.5s"), milliseconds(500));
  EXPECT_EQ(time_value("1e1m"), seconds(600));
  EXPECT_EQ(time_value(".5h"), seconds(1800));
  EXPECT_EQ(time_value("0d"), seconds(0));
}

TEST(TimeValue, TakesForEverForThirtyYears) {
  for (const char* text : {"inf", "infinity", "1e300d", "99999d", "1e9s"}) {
    EXPECT_EQ(time_value(text), kForEver) << text;
  }
}

TEST(TimeValue, AddsUpSeveralUnits) {
  EXPECT_EQ(time_value("1h30m"), seconds(5400));
  EXPECT_EQ(time_value("1d2h3m4s5ms"), milliseconds(93784005));
  EXPECT_EQ(time_value("1m500ms"), milliseconds(60500));
}

TEST(TimeValue, IsNumbersWithUnitsAndNothingElse) {
  for (const char* text :
       {"",     " ",    "s",      "m",      "5 s",     " 5s",  "5s ",   "5H",  "5M",
        "5w",   "1h30", "h1",     "ss",     "nan",     "nand", "0x1d",  "+5s", "1,5h",
        "5min", "--5s", "5.5.5s", "1h 30m", " 5",      "5 ",   "+1",    "1,5", "0x10",
        "-nan", "INF",  "1e",     "e5",     ".",       "-",    "--1",   "1-2", "1.2.3",
        "5\n",  "\t5",  "1_0",    "five",   "infinit", "infs", "1h-30m"}) {
    EXPECT_TRUE(has(refusal(time_value(text)), "not a time")) << text;
  }
}

TEST(TimeValue, IsNeverNegative) {
  for (const char* text : {"-1", "-.001", "-1e-3", "-1s", "-0.5h", "-1h30m", "-1e300d", "-inf"}) {
    EXPECT_TRUE(has(refusal(time_value(text)), "less than 0")) << text;
  }
}

TEST(SizeValue, IsInMibWithoutAUnit) {
  EXPECT_EQ(size_value("0"), 0);
  EXPECT_EQ(size_value("8000"), 8000);
  EXPECT_EQ(size_value("007"), 7);
}

TEST(SizeValue, TakesUnitsAsPowersOf1024InAnyCase) {
  for (const char* text :
       {"8G", "8g", "8GB", "8Gi", "8GiB", "8gib", "8192M", "8192MiB", "8388608K"}) {
    EXPECT_EQ(size_value(text), 8192) << text;
  }
  EXPECT_EQ(size_value("1T"), 1024 * 1024);
  EXPECT_EQ(size_value("7.5GiB"), 7680);
  EXPECT_EQ(size_value(".5G"), 512);
}

TEST(SizeValue, IsRoundedUpToWholeMib) {
  EXPECT_EQ(size_value("1K"), 1);
  EXPECT_EQ(size_value("1025K"), 2);
  EXPECT_EQ(size_value("1.5"), 2);
  EXPECT_EQ(size_value("0.001M"), 1);
  EXPECT_EQ(size_value("0.1G"), 103);
}

TEST(SizeValue, OfMoreThanAnyMachineHasIsForTheMachineToRefuse) {
  EXPECT_GT(size_value("99999999999999999999T").value(), 100'000'000'000'000);
}

TEST(SizeValue, IsANumberWithAUnitAndNothingElse) {
  for (const char* text :
       {"",   " ",   "G",   "8 G", " 8",  "8 ",  "8P",    "8B",    "8iB",  "8Gx",
        "+8", "0x8", "1e3", "inf", "nan", "1,5", "1.2.3", "8GiBB", "8G8M", "."}) {
    EXPECT_TRUE(has(refusal(size_value(text)), "not a size")) << text;
  }
}

TEST(SizeValue, IsNeverNegative) {
  for (const char* text : {"-1", "-5", "-8G", "-0.5"}) {
    EXPECT_TRUE(has(refusal(size_value(text)), "less than 0")) << text;
  }
}

TEST(Values, AreQuotedInTheirRefusalAsTheyWereWritten) {
  EXPECT_TRUE(has(refusal(whole_number<int>("1 x")), "'1 x'"));
  EXPECT_TRUE(has(refusal(time_value("soon")), "'soon'"));
  EXPECT_TRUE(has(refusal(time_value("2w")), "'2w'"));
}

TEST(ShellLine, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(shell_line(std::vector<std::string>{"run", "--only=0,1", "./a_b", "a b", "", "it's",
                                                "$X", "é"}),
            "run --only=0,1 ./a_b 'a b' '' 'it'\\''s' '$X' 'é'");
}

TEST(ShellLine, IsNothingWhereItCouldNotBePasted) {
  EXPECT_EQ(shell_line(std::vector<std::string>{"a\nb"}), std::nullopt);
  EXPECT_EQ(shell_line(std::vector<std::string>{"\xff"}), std::nullopt);
  EXPECT_EQ(shell_line(std::vector<std::string>{std::string(2000, 'x')}), std::nullopt);
}

TEST(Quoted, IsSafeForATerminal) {
  EXPECT_EQ(quoted(""), "''");
  EXPECT_EQ(quoted("a b"), "'a b'");
  EXPECT_EQ(quoted("\x1b[31m\n\xff"), "'\\x1b[31m\\n\\xff'");
}

/// As long as it lives, the local time is that of this zone.
class TimeZone {
 public:
  explicit TimeZone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
  TimeZone(const TimeZone&) = delete;
  TimeZone& operator=(const TimeZone&) = delete;
  ~TimeZone() {
    ::unsetenv("TZ");
    ::tzset();
  }
};

std::int64_t seconds_at(const std::string& text) {
  const Result<std::int64_t> moment = moment_value(text);
  if (!moment) ADD_FAILURE() << moment.error().text;
  return moment ? *moment / 1000 : 0;
}

TEST(MomentValue, OfADateIsThatOfTheLocalClock) {
  const TimeZone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(seconds_at("2026-11-27"), 1795734000);  // date -d 2026-11-27 +%s
  EXPECT_EQ(seconds_at("2026-07-01 12:30"), 1782901800);
}

TEST(MomentValue, OfATimeThatComesTwiceIsTheFirstAndOfOneThatIsSkippedTheNext) {
  const TimeZone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(seconds_at("2026-10-25 02:30"), 1792888200);  // 00:30 UTC
  EXPECT_EQ(seconds_at("2026-03-29 02:30"), 1774746000);  // 01:00 UTC, 03:00 there
  EXPECT_EQ(seconds_at("2026-10-26") - seconds_at("2026-10-25"), 25 * 3600);
}

TEST(MomentValue, OfADayThatBeginsLateIsItsBegin) {
  const TimeZone zone("<-03>3<-02>,M11.1.0/0,M2.3.0/0");  // as in Sao Paulo until 2019
  EXPECT_EQ(seconds_at("2018-11-04"), 1541300400);        // 03:00 UTC, 01:00 there
}

TEST(MomentValue, OfATimeIsSoLongAgo) {
  const std::int64_t hour = seconds_at("1h");
  const std::int64_t now = std::time(nullptr);
  EXPECT_LE(std::abs(now - 3600 - hour), 2);
  EXPECT_LE(std::abs(now - 7 * 86400 - seconds_at("7d")), 2);
}

TEST(MomentValue, WhatIsNeitherIsRefused) {
  for (const char* text : {"", "yesterday", "2026-02-30", "2026-13-01", "2026-11-27 24:00",
                           "2026-11-27 1:00", "2026-11-27T", "2026/11/27", "2026-11-27 12:00:00"}) {
    EXPECT_FALSE(moment_value(text)) << text;
  }
}

TEST(UserValue, IsANameOrANumber) {
  EXPECT_EQ(user_value("root").value(), 0U);
  EXPECT_EQ(user_value("54321").value(), 54321U);
  for (const char* text : {"", "no such user", "-1", "1x"}) EXPECT_FALSE(user_value(text)) << text;
}

}  // namespace
}  // namespace gpu_gate
