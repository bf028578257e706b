#include "cli/options.h"

#include <gtest/gtest.h>

#include <map>

#include "cli/cli.h"
#include "cli/tables.h"
#include "cli/test_text.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Words = std::vector<std::string>;

constexpr const char* kRightForm = "gpu-gate run [options] -- COMMAND [ARG ...]";

Options parsed(const Words& words) {
  Result<Options> options = parse_options(words);
  EXPECT_TRUE(options) << (options ? "" : options.error().text);
  return options ? *options : Options{};
}

/// The text with which these words are refused.
std::string refusal(const Words& words) {
  const Result<Options> options = parse_options(words);
  EXPECT_FALSE(options) << testing::PrintToString(words);
  if (options) return "";
  EXPECT_EQ(options.error().kind, ErrorKind::usage);
  EXPECT_EQ(options.error().text.find('\n'), std::string::npos) << options.error().text;
  return options.error().text;
}

/// "run WORDS -- true", or "wait WORDS".
Words call(const std::string& verb, const Words& words) {
  Words all{verb};
  all.insert(all.end(), words.begin(), words.end());
  if (verb == "run") all.insert(all.end(), {"--", "true"});
  return all;
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
  EXPECT_FALSE(options.json);
  EXPECT_FALSE(options.pid);
  EXPECT_FALSE(options.hold_for);
  EXPECT_FALSE(options.export_line);
}

TEST(Options, ReachTheirPlaces) {
  const Options options = parsed(
      {"hold",    "--min-free-mb", "8000", "--max-util", "7",  "--only",  "1,3-4", "--exclude",
       "GPU-3f",  "--poll",        "2",    "--timeout",  "9",  "--ids",   "uuid",  "--json",
       "--quiet", "--pid",         "77",   "--for",      "2m", "--export"});
  EXPECT_EQ(options.verb, Verb::hold);
  EXPECT_EQ(options.criteria.min_free_mib, 8000);
  EXPECT_EQ(options.criteria.max_util_pct, 7);
  ASSERT_TRUE(options.only);
  EXPECT_EQ(options.only->size(), 2U);
  EXPECT_EQ(options.exclude.size(), 1U);
  EXPECT_EQ(options.poll, seconds(2));
  EXPECT_EQ(options.timeout, seconds(9));
  EXPECT_EQ(options.ids, Ids::uuid);
  EXPECT_TRUE(options.json);
  EXPECT_TRUE(options.quiet);
  EXPECT_EQ(options.pid, 77);
  EXPECT_EQ(options.hold_for, seconds(120));
  EXPECT_TRUE(options.export_line);
}

TEST(Options, TakeEachForm) {
  for (const Words& words : {Words{"-n", "2"}, Words{"-n2"}, Words{"-n", "02"}, Words{"-qn2"},
                             Words{"-qn", "2"}, Words{"-qqn2"}, Words{"--count", "2"},
                             Words{"--count=2"}, Words{"-n", "2", "-q"}, Words{"-q", "-n2"}}) {
    for (const char* verb : {"run", "wait", "hold"}) {
      EXPECT_EQ(parsed(call(verb, words)).criteria.count, 2) << testing::PrintToString(words);
    }
  }
  for (const Words& words :
       {Words{"-q"}, Words{"--quiet"}, Words{"-qq"}, Words{"-qn1"}, Words{"-q", "--quiet"}}) {
    EXPECT_TRUE(parsed(call("run", words)).quiet) << testing::PrintToString(words);
  }
}

TEST(Options, CountAsTheyWereGivenLast) {
  EXPECT_EQ(parsed({"wait", "-n", "9", "-n", "2"}).criteria.count, 2);
  EXPECT_EQ(parsed({"wait", "--count=9", "-n2"}).criteria.count, 2);
  EXPECT_EQ(parsed({"wait", "-n", "x", "--count", "2"}).criteria.count, 2);
  EXPECT_EQ(parsed({"wait", "--only", "3", "--only", "1,2"}).only->size(), 2U);
  EXPECT_EQ(parsed({"wait", "--exclude", "3", "--exclude", "1,2"}).exclude.size(), 2U);
  EXPECT_EQ(parsed({"wait", "--ids", "uuid", "--ids", "index"}).ids, Ids::index);
  EXPECT_TRUE(has(refusal({"wait", "-n", "2", "-n", "x"}), "--count: 'x'"));
}

