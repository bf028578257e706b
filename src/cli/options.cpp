#include "cli/options.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/printable.h"
#include "cli/meant_command.h"
#include "cli/meant_value.h"
#include "cli/nearest.h"
#include "cli/tables.h"
#include "cli/typography.h"
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

bool takes_value(const OptionRow& option) { return *option.value != '\0'; }

bool reads(const OptionRow& option, const std::string& value) {
  Options scratch;
  return option.read != nullptr && option.read(scratch, value).has_value();
}

/// "--only 0-3", as a shell takes it; the name alone where the value cannot be pasted.
std::string with_value(const char* option, const std::string& value) {
  const std::vector<std::string> words{option, value};
  return shell_line(words).value_or(option);
}

bool is_number(const std::string& word) {
  return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
}

/// The whole right line, ready to paste: `options` and `command` as they were written, but for what
/// was meant otherwise (a number alone is that of the GPUs). The form of it where there is no
/// command that looks like one.
std::string right_line(std::span<const std::string> options, std::span<const std::string> command) {
  std::vector<std::string> words{"gpu-gate", "run"};
  words.insert(words.end(), options.begin(), options.end());
  if (command.size() > 1 && is_number(command[0])) {
    words.insert(words.end(), {"-n", command[0]});
    command = command.subspan(1);
  } else if (command.size() > 1 && command[0].starts_with(kSetsVisible)) {
    words.insert(words.end(), {"--only", command[0].substr(kSetsVisible.size())});
    command = command.subspan(1);
  }
  if (command.empty() || command[0].empty() || is_number(command[0])) return kRightForm;
  words.emplace_back("--");
  const std::vector<std::string> program = as_program({command.begin(), command.end()});
  words.insert(words.end(), program.begin(), program.end());
  return shell_line(words).value_or(kRightForm);
}

