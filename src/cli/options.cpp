#include "cli/options.h"

#include <algorithm>
#include <optional>
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

/// The whole right line, ready to paste: `options` and `command` as they were written. The form of
/// it where there is no command that looks like one.
std::string right_line(std::span<const std::string> options, std::span<const std::string> command) {
  const bool looks_like_one =
      !command.empty() && command[0].find_first_not_of("0123456789") != std::string::npos;
  std::vector<std::string> words{"gpu-gate", "run"};
  words.insert(words.end(), options.begin(), options.end());
  words.emplace_back("--");
  words.insert(words.end(), command.begin(), command.end());
  return looks_like_one ? shell_line(words).value_or(kRightForm) : kRightForm;
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
  /// `separated`: a "--" comes behind the words.
  Scanner(const VerbRow& verb, std::span<const std::string> words, bool separated)
      : verb_(verb), words_(words), separated_(separated) {}

  void scan() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      const Status taken = take_word(word);
      if (!taken && !refusal_) refusal_ = taken.error();
    }
  }

  const std::vector<Given>& given() const { return given_; }
  const std::optional<Error>& refusal() const { return refusal_; }
  /// The words that are no options, where the subcommand takes such.
  const std::vector<std::string>& operands() const { return operands_; }
  /// How many words come before the first that is no option, nor the value of one.
  std::size_t options_end() const { return options_end_.value_or(words_.size()); }

 private:
  Status take_word(const std::string& word) {
    if (word.starts_with("--")) return take_long(word);
    if (word.size() > 1 && word[0] == '-') return take_letters(word);
    if (!options_end_) options_end_ = at_ - 1;
    if (!verb_.takes_pids) return not_an_option(word);
    operands_.push_back(word);
    return {};
  }

  /// "--count", "--count=2".
  Status take_long(const std::string& word) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const OptionRow* option = find_option(verb_.verb, name);
    if (option == nullptr) {
      if (equals != std::string::npos) return unknown(name, word.substr(equals + 1));
      const bool value_follows = at_ < words_.size() && !words_[at_].starts_with('-');
      return unknown(name, value_follows ? std::optional(words_[at_]) : std::nullopt);
    }
    if (equals == std::string::npos) return take(*option, std::nullopt);
    return take(*option, word.substr(equals + 1));
  }

  /// "-n", "-n2", "-qn2": flags, and at the end one that has a value.
  Status take_letters(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const OptionRow* option = find_option(verb_.verb, std::string("-") + word[i]);
      if (option == nullptr) return unknown("-" + word.substr(i), std::nullopt);
      const std::string rest = word.substr(i + 1);
      if (rest.empty()) return take(*option, std::nullopt);
      if (takes_value(*option) || rest[0] == '=') return take(*option, rest);
      if (Status taken = take(*option, std::nullopt); !taken) return taken;
    }
    return {};
  }

  /// `attached`: the value, where it is in the same word.
  Status take(const OptionRow& option, std::optional<std::string> attached) {
    if (option.value_attached && !attached) {
      given_.push_back({&option, ""});
      return {};
    }
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

  /// `value`: what seems to be its value.
  tl::unexpected<Error> unknown(const std::string& name,
                                const std::optional<std::string>& value) const {
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
      const std::string meant = meant_hint(name, value);
      text += "there is no option " + quoted(name) + (meant.empty() ? hint(name, known) : meant);
    }
    text += std::string(" (see gpu-gate ") + verb_.name + " --help)";
    return refused(std::move(text));
  }

  /// "; did you mean --only? Write --only 0" for --gpu 0, which other programs have.
  std::string meant_hint(const std::string& name, const std::optional<std::string>& value) const {
    std::string word = name.substr(std::min(name.find_first_not_of('-'), name.size()));
    std::replace(word.begin(), word.end(), '_', '-');
    std::string text;
    for (const MeantRow& row : meant_rows()) {
      const OptionRow* option = row.word == word ? find_option(verb_.verb, row.option) : nullptr;
      if (option == nullptr) continue;
      const std::string meant = std::string("; did you mean ") + option->name + "?";
      if (text.empty()) text = meant;
      Options scratch;
      if (!value || !takes_value(*option) || !option->read(scratch, *value)) continue;
      const auto with_value = [&](const char* known) {
        const std::vector<std::string> words{known, *value};
        return shell_line(words).value_or(known);
      };
      std::string advice = meant + " Write " + with_value(option->name);
      if (row.also != nullptr) {
        advice.append(", or ").append(with_value(row.also)).append(" ").append(row.also_for);
      }
      return advice;
    }
    return text;
  }

  tl::unexpected<Error> not_an_option(const std::string& word) const {
    const std::string verb = verb_.name;
    const std::string text = verb + ": " + quoted(word) + " is not an option; ";
    const OptionRow* last = given_.empty() ? nullptr : given_.back().option;
    if (Options scratch; last != nullptr && last->value_attached && last->read(scratch, word)) {
      return refused(text + "write " + last->name + "=" + word);
    }
    if (verb_.verb != Verb::run) return refused(text + verb + " takes no arguments");
    const std::span<const std::string> command =
        separated_ ? std::span<const std::string>() : words_.subspan(at_ - 1);
    return refused(text +
                   "the command comes after `--`: " + right_line(words_.first(at_ - 1), command));
  }

  const VerbRow& verb_;
  std::span<const std::string> words_;
  bool separated_;
  std::size_t at_ = 0;
  std::vector<Given> given_;
  std::vector<std::string> operands_;
  std::optional<Error> refusal_;
  std::optional<std::size_t> options_end_;
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