TEST(Options, MayHaveValuesThatLookLikeOptions) {
  EXPECT_TRUE(has(refusal(call("run", {"-n", "-q"})), "--count: '-q'"));
  EXPECT_TRUE(has(refusal(call("run", {"--count", "--help"})), "--count: '--help'"));
  EXPECT_TRUE(has(refusal(call("run", {"--count=2=3"})), "--count: '2=3'"));
  EXPECT_TRUE(has(refusal(call("run", {"-n=2"})), "--count: '=2'"));
  EXPECT_TRUE(has(refusal(call("run", {"-nq2"})), "--count: 'q2'"));
}

TEST(Options, NeverLookBehindTheSeparator) {
  const Words command{"-n",      "--help",    "--",       "",   "[a,b]", "{}",
                      "--bogus", "--version", "--quiet=", "\n", "-"};
  Words words{"run", "-q", "--"};
  words.insert(words.end(), command.begin(), command.end());
  EXPECT_EQ(parsed(words).command, command);
  EXPECT_EQ(parsed({"run", "--", "--", "--"}).command, (Words{"--", "--"}));
}

TEST(Options, ReadDurations) {
  EXPECT_EQ(parsed({"wait", "--poll", "0"}).poll, milliseconds(50));
  EXPECT_EQ(parsed({"wait", "--poll", "0.01"}).poll, milliseconds(50));
  EXPECT_EQ(parsed({"wait", "--poll", "0.25"}).poll, milliseconds(250));
  EXPECT_EQ(parsed({"wait", "--poll=1e3"}).poll, seconds(1000));
  EXPECT_EQ(parsed({"wait", "--timeout", "0"}).timeout, seconds(0));
  EXPECT_EQ(parsed({"wait", "--timeout", ".5"}).timeout, milliseconds(500));
  for (const char* for_ever : {"1e300", "inf", "infinity", "1000000000"}) {
    EXPECT_EQ(parsed({"wait", "--timeout", for_ever}).timeout, seconds(1000000000)) << for_ever;
  }
}

TEST(Options, ReadTimesWithUnits) {
  EXPECT_EQ(parsed({"hold", "--for", "90"}).hold_for, seconds(90));
  EXPECT_EQ(parsed({"hold", "--for", "90s"}).hold_for, seconds(90));
  EXPECT_EQ(parsed({"hold", "--for", "1.5m"}).hold_for, seconds(90));
  EXPECT_EQ(parsed({"hold", "--for", "2h"}).hold_for, seconds(7200));
  EXPECT_EQ(parsed({"hold", "--for", "1d"}).hold_for, seconds(86400));
  EXPECT_EQ(parsed({"hold", "--for", "1e300d"}).hold_for, seconds(1000000000));
}

TEST(Options, SaturateWhatIsTooLargeForAnyMachine) {
  const char* large = "99999999999999999999";
  EXPECT_GT(parsed({"wait", "-n", large}).criteria.count, 1000000);
  EXPECT_GT(parsed({"wait", "--min-free-mb", large}).criteria.min_free_mib, 1000000000);
  EXPECT_GT(parsed({"hold", "--pid", large}).pid, 1000000000);
}

// What is refused.

