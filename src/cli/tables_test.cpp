#include "cli/tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace gpu_gate {
namespace {

bool is_empty(const char* text) { return *text == '\0'; }

/// A value that each option reads.
std::string good_value(const OptionRow& option) {
  const std::string name = option.name;
  if (name == "--ids") return "uuid";
  if (name == "--vendor") return "amd";
  if (name == "--user") return "0";
  if (name == "--on") return "slurm";
  if (name == "--slurm-args") return "-p gpu";
  return is_empty(option.value) ? "" : "1";
}

TEST(VerbSet, HasABitForEachVerb) {
  EXPECT_EQ(verb_set({}), 0U);
  EXPECT_EQ(verb_set({Verb::run, Verb::run}), verb_set({Verb::run}));
  std::set<VerbSet> bits;
  for (const Verb verb :
       {Verb::run, Verb::wait, Verb::hold, Verb::status, Verb::help, Verb::version}) {
    bits.insert(verb_set({verb}));
  }
  EXPECT_EQ(bits.size(), 6U);
  EXPECT_EQ(verb_set({Verb::run, Verb::hold}), verb_set({Verb::run}) | verb_set({Verb::hold}));
}

TEST(VerbTable, HasCompleteRows) {
  for (const VerbRow& verb : verb_rows()) {
    EXPECT_FALSE(is_empty(verb.name));
    EXPECT_FALSE(is_empty(verb.synopsis)) << verb.name;
    EXPECT_FALSE(is_empty(verb.purpose)) << verb.name;
    if (verb.verb == Verb::help) continue;
    EXPECT_FALSE(is_empty(verb.help)) << verb.name;
    EXPECT_FALSE(is_empty(verb.details)) << verb.name;
  }
}

TEST(VerbTable, HasNoSubcommandTwice) {
  std::set<std::string> names;
  std::set<Verb> verbs;
  for (const VerbRow& verb : verb_rows()) {
    EXPECT_TRUE(names.insert(verb.name).second) << verb.name;
    EXPECT_TRUE(verbs.insert(verb.verb).second) << verb.name;
  }
}

TEST(VerbTable, IsFoundByTheWholeNameOnly) {
  for (const VerbRow& verb : verb_rows()) EXPECT_EQ(find_verb(verb.name), &verb);
  for (const char* name : {"", "ru", "runs", "RUN", " run", "--help", "version"}) {
    EXPECT_EQ(find_verb(name), nullptr) << name;
  }
}

TEST(VerbTable, SaysOfEachSubcommandThatTakesOptionsThatItDoes) {
  for (const VerbRow& verb : verb_rows()) {
    const auto rows = option_rows();
    const bool has_flag = std::any_of(rows.begin(), rows.end(), [&](const OptionRow& option) {
      return belongs(option, verb.verb);
    });
    EXPECT_EQ(std::string(verb.synopsis).starts_with("[options]") ||
                  std::string(verb.synopsis).starts_with("[--") || verb.takes_pids,
              has_flag)
        << verb.name;
  }
}

TEST(GroupTable, HasATitleForEachGroupThatAnOptionIsIn) {
  std::set<Group> titled;
  for (const GroupRow& group : group_rows()) {
    EXPECT_FALSE(is_empty(group.title));
    EXPECT_TRUE(titled.insert(group.group).second) << group.title << " is there twice";
  }
  for (const OptionRow& option : option_rows()) {
    EXPECT_TRUE(titled.contains(option.group)) << option.name << " would be missing in --help";
  }
}

TEST(OptionTable, HasHelpForEverySubcommandThatHasOptions) {
  for (const VerbRow& verb : verb_rows()) {
    EXPECT_EQ(find_option(verb.verb, "--help") != nullptr, verb.verb != Verb::help) << verb.name;
    EXPECT_EQ(find_option(verb.verb, "-h"), find_option(verb.verb, "--help")) << verb.name;
  }
}

TEST(OptionTable, HasNamesThatCanBeTypedAndCompleted) {
  for (const OptionRow& option : option_rows()) {
    const std::string name = option.name;
    EXPECT_EQ(name.substr(2).find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string::npos)
        << name;
    EXPECT_NE(name.find_first_not_of('-', 2), std::string::npos) << name;
    EXPECT_TRUE(option.letter == '\0' || (option.letter >= 'a' && option.letter <= 'z')) << name;
  }
}

TEST(OptionTable, BelongsToSubcommandsOnly) {
  for (const OptionRow& option : option_rows()) {
    EXPECT_FALSE(belongs(option, Verb::help) || belongs(option, Verb::version)) << option.name;
    VerbSet named = 0;
    for (const std::string& name : verb_names(option)) named |= verb_set({find_verb(name)->verb});
    EXPECT_EQ(named, option.verbs) << option.name;
  }
}

TEST(OptionTable, FindsAnOptionByItsNameOrItsLetter) {
  for (const VerbRow& verb : verb_rows()) {
    for (const OptionRow& option : option_rows()) {
      const OptionRow* own = belongs(option, verb.verb) ? &option : nullptr;
      EXPECT_EQ(find_option(verb.verb, option.name), own) << verb.name << " " << option.name;
      if (option.letter == '\0') continue;
      EXPECT_EQ(find_option(verb.verb, std::string("-") + option.letter), own)
          << verb.name << " " << option.name;
    }
  }
}

TEST(OptionTable, ReadsAGoodValueIntoAPlaceOfItsOwn) {
  const auto places = [](const Options& options) {
    return std::vector<bool>{options.criteria.count != 1,
                             options.criteria.min_free_mib.has_value(),
                             options.criteria.share_mib.has_value(),
                             options.criteria.max_util_pct.has_value(),
                             options.criteria.nice,
                             options.only.has_value(),
                             !options.exclude.empty(),
                             !options.note.empty(),
                             options.vendor.has_value(),
                             options.poll != Options().poll,
                             options.timeout.has_value(),
                             options.ids != Ids::index,
                             options.quiet,
                             options.json,
                             options.metrics,
                             options.watch.has_value(),
                             options.export_line,
                             options.pid.has_value(),
                             options.on_slurm,
                             !options.slurm_args.empty(),
                             options.hold_for.has_value(),
                             options.history.since_ms.has_value(),
                             options.history.until_ms.has_value(),
                             options.history.user.has_value(),
                             options.history.gpus.has_value(),
                             options.history.jobs,
                             options.history.svg.has_value()};
  };
  std::set<std::vector<bool>> reached;
  for (const OptionRow& option : option_rows()) {
    if (option.read == nullptr) continue;
    Options options;
    const std::string value = std::string(option.name) == "--count" ? "2" : good_value(option);
    ASSERT_TRUE(option.read(options, value)) << option.name;
    const std::vector<bool> changed = places(options);
    EXPECT_EQ(std::count(changed.begin(), changed.end(), true), 1) << option.name;
    EXPECT_TRUE(reached.insert(changed).second) << option.name << " has the place of another";
  }
}

TEST(OptionTable, ChangesNothingByAValueThatItRefuses) {
  for (const OptionRow& option : option_rows()) {
    if (is_empty(option.value)) continue;
    Options options;
    ASSERT_TRUE(option.read(options, good_value(option)));
    const Options before = options;
    if (option.completion == Completion::files) continue;  // any text names one
    const bool is_text = std::string(option.name) == "--note";
    EXPECT_FALSE(option.read(options, is_text ? std::string(65, 'x') : "no such value"))
        << option.name;
    EXPECT_EQ(options.criteria.count, before.criteria.count);
    EXPECT_EQ(options.poll, before.poll);
    EXPECT_EQ(options.timeout, before.timeout);
    EXPECT_EQ(options.ids, before.ids);
    EXPECT_EQ(options.vendor, before.vendor);
    EXPECT_EQ(options.only.has_value(), before.only.has_value());
    EXPECT_EQ(options.exclude.size(), before.exclude.size());
  }
}

TEST(OptionTable, OffersWordsThatTheOptionTakes) {
  for (const OptionRow& option : option_rows()) {
    EXPECT_FALSE(is_empty(option.value) && option.completion != Completion::none) << option.name;
    if (option.completion != Completion::words) continue;
    const std::string words = option.value;
    for (std::size_t at = 0; at <= words.size();) {
      const std::size_t end = std::min(words.find('|', at), words.size());
      Options options;
      EXPECT_TRUE(option.read(options, words.substr(at, end - at))) << words;
      at = end + 1;
    }
  }
}

TEST(Described, EndsWithTheDefault) {
  const OptionRow row{.fallback = "5", .summary = "seconds", .details = "; 0: none"};
  EXPECT_EQ(described(row), "seconds; 0: none (default: 5)");
  EXPECT_EQ(described({.summary = "print JSON"}), "print JSON");
}

TEST(VerbNames, AreInTheOrderOfTheTable) {
  EXPECT_EQ(verb_names({.verbs = verb_set({Verb::status, Verb::run})}),
            (std::vector<std::string>{"run", "status"}));
  EXPECT_TRUE(verb_names({}).empty());
}

}  // namespace
}  // namespace gpu_gate