Status read_pids(const std::vector<std::string>& words, const std::string& verb, Options& options) {
  for (const std::string& word : words) {
    const Result<pid_t> pid = whole_number<pid_t>(word, {.min = 1});
    if (!pid) {
      return refused(verb + ": " + quoted(word) +
                     " is not a process ID; queue shows those of requests, and without any it "
                     "cancels all of yours");
    }
    options.pids.push_back(*pid);
  }
  return {};
}

/// "run, wait, hold, status or doctor".
std::string subcommands() {
  std::vector<std::string> names;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb != Verb::help) names.emplace_back(verb.name);
  }
  return enumerated(names, "or");
}

/// Options or a command where the subcommand should be.
tl::unexpected<Error> no_verb(std::span<const std::string> words) {
  const std::string& word = words.front();
  const std::string meant = hint(word, {"--help", "--version"});
  if (!meant.empty()) return refused("there is no option " + quoted(word) + meant);
  const auto separator = std::find(words.begin(), words.end(), "--");
  Scanner scanner(*find_verb("run"), std::span(words.begin(), separator), true);
  scanner.scan();
  const std::size_t end = scanner.options_end();
  std::span<const std::string> command = words.subspan(end);
  if (!command.empty() && command.front() == "--") command = command.subspan(1);
  return refused("the subcommand comes before " + quoted(word) + ", as in " +
                 right_line(words.first(end), command));
}

/// The first word, where it is no subcommand.
tl::unexpected<Error> not_a_verb(std::span<const std::string> words) {
  const std::string& word = words.front();
  if (word.size() > 1 && word[0] == '-') return no_verb(words);
  std::vector<std::string> known;
  for (const VerbRow& verb : verb_rows()) known.emplace_back(verb.name);
  const std::string meant = hint(word, known);
  std::string text = "there is no subcommand " + quoted(word) + meant + " (" + subcommands() +
                     "; see gpu-gate --help)";
  const bool is_command = meant.empty() && (words.size() == 1 || words[1] != "--");
  const std::string line = right_line({}, words);
  if (is_command && line != kRightForm) text += "; to run a command, write " + line;
  return refused(std::move(text));
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
  if (verb == nullptr) return not_a_verb(words);
  options.verb = verb->verb;
  if (verb->verb == Verb::help) {
    if (words.size() > 1) options.help_topic = words[1];
    return options;
  }

  const auto separator = std::find(words.begin() + 1, words.end(), "--");
  Scanner scanner(*verb, std::span(words.begin() + 1, separator), separator != words.end());
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
  if (Status read = read_pids(scanner.operands(), verb->name, options); !read) {
    return fail(read.error());
  }
  if (options.criteria.share_mib && options.criteria.min_free_mib) {
    return refused(
        std::string(verb->name) +
        ": --share and --min-free-mb exclude each other: a share of M MiB asks for M MiB "
        "of room; leave out --min-free-mb");
  }
  if (options.metrics && (options.json || options.watch)) {
    return refused("status: --metrics prints one page and nothing else; leave out " +
                   std::string(options.json ? "--json" : "--watch") + " or --metrics");
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