/// An option as it was written.
struct Given {
  const OptionRow* option = nullptr;
  std::string value;
  std::size_t end = 0;  // of its words
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
      const bool attached = equals != std::string::npos;
      const std::string meant =
          meant_hint(name, attached ? std::optional(word.substr(equals + 1)) : next_value());
      const std::string line = meant.empty() && !attached ? run_together(word) : "";
      if (line.empty()) return unknown(name, meant);
      return refused(std::string(verb_.name) + ": there is no option " + quoted(name) +
                     "; if that is the command, write " + line);
    }
    if (equals == std::string::npos) return take(*option, std::nullopt);
    return take(*option, word.substr(equals + 1));
  }

  /// "-n", "-n2", "-qn2": flags, and at the end one that has a value.
  Status take_letters(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const OptionRow* option = find_option(verb_.verb, std::string("-") + word[i]);
      if (option == nullptr) return unknown_letters(word.substr(i));
      const std::string rest = word.substr(i + 1);
      if (rest.empty()) return take(*option, std::nullopt);
      if (takes_value(*option) || rest[0] == '=') return take(*option, rest);
      if (Status taken = take(*option, std::nullopt); !taken) return taken;
    }
    return {};
  }

  /// "t", "t5", "gpus".
  tl::unexpected<Error> unknown_letters(const std::string& letters) const {
    std::string meant = meant_hint("-" + letters, next_value());
    if (meant.empty() && letters.size() > 1) {
      const std::string rest = letters.substr(letters[1] == '=' ? 2 : 1);
      meant = meant_hint("-" + letters.substr(0, 1), rest);
    }
    return unknown("-" + letters, meant);
  }

  /// What stands behind the word that was read last and may be its value.
  std::optional<std::string> next_value() const {
    const bool is_one = at_ < words_.size() && !words_[at_].starts_with('-');
    return is_one ? std::optional(words_[at_]) : std::nullopt;
  }

  /// `attached`: the value, where it is in the same word.
  Status take(const OptionRow& option, std::optional<std::string> attached) {
    if (option.value_attached && !attached) {
      given_.push_back({.option = &option, .value = "", .end = at_});
      return {};
    }
    if (!takes_value(option)) {
      if (attached) return refused(said_of(option) + " takes no value");
      given_.push_back({.option = &option, .value = "", .end = at_});
      return {};
    }
    const bool missing = attached ? attached->empty() : at_ == words_.size();
    if (missing) return refused(said_of(option) + " needs a value; write " + option.wanted);
    std::string value = attached ? *attached : words_[at_++];
    given_.push_back({.option = &option, .value = std::move(value), .end = at_});
    return {};
  }

  std::string said_of(const OptionRow& option) const {
    return std::string(verb_.name) + ": " + option.name;
  }

  /// `meant`: "; did you mean ...", where that is known already.
  tl::unexpected<Error> unknown(const std::string& name, const std::string& meant) const {
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
    if (of_others != nullptr && meant.empty()) {
      text += quoted(name) + " is an option of " + enumerated(verb_names(*of_others), "and");
      if (*of_others->elsewhere != '\0') text += std::string("; ") + of_others->elsewhere;
    } else {
      text += "there is no option " + quoted(name) + (meant.empty() ? hint(name, known) : meant);
    }
    text += std::string(" (see gpu-gate ") + verb_.name + " --help)";
    return refused(std::move(text));
  }

  /// "; did you mean --only? Write --only 0" for --gpu 0, which other programs have. `value`: what
  /// seems to be its value.
  std::string meant_hint(const std::string& name, const std::optional<std::string>& value) const {
    if (name == "--version" || name == "-V") return "; did you mean gpu-gate --version?";
    std::string word = name.substr(std::min(name.find_first_not_of('-'), name.size()));
    std::replace(word.begin(), word.end(), '_', '-');
    std::string text;
    // A letter with two dashes.
    const OptionRow* own = word.size() == 1 ? find_option(verb_.verb, "-" + word) : nullptr;
    if (own != nullptr) return meant_option(*own, value).value_or(did_you_mean(*own));
    for (const MeantRow& row : meant_rows()) {
      const OptionRow* option = row.word == word ? find_option(verb_.verb, row.option) : nullptr;
      if (option == nullptr) continue;
      std::optional<std::string> advice = meant_option(
          *option, row.value != nullptr ? std::optional<std::string>(row.value) : value);
      if (advice && row.also != nullptr && value) {
        advice->append(", or ")
            .append(with_value(row.also, *value))
            .append(" ")
            .append(row.also_for);
      }
      if (advice) return *advice;
      if (text.empty()) text = did_you_mean(*option);
    }
    return text;
  }

  static std::string did_you_mean(const OptionRow& option) {
    return std::string("; did you mean ") + option.name + "?";
  }

  /// The same with the value, if it is one of this option.
  static std::optional<std::string> meant_option(const OptionRow& option,
                                                 const std::optional<std::string>& value) {
    if (!value || !takes_value(option)) return std::nullopt;
    const std::string meant =
        reads(option, *value) || option.meant == nullptr ? *value : option.meant(*value);
    if (!reads(option, meant)) return std::nullopt;
    return did_you_mean(option) + " Write " + with_value(option.name, meant);
  }

  /// The right line for "--python train.py", where the space behind the dashes is missing; "" where
  /// it does not look like that.
  std::string run_together(const std::string& word) const {
    std::vector<std::string> known;
    for (const OptionRow& option : option_rows()) known.emplace_back(option.name);
    const bool is_command = verb_.verb == Verb::run && !separated_ && at_ < words_.size();
    if (!is_command || word.size() < 4 || !nearest(word, known).empty()) return "";
    std::vector<std::string> command{word.substr(2)};
    command.insert(command.end(), words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end());
    return right_line(words_.first(at_ - 1), command);
  }

  /// A word that is neither an option nor the value of one.
  tl::unexpected<Error> not_an_option(const std::string& word) const {
    const std::string verb = std::string(verb_.name) + ": ";
    const OptionRow* last = given_.empty() ? nullptr : given_.back().option;
    if (Options scratch; last != nullptr && last->value_attached && last->read(scratch, word)) {
      return refused(verb + quoted(word) + " is not an option; write " + last->name + "=" + word);
    }
    const std::string joined = joined_value();
    const bool of_command =
        !separated_ && word.find_first_not_of("0123456789") != std::string::npos;
    if (verb_.verb != Verb::run) {
      if (!joined.empty()) return refused(verb + joined);
      if (of_command && find_option(verb_.verb, "--timeout") != nullptr) {
        const std::string line = right_line(words_.first(at_ - 1), words_.subspan(at_ - 1));
        return refused(verb + "takes no command; to run one when a GPU is free, write " + line);
      }
      return refused(verb + quoted(word) + " is not an option; " + verb_.name +
                     " takes no arguments");
    }
    if (!joined.empty() && separated_) return refused(verb + joined);
    const std::span<const std::string> command =
        separated_ ? std::span<const std::string>() : words_.subspan(at_ - 1);
    const std::string line =
        joined.empty() ? right_line(words_.first(at_ - 1), command) : kRightForm;
    if (line != kRightForm) return refused(verb + "the command comes after `--`: write " + line);
    const std::string wrong = joined.empty() ? quoted(word) + " is not an option" : joined;
    return refused(verb + wrong + "; the command comes after `--`: " + line);
  }

  /// "--only takes one word: write --only 0,1" where this word and those that follow it are a part
  /// of the value before them.
  std::string joined_value() const {
    const bool follows = !given_.empty() && given_.back().end == at_ - 1;
    if (!follows || words_[at_ - 1].starts_with('-')) return "";
    const OptionRow& option = *given_.back().option;
    if (!takes_value(option)) return "";
    const bool is_list = option.completion == Completion::gpus;
    const bool is_text = reads(option, "a text");
    if (is_text && !separated_ && verb_.verb == Verb::run) return "";  // where does it end?
    std::string value = given_.back().value;
    for (std::size_t i = at_ - 1; i < words_.size() && !words_[i].starts_with('-'); ++i) {
      if (!is_list && !is_text && is_number(words_[i])) return "";
      value += (is_list ? "," : is_text ? " " : "") + words_[i];
    }
    const std::optional<std::string> meant = meant_option(option, value);
    if (!meant) return "";
    return std::string(option.name) + " takes one word: write " +
           meant->substr(meant->rfind(option.name));
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

/// What to write instead of a value that is none.
std::string instead(const OptionRow& option, const std::string& value) {
  const std::string meant = option.meant == nullptr ? "" : option.meant(value);
  if (!meant.empty() && reads(option, meant)) return with_value(option.name, meant);
  if (option.completion == Completion::gpus && means_all(value)) {
    return std::string("no ") + option.name + " to choose among all GPUs";
  }
  const OptionRow& only = *find_option(Verb::run, "--only");
  const bool names_gpus = value.find_first_of(",-", 1) != std::string::npos;
  if (std::string_view(option.name) == "--count" && names_gpus && reads(only, value)) {
    return std::string(option.wanted) + "; to choose which, write " + with_value(only.name, value);
  }
  return option.wanted;
}

/// Reads the values; of an option that was given twice the last counts, unless it is repeatable.
Status read_values(const std::vector<Given>& given, const std::string& verb, Options& options) {
  for (auto each = given.begin(); each != given.end(); ++each) {
    const bool again = std::any_of(
        each + 1, given.end(), [&](const Given& later) { return later.option == each->option; });
    if (again && !each->option->repeatable) continue;
    const Status read = each->option->read(options, each->value);
    if (read) continue;
    return refused(verb + ": " + each->option->name + ": " + read.error().text + "; write " +
                   instead(*each->option, each->value));
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

/// "run, wait, hold, status, history or doctor".
std::string subcommands() {
  std::vector<std::string> names;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb != Verb::help) names.emplace_back(verb.name);
  }
  return enumerated(names, "or");
}

/// The right line for words behind `run`, or in its place.
std::string run_line(std::span<const std::string> words) {
  const auto separator = std::find(words.begin(), words.end(), "--");
  Scanner scanner(*find_verb("run"), std::span(words.begin(), separator), true);
  scanner.scan();
  const std::size_t end = scanner.options_end();
  std::span<const std::string> command = words.subspan(end);
  if (!command.empty() && command.front() == "--") command = command.subspan(1);
  return right_line(words.first(end), command);
}

/// Options or a command where the subcommand should be.
tl::unexpected<Error> no_verb(std::span<const std::string> words) {
  const std::string& word = words.front();
  const std::string no_option = "there is no option " + quoted(word);
  const std::string name = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  const VerbRow* verb = find_verb(name) != nullptr ? find_verb(name) : meant_verb(name);
  if (verb != nullptr && verb->verb != Verb::help) {
    return refused(no_option + "; did you mean gpu-gate " + verb->name + "?");
  }
  const std::string meant = name == "v"   ? "; did you mean --version?"
                            : name == "?" ? "; did you mean --help?"
                                          : hint(word, {"--help", "--version"});
  if (!meant.empty()) return refused(no_option + meant);
  const std::string first = "the subcommand comes before " + quoted(word) + ", as in ";
  const bool of_status = find_option(Verb::status, word) != nullptr;
  if (of_status && find_option(Verb::run, word) == nullptr) {
    return refused(first + "gpu-gate status " + word);
  }
  return refused(first + run_line(words));
}

/// A word that other programs have for one of our subcommands.
tl::unexpected<Error> other_verb(std::span<const std::string> words, const VerbRow& meant) {
  std::string text = "there is no subcommand " + quoted(words.front());
  if (meant.verb == Verb::cancel) {
    const std::string pid = words.size() > 1 && is_number(words[1]) ? words[1] : "PID";
    return refused(text + "; to end a job, write kill " + pid +
                   " (status shows it); to end a request that waits, "
                   "gpu-gate cancel " +
                   pid);
  }
  const std::string line =
      meant.verb == Verb::run ? run_line(words.subspan(1)) : std::string("gpu-gate ") + meant.name;
  return refused(text + "; did you mean " + meant.name + "? Write " + line);
}

/// A subcommand that there is no help on.
tl::unexpected<Error> no_topic(const std::string& word) {
  std::vector<std::string> known;
  for (const VerbRow& verb : verb_rows()) known.emplace_back(verb.name);
  const VerbRow* meant = meant_verb(word);
  return refused(
      "help: there is no subcommand " + quoted(word) +
      (meant != nullptr ? std::string("; did you mean ") + meant->name + "?" : hint(word, known)) +
      " (" + subcommands() + ")");
}

/// The first word, where it is no subcommand.
tl::unexpected<Error> not_a_verb(std::span<const std::string> words) {
  const std::string& word = words.front();
  if (word.size() > 1 && word[0] == '-') return no_verb(words);
  if (const VerbRow* verb = meant_verb(word)) return other_verb(words, *verb);
  std::vector<std::string> known;
  for (const VerbRow& verb : verb_rows()) known.emplace_back(verb.name);
  const std::string meant = hint(word, known);
  const bool is_command = meant.empty() && (words.size() == 1 || words[1] != "--");
  const std::string line = is_command ? right_line({}, words) : kRightForm;
  if (words.size() > 1 && line != kRightForm) {
    return refused("to run a command, write " + line);
  }
  std::string text = "there is no subcommand " + quoted(word) + meant + " (" + subcommands() +
                     "; see gpu-gate --help)";
  if (line != kRightForm && shell_word(word) == word) text += "; to run a command, write " + line;
  return refused(std::move(text));
}

}  // namespace

