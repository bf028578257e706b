#include "cli/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "cli/tables.h"
#include "cli/test_text.h"

namespace gpu_gate {
namespace {

std::string filled(const std::string& text) {
  const Result<std::string> result = filled_in(text);
  EXPECT_TRUE(result) << (result ? "" : result.error().text);
  return result.value_or("");
}

/// The part of `text` from the line that begins with `start` (spaces in front not counted) up to
/// the next empty line, or ";;".
std::string part_of(const std::string& text, const std::string& start) {
  const auto at = ("\n" + text).find("\n" + start);
  if (at == std::string::npos) return "";
  return text.substr(at, std::min(text.find("\n\n", at), text.find(";;", at)) - at);
}

TEST(Reference, LeavesAllOtherLinesAlone) {
  for (const char* text : {"", "\n", "a\n  b @c@\n@ d @ e\n@\n"}) EXPECT_EQ(filled(text), text);
  EXPECT_EQ(filled("no end of line"), "no end of line\n");
}

TEST(Reference, IndentsAsTheTemplateDoes) {
  const std::string text = filled("before\n    @bash_values@\nafter\n");
  EXPECT_TRUE(has(text, "before\n    -n | --count) return ;;\n    --min-free-mb)")) << text;
  EXPECT_TRUE(has(text, ";;\nafter\n")) << text;
}

TEST(Reference, NamesWhatIsUnknown) {
  const Result<std::string> result = filled_in("@nonsense@\n");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text, "@nonsense@");
}

TEST(Reference, HasEveryOptionInTheManPage) {
  const std::string page = filled("@man_options@\n");
  for (const OptionRow& option : option_rows()) {
    const std::string head = std::string("*") + option.name + "*";
    std::string value = *option.value == '\0' ? "" : std::string(" _") + option.value + "_";
    if (option.value_attached) value = std::string("[=_") + option.value + "_]";
    const auto at = page.find(head + value + "\n\t");
    ASSERT_NE(at, std::string::npos) << option.name;
    const std::string entry = page.substr(at, page.find("\n\n", at) - at);
    if (option.letter != '\0') {
      EXPECT_TRUE(has(page, std::string("*-") + option.letter + "*, " + head));
    }
    if (*option.fallback != '\0') {
      EXPECT_TRUE(has(entry, std::string("default: ") + option.fallback)) << entry;
    }
  }
  EXPECT_TRUE(has(page, "## Which GPUs: run, wait, hold\n\n*-n*, *--count* _N_\n\tHow many GPUs"));
  EXPECT_TRUE(has(page, "## Holding: hold\n\n*--pid*")) << page;
  EXPECT_TRUE(has(page, "\n_LIST_ has items")) << page;
  EXPECT_TRUE(has(page, "in *CUDA_VISIBLE_DEVICES* and")) << page;
  EXPECT_TRUE(has(page, "*--pid*.\n")) << page;
  EXPECT_TRUE(has(page, "{\"indices\":[0,2],\"uuids\":[...],")) << page;
}

TEST(Reference, HasTheOptionsOfEachSubcommandInBash) {
  const std::string text = filled("@bash_words@\n");
  for (const VerbRow& verb : verb_rows()) {
    const std::string part = part_of(text, std::string(verb.name) + ") ") + " ";
    for (const OptionRow& option : option_rows()) {
      EXPECT_EQ(
          has(part, std::string(option.name) + " ") || has(part, std::string(option.name) + "'"),
          belongs(option, verb.verb))
          << verb.name << " " << option.name;
    }
  }
  EXPECT_TRUE(
      has(text,
          "'') words='run wait hold status queue cancel history doctor help --help --version' ;;"));
}

TEST(Reference, SaysInBashWhatComesAsAValue) {
  const std::string text = filled("@bash_values@\n");
  for (const OptionRow& option : option_rows()) {
    const bool follows = *option.value != '\0' && !option.value_attached;
    EXPECT_EQ(has(text, std::string(option.name) + ") "), follows) << option.name;
  }
  EXPECT_TRUE(has(text, "--only) _gpu_gate_list"));
  EXPECT_TRUE(has(text, "--ids) words='index uuid'"));
  EXPECT_TRUE(has(text, "--pid) words=$("));
}

TEST(Reference, HasTheOptionsOfEachSubcommandInZsh) {
  const std::string text = filled("@zsh_options@\n");
  for (const VerbRow& verb : verb_rows()) {
    const std::string part = part_of(text, std::string(verb.name) + ") ");
    for (const OptionRow& option : option_rows()) {
      const std::string name = option.name;
      EXPECT_EQ(has(part, name + "=") || has(part, name + "[") || has(part, name + "}'["),
                belongs(option, verb.verb))
          << verb.name << " " << name;
    }
  }
  EXPECT_TRUE(has(text, "'--ids=[how the GPUs are named (index)]:index|uuid:(index uuid)'"))
      << text;
  EXPECT_TRUE(has(text, "'--watch=-[")) << "its value must be in the same word";
  EXPECT_TRUE(has(text, "'*--slurm-args=[")) << "it may be repeated";
  EXPECT_TRUE(has(filled("@zsh_subcommands@\n"), "'run:wait, claim, run the command'\n"));
}

TEST(Reference, HasEveryOptionInFish) {
  const std::string text = filled("@fish_options@\n");
  for (const OptionRow& option : option_rows()) {
    std::string verbs;
    for (const std::string& name : verb_names(option)) verbs += " " + name;
    std::string line = "-n '__gpu_gate_in" + verbs + "'";
    if (option.letter != '\0') line += std::string(" -s ") + option.letter;
    line += " -l " + std::string(option.name).substr(2) + " -";
    EXPECT_TRUE(has(text, line)) << line;
  }
  for (const VerbRow& verb : verb_rows()) {
    EXPECT_TRUE(has(filled("@fish_subcommands@\n"), std::string("first -a ") + verb.name + " "));
  }
}

TEST(Reference, HasNothingToEscape) {
  const auto plain = [](std::string_view text) {
    return text.find_first_of("'[]:\\\n") == std::string_view::npos;
  };
  for (const OptionRow& option : option_rows())
    EXPECT_TRUE(plain(option.summary)) << option.summary;
  for (const VerbRow& verb : verb_rows()) EXPECT_TRUE(plain(verb.purpose)) << verb.purpose;
}

TEST(Reference, ListsTheOptions) {
  const std::string text = options_listed();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), std::ssize(option_rows()));
  EXPECT_TRUE(text.starts_with("--count\tN\t1\trun wait hold\n")) << text;
  EXPECT_TRUE(has(text, "\n--json\t\t\twait hold status queue history doctor\n")) << text;
}