TEST(Refusals, SayWhatIsWrongWithTheValueAndWhatWouldDo) {
  const std::map<Words, std::string> texts{
      {{"--count", "x"},
       "run: --count: 'x' is not a whole number; write how many GPUs, 1 or more (for all of them, "
       "their number)"},
      {{"-n", "0"},
       "run: --count: '0' is less than 1; write how many GPUs, 1 or more (for all of them, "
       "their number)"},
      {{"-n-3"},
       "run: --count: '-3' is less than 1; write how many GPUs, 1 or more (for all of them, "
       "their number)"},
      {{"--min-free-mb", "8X"},
       "run: --min-free-mb: '8X' is not a size; write MiB, or a number and a unit (8000, 8000M, "
       "8G, "
       "7.5GiB)"},
      {{"--max-util", "150"},
       "run: --max-util: '150' is more than 100; write a number from 0 to 100"},
      {{"--max-util", "1.5"},
       "run: --max-util: '1.5' is not a whole number; write a number from 0 to 100"},
      {{"--poll", "soon"},
       "run: --poll: 'soon' is not a time; write seconds, or a number and a unit (90, 0.5s, "
       "500ms, 45m, 2h, 1h30m, 1d)"},
      {{"--timeout", "-1"},
       "run: --timeout: '-1' is less than 0; write seconds, or a number and a unit (90, 0.5s, "
       "500ms, 45m, 2h, 1h30m, 1d)"},
      {{"--ids", "name"}, "run: --ids: 'name' is not known; write index or uuid"},
      {{"--only", ""},
       "run: --only: the list is empty; write indices (2), ranges (0-3), instances (0:1, 0:*), "
       "UUIDs (GPU-3f2a...) or PCI addresses (0000:17:00.0), separated by commas"},
      {{"--only", "0,x"},
       "run: --only: 'x' in '0,x' is not a GPU; write indices (2), ranges (0-3), instances "
       "(0:1, 0:*), UUIDs (GPU-3f2a...) or PCI addresses (0000:17:00.0), separated by commas"},
      {{"-n"},
       "run: --count needs a value; write how many GPUs, 1 or more (for all of them, "
       "their number)"},
      {{"--quiet=yes"}, "run: --quiet takes no value"},
      {{"--cuont", "2"},
       "run: there is no option '--cuont'; did you mean --count? (see gpu-gate run --help)"},
      {{"-x"}, "run: there is no option '-x' (see gpu-gate run --help)"},
      {{"--json"},
       "run: '--json' is an option of wait, hold, status, queue, history and doctor (see gpu-gate "
       "run "
       "--help)"},
      {{"true"},
       std::string("run: 'true' is not an option; the command comes after `--`: ") + kRightForm},
  };
  for (const auto& [words, text] : texts) EXPECT_EQ(refusal(call("run", words)), text);
  EXPECT_EQ(refusal({"hold", "--for", "2w"}),
            "hold: --for: '2w' is not a time; write seconds, or a number and a unit (90, 0.5s, "
            "500ms, 45m, 2h, 1h30m, "
            "1d)");
  EXPECT_EQ(refusal({"hold", "--pid", "0"}), "hold: --pid: '0' is less than 1; write a process ID");
}

const std::map<std::string, Words> kBadValues{
    {"--count",
     {"", " ", "0", "00", "-1", "-0", "1.5", "0x10", "1e1", "two", "nan", "inf", "+1", "1 ", " 1",
      "1,2", "½", "-", "--"}},
    {"--min-free-mb",
     {"", " ", "-5", "-1", "8 G", "0x10", "8X", "8000PB", "nan", "inf", "1,000", "+1",
      "-99999999999999999999"}},
    {"--max-util",
     {"", " ", "-1", "101", "150", "1.5", "0x10", "%", "nan", "99999999999999999999"}},
    {"--only",
     {"1,,2",
      "0,",
      ",0",
      ",",
      "3-1",
      "a,b",
      "x",
      "-",
      "1-",
      "-1",
      "1-2-3",
      "0 1",
      "0;1",
      "0x1",
      "1.5",
      "all",
      "[0]",
      "{}",
      "*",
      "GPU-",
      "GPU-xyz",
      "MIG-xyz",
      "GPU-5e8f9d5a-0000-5000-8000-000000000000/1/0",
      "0:",
      "0:1-2",
      "17:00",
      "0000:zz:00.0",
      "0000:17:00"}},
    {"--exclude", {"x", "1,,2", "3-1", "-1", ",", "0:", "0.5", "nan"}},
    {"--poll",
     {"", " ", "nan", "-nan", "-1", "-0.5", "-inf", "0x10", "1w", "1,5", "soon", "1 ", "+1"}},
    {"--timeout", {"", " ", "nan", "-1", "-0.001", "-inf", "0x10", "10M", "1,5", "never", "0 0"}},
    {"--ids", {"", " ", "INDEX", "name", "pci", "uuids", "index,uuid", "0"}},
    {"--pid", {"", "0", "-1", "self", "1.5", "$$", "0x10"}},
    {"--for", {"", "h", "2w", "-1h", "1h30", "nan", "nand", "2 h", "2H", "-1", "1:30"}},
};

TEST(Refusals, NameTheOptionAndTheBadValue) {
  for (const auto& [option, values] : kBadValues) {
    for (const std::string& value : values) {
      if (value == "--") continue;  // the end of the options, unless it is attached
      const std::string text = refusal({"hold", option, value});
      EXPECT_TRUE(has(text, "hold: " + option + ": ")) << text;
      EXPECT_TRUE(has(text, "'" + value + "'")) << text;
      EXPECT_TRUE(has(text, "; write ")) << text;
    }
    for (const std::string& value : values) {
      if (value.empty()) continue;
      const std::string text = refusal({"hold", option + "=" + value});
      EXPECT_TRUE(has(text, option + ": ") && has(text, "'" + value + "'")) << text;
    }
  }
}

