#include "cli/options.h"

#include <algorithm>
#include <span>

#include "cli/nearest.h"
#include "cli/tables.h"
#include "cli/values.h"

namespace gpu_gate {
namespace {

constexpr const char* kRightForm = "gpu-gate run [options] -- COMMAND [ARG ...]";

tl::unexpected<Error> refused(std::string text) { return fail(ErrorKind::usage, std::move(text)); }

/// "run, wait or hold".
std::string enumerated(const std::vector<std::string>& names, const std::string& conjunction) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 < names.size() ? ", " : " " + conjunction + " ";
    text += names[i];
  }
  return text;
}

/// "; did you mean --count?", where one of the known words is near.
std::string hint(const std::string& word, const std::vector<std::string>& known) {
  const std::string meant = nearest(word, known);
  return meant.empty() ? "" : "; did you mean " + meant + "?";
}

/// An option as it was written.
struct Given {
  const OptionRow* option = nullptr;
  std::string value;
};

/// Goes through the words between the subcommand and the first "--". After the first refusal, which
/// is kept, it reads on: --help may follow.
class Scanner {
 public:
  Scanner(const VerbRow& verb, std::span<const std::string> words) : verb_(verb), words_(words) {}

  void scan() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      const Status taken = take_word(word);
      if (!taken && !refusal_) refusal_ = taken.error();
    }
  }

  const std::vector<Given>& given() const { return given_; }
  const std::optional<Error>& refusal() const { return refusal_; }

 private:
  Status take_word(const std::string& word) {
    if (word.starts_with("--")) return take_long(word);
    if (word.size() > 1 && word[0] == '-') return take_letters(word);
    return not_an_option(word);
  }

  /// "--count", "--count=2".
  Status take_long(const std::string& word) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const OptionRow* option = find_option(verb_.verb, name);
    if (option == nullptr) return unknown(name);
    if (equals == std::string::npos) return take(*option, std::nullopt);
    return take(*option, word.substr(equals + 1));
  }

  /// "-n", "-n2", "-qn2": flags, and at the end one that has a value.
  Status take_letters(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const OptionRow* option = find_option(verb_.verb, std::string("-") + word[i]);
      if (option == nullptr) return unknown("-" + word.substr(i));
      const std::string rest = word.substr(i + 1);
      if (rest.empty()) return take(*option, std::nullopt);
      if (takes_value(*option) || rest[0] == '=') return take(*option, rest);
      if (Status taken = take(*option, std::nullopt); !taken) return taken;
    }
    return {};
  }

  /// `attached`: the value, where it is in the same word.
  Status take(const OptionRow& option, std::optional<std::string> attached) {
    if (!takes_value(option)) {
      if (attached) return refused(said_of(option) + " takes no value");
      given_.push_back({&option, ""});
      return {};
    }
    const bool missing = attached ? attached->empty() : at_ == words_.size();
    if (missing) return refused(said_of(option) + " needs a value; write " + option.wanted);
    given_.push_back({&option, attached ? *attached : words_[at_++]});
    return {};
  }

  static bool takes_value(const OptionRow& option) { return *option.value != '\0'; }

  std::string said_of(const OptionRow& option) const {
    return std::string(verb_.name) + ": " + option.name;
  }

  tl::unexpected<Error> unknown(const std::string& name) const {
    std::string text = std::string(verb_.name) + ": ";
    std::vector<std::string> known;
    const OptionRow* of_others = nullptr;
    for (const OptionRow& option : option_rows()) {
      if (belongs(option, verb_.verb)) {
        known.emplace_back(option.name);
      } else if (is_named(option, name)) {
        of_others = &option;
      }
    }
    if (of_others != nullptr) {
      text += quoted(name) + " is an option of " + enumerated(verb_names(*of_others), "and");
    } else {
      text += "there is no option " + quoted(name) + hint(name, known);
    }
    text += std::string(" (see gpu-gate ") + verb_.name + " --help)";
    return refused(std::move(text));
  }

  tl::unexpected<Error> not_an_option(const std::string& word) const {
    const std::string verb = verb_.name;
    const std::string text = verb + ": " + quoted(word) + " is not an option; ";
    if (verb_.verb != Verb::run) return refused(text + verb + " takes no arguments");
    return refused(text + "the command comes after `--`: " + kRightForm);
  }

  const VerbRow& verb_;
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  std::vector<Given> given_;
  std::optional<Error> refusal_;
};

bool asks_for_help(const std::vector<Given>& given) {
  return std::any_of(given.begin(), given.end(), [](const Given& each) {
    return std::string_view(each.option->name) == "--help";
  });
}

/// Reads the values; of an option that was given twice the last counts.
Status read_values(const std::vector<Given>& given, const std::string& verb, Options& options) {
  for (auto each = given.begin(); each != given.end(); ++each) {
    const bool again = std::any_of(
        each + 1, given.end(), [&](const Given& later) { return later.option == each->option; });
    if (again) continue;
    const Status read = each->option->read(options, each->value);
    if (read) continue;
    return refused(verb + ": " + each->option->name + ": " + read.error().text + "; write " +
                   each->option->wanted);
  }
  return {};
}

/// "run, wait, hold or status".
std::string subcommands() {
  std::vector<std::string> names;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb != Verb::help) names.emplace_back(verb.name);
  }
  return enumerated(names, "or");
}

/// The first word, where it is no subcommand.
tl::unexpected<Error> not_a_verb(const std::string& word) {
  if (word.size() < 2 || word[0] != '-') {
    std::vector<std::string> known;
    for (const VerbRow& verb : verb_rows()) known.emplace_back(verb.name);
    return refused("there is no subcommand " + quoted(word) + hint(word, known) + " (" +
                   subcommands() + "; see gpu-gate --help)");
  }
  const std::string meant = hint(word, {"--help", "--version"});
  if (!meant.empty()) return refused("there is no option " + quoted(word) + meant);
  return refused("the subcommand comes before " + quoted(word) + ", as in " + kRightForm);
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& words) {
  if (words.empty()) {
    return refused("there is no subcommand; write " + subcommands() + ", as in " + kRightForm +
                   " (see gpu-gate --help)");
  }
  Options options;
  const std::string& first = words.front();
  if (first == "--version") {
    options.verb = Verb::version;
    return options;
  }
  const VerbRow* verb = find_verb(first == "--help" || first == "-h" ? "help" : first);
  if (verb == nullptr) return not_a_verb(first);
  options.verb = verb->verb;
  if (verb->verb == Verb::help) {
    if (words.size() > 1) options.help_topic = words[1];
    return options;
  }

  const auto separator = std::find(words.begin() + 1, words.end(), "--");
  Scanner scanner(*verb, std::span(words.begin() + 1, separator));
  scanner.scan();
  if (asks_for_help(scanner.given())) {
    options.verb = Verb::help;
    options.help_topic = verb->name;
    return options;
  }
  if (scanner.refusal()) return fail(*scanner.refusal());
  if (Status read = read_values(scanner.given(), verb->name, options); !read) {
    return fail(read.error());
  }
  if (separator != words.end()) options.command.assign(separator + 1, words.end());
  if (options.verb == Verb::run && options.command.empty()) {
    return refused(std::string("run: there is no command; it comes after `--`: ") + kRightForm);
  }
  if (options.verb != Verb::run && separator != words.end()) {
    return refused(std::string(verb->name) +
                   ": takes no command; to run one when a GPU is free, write " + kRightForm);
  }
  return options;
}

}  // namespace gpu_gate