TEST(Reference, FillsInEveryNameInOneTemplate) {
  const std::string text = filled("@bash_values@\n--\n@bash_values@\n");
  const std::string once = filled("@bash_values@\n");
  EXPECT_EQ(text, once + "--\n" + once);
}

TEST(Reference, TakesANameOnlyWhereItIsAloneOnItsLine) {
  for (const char* text : {"x @bash_values@\n", "@bash_values@ x\n", "@bash_values\n"}) {
    EXPECT_EQ(filled(text), text);
  }
}

TEST(Reference, NamesTheFirstOfSeveralThatAreUnknown) {
  const Result<std::string> result = filled_in("@bash_values@\n  @first@\n@second@\n");
  ASSERT_FALSE(result);
  EXPECT_TRUE(has(result.error().text, "@first@")) << result.error().text;
}

TEST(Reference, LeavesNoNameUnfilled) {
  for (const char* name : {"@man_options@", "@bash_values@", "@bash_words@", "@zsh_subcommands@",
                           "@zsh_options@", "@fish_subcommands@", "@fish_options@"}) {
    const std::string text = filled(std::string(name) + "\n");
    EXPECT_FALSE(text.empty() || has(text, "@")) << name << ": " << text;
  }
}

}  // namespace
}  // namespace gpu_gate