TEST(Refusals, OfAnEmptyListSayThatItIsEmpty) {
  for (const char* option : {"--only", "--exclude"}) {
    for (const char* value : {"", " ", "\t"}) {
      EXPECT_TRUE(
          has(refusal({"wait", option, value}), std::string(option) + ": the list is empty"));
    }
  }
}

TEST(Refusals, OfAMissingValueSayWhatWouldDo) {
  for (const OptionRow& option : option_rows()) {
    if (*option.value == '\0' || option.value_attached) continue;
    const std::string text = std::string(option.name) + " needs a value; write " + option.wanted;
    const std::string verb = verb_names(option).back();
    EXPECT_EQ(refusal({verb, option.name}), verb + ": " + text);
    EXPECT_EQ(refusal({verb, std::string(option.name) + "="}), verb + ": " + text);
    if (!belongs(option, Verb::run)) continue;
    EXPECT_EQ(refusal({"run", option.name, "--", "true"}), "run: " + text);
    EXPECT_EQ(refusal({"run", option.name}), "run: " + text);
  }
  EXPECT_EQ(refusal({"wait", "-qn"}),
            "wait: --count needs a value; write how many GPUs, 1 or more (for all of them, "
            "their number)");
}

TEST(Refusals, OfAValueThatMustBeAttachedSayHow) {
  EXPECT_TRUE(has(refusal({"status", "--watch", "2"}), "write --watch=2"));
  EXPECT_TRUE(has(refusal({"status", "--watch="}), "--watch needs a value"));
  EXPECT_TRUE(has(refusal({"status", "--watch", "now"}), "status takes no arguments"));
}

TEST(Watch, HasAnIntervalThatMayBeLeftOut) {
  EXPECT_EQ(parse_options({"status"})->watch, std::nullopt);
  EXPECT_EQ(parse_options({"status", "--watch"})->watch, seconds(1));
  EXPECT_EQ(parse_options({"status", "--watch=2m", "--json"})->watch, seconds(120));
  EXPECT_EQ(parse_options({"status", "--watch=0"})->watch, std::chrono::milliseconds(50));
}

TEST(Refusals, OfAValueForAFlag) {
  for (const Words& words :
       {Words{"run", "--quiet=yes", "--", "x"}, Words{"run", "-q=5", "--", "x"},
        Words{"run", "--quiet=", "--", "x"}, Words{"run", "-qq=", "--", "x"},
        Words{"wait", "--json=1"}, Words{"status", "--json=1"}, Words{"run", "--help=x"},
        Words{"hold", "-h=x"}}) {
    EXPECT_TRUE(has(refusal(words), " takes no value")) << testing::PrintToString(words);
  }
}

TEST(Refusals, OfAnUnknownOptionNameTheNearest) {
  const std::map<Words, std::string> meant{
      {{"run", "--cuont"}, "--count"},
      {{"run", "--counts"}, "--count"},
      {{"run", "--COUNT"}, "--count"},
      {{"run", "-count"}, "--count"},
      {{"run", "--count 2"}, "--count"},
      {{"run", "--cuont=2"}, "--count"},
      {{"run", "--min-free"}, "--min-free-mb"},
      {{"run", "--min_free_mb"}, "--min-free-mb"},
      {{"run", "--mem"}, "--min-free-mb"},
      {{"run", "--max-utill"}, "--max-util"},
      {{"run", "--onyl"}, "--only"},
      {{"run", "--exlude"}, "--exclude"},
      {{"run", "--timout"}, "--timeout"},
      {{"run", "--pol"}, "--poll"},
      {{"run", "--id"}, "--ids"},
      {{"run", "--quite"}, "--quiet"},
      {{"run", "--hepl"}, "--help"},
      {{"wait", "--jsno"}, "--json"},
      {{"wait", "--timeuot"}, "--timeout"},
      {{"status", "--jsn"}, "--json"},
      {{"hold", "--pdi"}, "--pid"},
  };
  for (const auto& [words, right] : meant) {
    const std::string text = refusal(call(words[0], {words[1]}));
    EXPECT_TRUE(has(text, "there is no option '" + words[1].substr(0, words[1].find('=')) + "'"))
        << text;
    EXPECT_TRUE(has(text, "did you mean " + right + "? (see gpu-gate " + words[0])) << text;
  }
}

