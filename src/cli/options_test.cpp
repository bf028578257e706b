#include "cli/options.h"

#include <gtest/gtest.h>

#include "cli/cli.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Words = std::vector<std::string>;

Options parsed(const Words& words) {
  Result<Options> options = parse_options(words);
  EXPECT_TRUE(options) << (options ? "" : options.error().text);
  return options ? *options : Options{};
}

TEST(Options, HaveTheDefaultsOfTheManual) {
  const Options options = parsed({"run", "--", "true"});
  EXPECT_EQ(options.verb, Verb::run);
  EXPECT_EQ(options.criteria.count, 1);
  EXPECT_FALSE(options.criteria.min_free_mib);
  EXPECT_FALSE(options.criteria.max_util_pct);
  EXPECT_FALSE(options.only);
  EXPECT_TRUE(options.exclude.empty());
  EXPECT_EQ(options.poll, seconds(5));
  EXPECT_FALSE(options.timeout);
  EXPECT_EQ(options.ids, Ids::index);
  EXPECT_FALSE(options.quiet);
}

TEST(Options, TakeEachForm) {
  for (const Words& words :
       {Words{"run", "-n", "2", "--", "x"}, Words{"run", "-n2", "--", "x"},
        Words{"run", "--count", "2", "--", "x"}, Words{"run", "--count=2", "--", "x"},
        Words{"run", "-n", "9", "-n", "2", "--", "x"}}) {
    EXPECT_EQ(parsed(words).criteria.count, 2);
  }
}

TEST(Options, NeverLookBehindTheSeparator) {
  const Words command{"-n", "--help", "--", "", "[a,b]", "{}", "--bogus"};
  Words words{"run", "-q", "--"};
  words.insert(words.end(), command.begin(), command.end());
  EXPECT_EQ(parsed(words).command, command);
}

TEST(Options, ReadDurations) {
  EXPECT_EQ(parsed({"run", "--poll", "0", "--", "x"}).poll, milliseconds(50));
  EXPECT_EQ(parsed({"run", "--poll", "0.25", "--", "x"}).poll, milliseconds(250));
  EXPECT_EQ(parsed({"run", "--timeout", "0", "--", "x"}).timeout, seconds(0));
  EXPECT_EQ(parsed({"run", "--timeout", "1e300", "--", "x"}).timeout, seconds(1000000000));
  EXPECT_EQ(parsed({"run", "--timeout", "inf", "--", "x"}).timeout, seconds(1000000000));
}

TEST(Options, SaturateWhatIsTooLargeForAnyMachine) {
  EXPECT_GT(parsed({"run", "-n", "99999999999999999999", "--", "x"}).criteria.count, 1000000);
  EXPECT_GT(
      parsed({"run", "--min-free-mb", "99999999999999999999", "--", "x"}).criteria.min_free_mib,
      1000000000);
}

TEST(Options, NameTheOptionTheValueAndWhatWouldDo) {
  const Result<Options> options = parse_options({"run", "--max-util", "150", "--", "x"});
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().kind, ErrorKind::usage);
  EXPECT_EQ(options.error().text,
            "run: --max-util: '150' will not do; write a whole number of percent, 0 to 100");
}

TEST(Options, NameTheNearestWhenUnknown) {
  EXPECT_NE(parse_options({"run", "--min-free", "1", "--", "x"}).error().text.find("--min-free-mb"),
            std::string::npos);
  EXPECT_NE(parse_options({"rum", "--", "x"}).error().text.find("nearest is run"),
            std::string::npos);
}

TEST(Options, ReadTimesWithUnits) {
  EXPECT_EQ(parsed({"hold", "--for", "90"}).hold_for, seconds(90));
  EXPECT_EQ(parsed({"hold", "--for", "90s"}).hold_for, seconds(90));
  EXPECT_EQ(parsed({"hold", "--for", "1.5m"}).hold_for, seconds(90));
  EXPECT_EQ(parsed({"hold", "--for", "2h"}).hold_for, seconds(7200));
  EXPECT_EQ(parsed({"hold", "--for", "1d"}).hold_for, seconds(86400));
  EXPECT_EQ(parsed({"hold", "--for", "1e300d"}).hold_for, seconds(1000000000));
  for (const char* bad : {"", "h", "2w", "-1h", "1h30m", "nan", "nand", "2 h"}) {
    EXPECT_FALSE(parse_options({"hold", "--for", bad})) << bad;
  }
}

TEST(Help, NamesEveryOption) {
  for (const char* option : {"-n, --count", "--min-free-mb", "--max-util", "--only", "--exclude",
                             "--poll", "--timeout", "--ids", "-q, --quiet", "-h, --help"}) {
    EXPECT_NE(help_text("run").find(option), std::string::npos) << option;
    EXPECT_NE(help_text("wait").find(option), std::string::npos) << option;
  }
  for (const char* option : {"--pid", "--for", "--json", "-n, --count", "--timeout"}) {
    EXPECT_NE(help_text("hold").find(option), std::string::npos) << option;
  }
  EXPECT_NE(help_text("wait").find("--json"), std::string::npos);
  EXPECT_NE(help_text("status").find("--json"), std::string::npos);
}

TEST(Help, FitsATerminal) {
  for (const char* topic : {"", "run", "wait", "hold", "status"}) {
    std::string text = help_text(topic);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      EXPECT_LE(end - at, 96U) << text.substr(at, end - at);
      at = end + 1;
    }
  }
}

}  // namespace
}  // namespace gpu_gate