namespace {

Options help_on(const std::string& topic) {
  Options options;
  options.verb = Verb::help;
  options.help_topic = topic;
  return options;
}

/// "help", "help run".
Result<Options> parse_help(const std::vector<std::string>& words) {
  if (words.size() < 2 || words[1].empty() || words[1].starts_with('-')) return help_on("");
  if (find_verb(words[1]) == nullptr) return no_topic(words[1]);
  return help_on(words[1]);
}

/// What status has for this machine alone.
Status check_slurm_status(const Options& options) {
  if (options.watch) {
    return refused(
        "status: --watch is for this machine; to see the cluster again and again, write watch -n 5 "
        "gpu-gate status --on slurm");
  }
  if (options.metrics) {
    return refused(
        "status: --metrics is for this machine; write --json for the cluster, or leave out --on "
        "slurm");
  }
  if (options.vendor) {
    return refused("status: --vendor is for this machine; leave it out, or --on slurm");
  }
  return {};
}

/// Do options that were read go together?
Status check_together(const Options& options, const std::string& verb) {
  if (options.metrics && (options.json || options.watch)) {
    return refused("status: --metrics prints one page and nothing else; leave out " +
                   std::string(options.json ? "--json" : "--watch") + " or --metrics");
  }
  if (options.verb == Verb::status && options.on_slurm) return check_slurm_status(options);
  const HistoryOptions& past = options.history;
  if (past.since_ms && past.until_ms && *past.since_ms >= *past.until_ms) {
    return refused("history: --since must be before --until");
  }
  if (past.svg && (past.jobs || options.json)) {
    return refused(std::string("history: --svg and ") + (past.jobs ? "--jobs" : "--json") +
                   " exclude each other: --svg writes a picture to its file and prints nothing");
  }
  if (!options.on_slurm && !options.slurm_args.empty()) {
    return refused(verb + ": --slurm-args is for Slurm; write --on slurm too, or leave it out");
  }
  if (!options.criteria.share_mib || !options.criteria.min_free_mib) return {};
  return refused(verb +
                 ": --share and --min-free-mb exclude each other: a share of M MiB asks for M MiB "
                 "of room; leave out --min-free-mb");
}

/// The words of a subcommand, its name first.
Result<Options> parse_verb(const VerbRow& verb, const std::vector<std::string>& words) {
  const auto separator = std::find(words.begin() + 1, words.end(), "--");
  const bool separated = separator != words.end();
  Scanner scanner(verb, std::span(words.begin() + 1, separator), separated);
  scanner.scan();
  if (asks_for_help(scanner.given())) return help_on(verb.name);
  if (scanner.refusal()) return fail(*scanner.refusal());
  Options options;
  options.verb = verb.verb;
  Status read = read_values(scanner.given(), verb.name, options);
  if (read) read = read_pids(scanner.operands(), verb.name, options);
  if (read) read = check_together(options, verb.name);
  if (!read) return fail(read.error());
  if (separated) options.command.assign(separator + 1, words.end());
  if (options.verb == Verb::run && options.command.empty()) {
    return refused(std::string("run: there is no command; it comes after `--`: ") + kRightForm);
  }
  if (options.verb != Verb::run && separated) {
    return refused(std::string(verb.name) +
                   ": takes no command; to run one when a GPU is free, write " +
                   right_line(std::span(words.begin() + 1, separator), options.command));
  }
  return options;
}

/// parse_options for words as they are.
Result<Options> parse_words(const std::vector<std::string>& words) {
  if (words.empty()) {
    return refused("there is no subcommand; write " + subcommands() + ", as in " + kRightForm +
                   " (see gpu-gate --help)");
  }
  const std::string& first = words.front();
  if (first == "--version" || first == "-V" || first == "version") {
    Options options;
    options.verb = Verb::version;
    return options;
  }
  const VerbRow* verb = find_verb(first == "--help" || first == "-h" ? "help" : first);
  if (verb == nullptr) return not_a_verb(words);
  if (verb->verb == Verb::help) return parse_help(words);
  if (words.size() == 2 && words[1] == "help") return help_on(verb->name);
  return parse_verb(*verb, words);
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& words) {
  Result<Options> options = parse_words(words);
  const std::vector<std::string> plain = as_typed(words);
  if (options) options->words = words;
  if (options || plain == words) return options;
  Result<Options> meant = parse_words(plain);
  if (!meant) return meant;  // and that is said of what a keyboard would have written
  const auto [word, typed] = std::mismatch(words.begin(), words.end(), plain.begin(), plain.end());
  std::vector<std::string> line{"gpu-gate"};
  line.insert(line.end(), plain.begin(), plain.end());
  return refused(quoted(*word) + " has a dash or a quotation mark as web pages set them; write " +
                 shell_line(line).value_or("it by the keyboard"));
}

}  // namespace gpu_gate