TEST(Refusals, OfAnUnknownOptionNameNoneThatIsFar) {
  for (const char* word : {"-x", "---", "-5", "-=", "-=5", "--=x", "--bogus", "--é", "-½", "--1"}) {
    const std::string text = refusal(call("run", {word}));
    EXPECT_TRUE(has(text, "there is no option '")) << text;
    EXPECT_FALSE(has(text, "did you mean")) << text;
  }
  EXPECT_FALSE(has(refusal(call("run", {"--" + std::string(100000, 'x')})), "did you mean"));
}

TEST(Refusals, OfABundleNameTheLetterThatIsUnknown) {
  EXPECT_TRUE(has(refusal(call("run", {"-qx"})), "no option '-x'"));
  EXPECT_TRUE(has(refusal(call("run", {"-q2"})), "no option '-2'"));
  EXPECT_TRUE(has(refusal(call("run", {"-qé"})), "no option '-é'"));
  EXPECT_TRUE(has(refusal(call("run", {"-xq"})), "no option '-xq'"));
}

TEST(Options, TakeTheWordsForSrunOfEverySlurmArgs) {
  const Options options =
      parsed(call("run", {"--on", "slurm", "--slurm-args=-p  gpu", "--slurm-args", " -A lab\t"}));
  EXPECT_TRUE(options.on_slurm);
  EXPECT_EQ(options.slurm_args, (Words{"-p", "gpu", "-A", "lab"}));
  EXPECT_TRUE(
      has(refusal(call("run", {"--on", "pbs"})), "run: --on: 'pbs' is not known; write slurm"));
  EXPECT_TRUE(has(refusal(call("run", {"--on", "Slurm"})), "write --on slurm"));
  EXPECT_TRUE(has(refusal(call("run", {"--on=slurm", "--slurm-args=gpu"})),
                  "'gpu' does not begin with an option; write options of srun in quotes"));
  EXPECT_TRUE(has(refusal(call("wait", {"--slurm-args=-p gpu"})), "write --on slurm too"));
}

TEST(Refusals, OfAnOptionOfOthersSayWhose) {
  EXPECT_TRUE(
      has(refusal({"status", "--only", "1"}), "'--only' is an option of run, wait and hold"));
  EXPECT_TRUE(has(refusal({"status", "-n"}), "'-n' is an option of run, wait and hold"));
  EXPECT_TRUE(has(refusal({"status", "-q"}), "'-q' is an option of run, wait and hold"));
  EXPECT_TRUE(has(refusal({"wait", "--pid=1"}), "'--pid' is an option of hold"));
  EXPECT_TRUE(has(refusal({"hold", "--on", "slurm"}),
                  "'--on' is an option of run, wait and status; Slurm has salloc to hold GPUs"));
}

TEST(Refusals, OfWhatStatusHasForThisMachineAloneSayWhatWouldDo) {
  EXPECT_TRUE(has(refusal({"status", "--on", "slurm", "--watch"}),
                  "write watch -n 5 gpu-gate status --on slurm"));
  EXPECT_TRUE(has(refusal({"status", "--on", "slurm", "--metrics"}), "write --json"));
  EXPECT_TRUE(has(refusal({"status", "--on", "slurm", "--vendor", "amd"}), "leave it out"));
}

TEST(Refusals, OfAnUnknownSubcommandNameTheNearest) {
  const std::map<std::string, std::string> meant{
      {"rnu", "run"},   {"rum", "run"},   {"runn", "run"},       {"RUN", "run"},
      {"wiat", "wait"}, {"wayt", "wait"}, {"stat", "status"},    {"statsu", "status"},
      {"hlp", "help"},  {"hodl", "hold"}, {"--helpp", "--help"}, {"--vers", "--version"}};
  for (const auto& [word, right] : meant) {
    const std::string text = refusal({word, "--", "true"});
    EXPECT_TRUE(has(text, "'" + word + "'")) << text;
    EXPECT_TRUE(has(text, "did you mean " + right + "?")) << text;
  }
  for (const char* word : {"frobnicate", "nvidia-smi", "", "-", "a\nb", "true"}) {
    const std::string text = refusal({word, "--", "true"});
    EXPECT_TRUE(has(text, "there is no subcommand '") && !has(text, "did you mean")) << text;
    EXPECT_TRUE(has(
        text, "(run, wait, hold, status, queue, cancel, history or doctor; see gpu-gate --help)"))
        << text;
  }
}

