#include <gtest/gtest.h>

#include <algorithm>

#include "cli/cli.h"
#include "cli/exit_code.h"
#include "cli/tables.h"
#include "cli/test_text.h"

namespace gpu_gate {
namespace {

std::vector<std::string> topics() {
  std::vector<std::string> names{""};
  for (const VerbRow& verb : verb_rows()) names.emplace_back(verb.name);
  return names;
}

/// The text with each run of spaces and line ends as one space: as its words read.
std::string unwrapped(const std::string& text) {
  std::string words;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n';
    if (!space) words += c;
    if (space && !words.ends_with(' ')) words += ' ';
  }
  return words;
}

TEST(HelpText, OfWhatIsNoSubcommandIsThatOfTheProgram) {
  for (const char* topic : {"bogus", "RUN", "--count", "help", "version", "a\nb"}) {
    EXPECT_EQ(help_text(topic), help_text("")) << topic;
  }
}

TEST(HelpText, IsAnotherForEachSubcommand) {
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    EXPECT_NE(help_text(verb.name), help_text("")) << verb.name;
    EXPECT_TRUE(has(help_text(verb.name),
                    std::string("gpu-gate ") + verb.name + " " + verb.synopsis + "\n"));
    EXPECT_TRUE(has(help_text(verb.name), verb.help));
  }
}

TEST(HelpText, IsPlainLinesWithoutSpacesAtTheirEnds) {
  for (const std::string& topic : topics()) {
    const std::string text = help_text(topic);
    EXPECT_TRUE(text.ends_with("\n") && !text.ends_with("\n\n")) << topic;
    EXPECT_FALSE(has(text, "\n\n\n")) << topic;
    for (const std::string& line : lines_of(text)) {
      EXPECT_FALSE(line.ends_with(' ')) << topic << ": " << line;
      EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](char c) {
        return c >= 0x20 && c < 0x7F;
      })) << line;
    }
  }
}

TEST(HelpText, SaysOfEachOptionAllThatTheTableSays) {
  for (const VerbRow& verb : verb_rows()) {
    const std::string text = unwrapped(help_text(verb.name));
    for (const OptionRow& option : option_rows()) {
      if (!belongs(option, verb.verb)) continue;
      EXPECT_TRUE(has(text, written(option) + " " + described(option)))
          << verb.name << " " << option.name;
    }
  }
}

TEST(HelpText, HasAHeadingOnlyOverOptions) {
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    for (const GroupRow& group : group_rows()) {
      const auto rows = option_rows();
      const bool used = std::any_of(rows.begin(), rows.end(), [&](const OptionRow& option) {
        return option.group == group.group && belongs(option, verb.verb);
      });
      EXPECT_EQ(has(help_text(verb.name), std::string("\n") + group.title + ":\n"), used)
          << verb.name << " " << group.title;
    }
  }
}

TEST(HelpText, OfTheProgramHasThePurposeOfEachSubcommand) {
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    EXPECT_TRUE(has(help_text(""), std::string("  ") + verb.purpose + "\n")) << verb.name;
  }
}

TEST(HelpText, OfTheProgramTellsEveryExitStatus) {
  const std::string text = unwrapped(help_text(""));
  const std::string statuses = text.substr(text.find("Exit status"));
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::not_found); ++kind) {
    const std::string code = std::to_string(exit_code(static_cast<ErrorKind>(kind)));
    EXPECT_TRUE(has(statuses, " " + code + " ")) << code;
  }
}

}  // namespace
}  // namespace gpu_gate