TEST(Refusals, ShowTheWholeRightLineWhereThereIsACommand) {
  const std::map<Words, std::string> lines{
      {{"run", "echo", "-n", "5"}, "gpu-gate run -- echo -n 5"},
      {{"run", "-n", "2", "python", "train.py", "--lr=3"},
       "gpu-gate run -n 2 -- python train.py --lr=3"},
      {{"run", "-q", "--only", "0, 1", "./my job", "it's"},
       "gpu-gate run -q --only '0, 1' -- './my job' 'it'\\''s'"},
      {{"run", "{}"}, "gpu-gate run -- '{}'"},
      {{"run", "-n", "1", "-"}, "gpu-gate run -n 1 -- -"},
      {{"python", "train.py", ""}, "gpu-gate run -- python train.py ''"},
      {{"-n", "2", "python", "x"}, "gpu-gate run -n 2 -- python x"},
      {{"-n", "2", "--", "true"}, "gpu-gate run -n 2 -- true"},
      {{"--min-free-mb=8G", "--", "a", "--", "b"}, "gpu-gate run --min-free-mb=8G -- a -- b"},
      {{"--", "true"}, "gpu-gate run -- true"},
  };
  for (const auto& [words, line] : lines) {
    EXPECT_TRUE(refusal(words).ends_with(line)) << refusal(words);
  }
}

TEST(Refusals, OfAWordOfOtherProgramsNameOurOptionWithTheValue) {
  const std::map<Words, std::string> lines{
      {{"--gpus", "2"}, "did you mean --count? Write --count 2"},
      {{"--gpus=2"}, "did you mean --count? Write --count 2"},
      {{"--gpus", "0,1"}, "did you mean --only? Write --only 0,1"},
      {{"--gpus", "all"}, "did you mean --count? (see"},
      {{"--gpus"}, "did you mean --count? (see"},
      {{"--num_gpus", "2"}, "did you mean --count? Write --count 2"},
      {{"--gpu", "0"}, "did you mean --only? Write --only 0"},
      {{"--gpu-index", "1"}, "did you mean --only? Write --only 1"},
      {{"--device", "GPU-1"}, "did you mean --only? Write --only GPU-1"},
      {{"--mem", "8G"}, "did you mean --min-free-mb? Write --min-free-mb 8G"},
      {{"--memory=8GiB"}, "did you mean --min-free-mb? Write --min-free-mb 8GiB"},
      {{"--silent", "-n2"}, "did you mean --quiet? (see"},
  };
  for (const auto& [words, line] : lines) {
    EXPECT_TRUE(has(refusal(call("run", words)), line)) << refusal(call("run", words));
  }
  EXPECT_FALSE(has(refusal({"status", "--gpus", "2"}), "did you mean --count"));
}

TEST(Refusals, ShowTheRightFormWhereThereIsNoCommand) {
  for (const Words& words :
       {Words{"run", ""}, Words{"run", "--only", "0", "1"}, Words{"run", "true", "--", "true"},
        Words{"run"}, Words{"run", "-q"}, Words{"run", "--"}, Words{"run", "-n", "2", "--"},
        Words{"-n", "2", "--"}, Words{"--min-free-mb", "8000"}, Words{"run", "a\nb"}, Words{},
        Words{"wait", "--"}}) {
    EXPECT_TRUE(has(refusal(words), kRightForm)) << testing::PrintToString(words);
  }
}

TEST(Refusals, OfArguments) {
  EXPECT_EQ(
      refusal({"wait", "-n", "2", "true", "x"}),
      "wait: takes no command; to run one when a GPU is free, write gpu-gate run -n 2 -- true x");
  EXPECT_EQ(refusal({"status", "0"}), "status: '0' is not an option; status takes no arguments");
  EXPECT_EQ(refusal({"wait", "--json", "1"}),
            "wait: '1' is not an option; wait takes no arguments");
  EXPECT_EQ(
      refusal({"wait", "-n2", "--", "true"}),
      "wait: takes no command; to run one when a GPU is free, write gpu-gate run -n2 -- true");
}

TEST(Options, OfCancelArePids) {
  EXPECT_TRUE(parsed({"cancel"}).pids.empty());
  EXPECT_EQ(parsed({"cancel", "7", "42"}).pids, (std::vector<pid_t>{7, 42}));
  for (const char* word : {"all", "0", "", "1.5", "7,42"}) {
    EXPECT_TRUE(has(refusal({"cancel", word}), std::string("'") + word + "' is not a process ID"));
  }
  EXPECT_TRUE(has(refusal({"cancel", "-n", "7"}), "'-n' is an option of run, wait and hold"));
}

TEST(Refusals, SpeakOfTheFirstFault) {
  EXPECT_TRUE(has(refusal(call("run", {"--bogus", "-y"})), "'--bogus'"));
  EXPECT_TRUE(has(refusal(call("run", {"-n", "x", "--poll", "y"})), "'x'"));
  EXPECT_TRUE(has(refusal(call("run", {"--poll", "y", "-n", "x"})), "'y'"));
}

TEST(Refusals, ShowNoControlCharacters) {
  for (const Words& words :
       {Words{"run", "-n", "1\n2", "--", "true"}, Words{"run", "--only", "a\nb", "--", "true"},
        Words{"run", "--a\nb", "--", "true"}, Words{"run", "a\nb"}, Words{"a\nb"}, Words{"-\n"},
        Words{"run", "--ids", "\x1b[31mred", "--", "true"}, Words{"run", "-\x07", "--", "true"},
        Words{"run", "--\x1b]0;title\x07", "--", "true"}, Words{"wait", "-n", "\xff\xfe"}}) {
    const std::string text = refusal(words);
    EXPECT_TRUE(std::none_of(text.begin(), text.end(), [](unsigned char c) {
      return c < 0x20 || c == 0x7F || c == 0xFF;
    })) << text;
  }
}

TEST(Refusals, OfWordsOfAWebPageShowThoseOfAKeyboard) {
  const std::map<Words, std::string> lines{
      {{"run", "–n", "2", "--", "x"}, "gpu-gate run -n 2 -- x"},
      {{"run", "–n2", "--", "x", "–y"}, "gpu-gate run -n2 -- x '–y'"},
      {{"run", "—count", "2", "--", "x"}, "gpu-gate run --count 2 -- x"},
      {{"run", "−−count=2", "--", "x"}, "gpu-gate run --count=2 -- x"},
      {{"run", "-n", "2", "–", "python", "x"}, "gpu-gate run -n 2 -- python x"},
      {{"run", "-n", "2", "——", "python", "x"}, "gpu-gate run -n 2 -- python x"},
      {{"run", "–n", "2", "python", "x"}, "gpu-gate run -n 2 -- python x"},
      {{"run", "-n", "“2”", "--", "x"}, "gpu-gate run -n 2 -- x"},
      {{"run", "--only", "“0,", "1”", "--", "x"}, "gpu-gate run --only '0, 1' -- x"},
      {{"run", "--min–free–mb", "8G", "--", "x"}, "gpu-gate run --min-free-mb 8G -- x"},
      {{"–n", "2", "python", "x"}, "gpu-gate run -n 2 -- python x"},
      {{"run", "--only", "0–3", "--", "x"}, "write --only 0-3"},
  };
  for (const auto& [words, line] : lines) {
    EXPECT_TRUE(refusal(words).ends_with(line)) << refusal(words);
  }
  EXPECT_EQ(parsed({"run", "--note", "“a – b”", "--", "–x"}).note, "“a – b”");
}

TEST(Refusals, QuoteNoValueTwice) {
  for (const Words& words :
       {Words{"run", "{}"}, Words{"{}", "x"}, Words{"run", "--gpus", "0, 1"}, Words{"wait", "{}"},
        Words{"run", "--only", "0 1", "--", "x"}, Words{"run", "--only", "a b", "--", "x"},
        Words{"run", "my prog"}, Words{"my prog", "x"}}) {
    const std::string text = refusal(words);
    for (std::size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at)) {
      const std::size_t end = text.find('\'', at + 1);
      ASSERT_NE(end, std::string::npos) << text;
      const std::string value = text.substr(at, end + 1 - at);
      EXPECT_TRUE(value == "''" || times(text, value) == 1) << value << " in " << text;
      at = end + 1;
    }
  }
}

// Help.

TEST(Help, IsAskedForInEachForm) {
  for (const Words& words : {Words{"--help"}, Words{"-h"}, Words{"help"}, Words{"help", ""},
                             Words{"help", "help"}, Words{"help", "--count"}}) {
    EXPECT_EQ(parsed(words).verb, Verb::help);
    EXPECT_TRUE(parsed(words).help_topic.empty() || parsed(words).help_topic == "help");
  }
  for (const Words& words : {Words{"help", "run"}, Words{"--help", "run"}, Words{"run", "--help"},
                             Words{"run", "-h"}, Words{"run", "help"}, Words{"run", "-qh"},
                             Words{"run", "-n", "2", "-h"}, Words{"run", "--help", "--", "true"}}) {
    EXPECT_EQ(parsed(words).verb, Verb::help) << testing::PrintToString(words);
    EXPECT_EQ(parsed(words).help_topic, "run");
  }
  for (const char* word : {"--version", "-V", "version"}) {
    EXPECT_EQ(parsed({word}).verb, Verb::version);
  }
}

TEST(Help, IsGivenWhateverElseIsWrong) {
  for (const Words& words : {Words{"wait", "--bogus", "--help"}, Words{"wait", "x", "-h"},
                             Words{"wait", "-n", "x", "--help"}, Words{"wait", "--help", "-n"}}) {
    EXPECT_EQ(parsed(words).verb, Verb::help) << testing::PrintToString(words);
  }
}

TEST(Help, FitsATerminal) {
  for (const VerbRow& verb : verb_rows()) {
    std::string text = help_text(verb.name);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      EXPECT_LE(end - at, 80U) << text.substr(at, end - at);
      at = end + 1;
    }
  }
}

TEST(Help, NamesEverySubcommand) {
  for (const VerbRow& verb : verb_rows()) {
    EXPECT_TRUE(has(help_text(""), std::string("gpu-gate ") + verb.name)) << verb.name;
  }
}

TEST(Help, OfASubcommandHasItsOptionsAndNoOthers) {
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    const std::string text = help_text(verb.name);
    for (const OptionRow& option : option_rows()) {
      const std::string letter(option.letter == '\0' ? "    "
                                                     : std::string("-") + option.letter + ", ");
      EXPECT_EQ(has(text, "\n  " + letter + written(option) + " "), belongs(option, verb.verb))
          << verb.name << " " << option.name;
    }
  }
}

// The tables.

TEST(OptionTable, HasCompleteRows) {
  for (const OptionRow& option : option_rows()) {
    EXPECT_TRUE(std::string(option.name).starts_with("--")) << option.name;
    EXPECT_NE(option.verbs, 0U) << option.name;
    EXPECT_NE(*option.summary, '\0') << option.name;
    EXPECT_EQ(*option.value == '\0', *option.wanted == '\0') << option.name;
    EXPECT_EQ(option.read == nullptr, std::string(option.name) == "--help") << option.name;
  }
}

TEST(OptionTable, HasNoNameTwice) {
  std::map<std::string, int> times;
  for (const OptionRow& option : option_rows()) {
    ++times[option.name];
    if (option.letter != '\0') ++times[std::string("-") + option.letter];
  }
  for (const auto& [name, number] : times) EXPECT_EQ(number, 1) << name;
}

TEST(OptionTable, TellsTheDefaultsThatTheOptionsHave) {
  for (const OptionRow& option : option_rows()) {
    if (*option.fallback == '\0') continue;
    Options options;
    if (!option.read(options, option.fallback)) {
      EXPECT_STREQ(option.fallback, "never");
      continue;
    }
    EXPECT_EQ(options.criteria.count, Options().criteria.count);
    EXPECT_EQ(options.poll, Options().poll);
    EXPECT_EQ(options.ids, Options().ids);
  }
}

TEST(OptionTable, KnowsTheOptionsOfEachSubcommand) {
  EXPECT_STREQ(find_option(Verb::run, "-n")->name, "--count");
  EXPECT_STREQ(find_option(Verb::hold, "--pid")->name, "--pid");
  for (const char* name : {"--json", "--pid", "--for", "-x", "", "-", "--", "count", "--coun"}) {
    EXPECT_EQ(find_option(Verb::run, name), nullptr) << name;
  }
  EXPECT_EQ(find_option(Verb::help, "--help"), nullptr);
}

}  // namespace
}  // namespace gpu_gate
