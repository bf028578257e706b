#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/printable.h"

namespace gpu_gate {
namespace {

using std::chrono::nanoseconds;

constexpr const char* kRightForm = "gpu-gate run [options] -- COMMAND [ARG ...]";
constexpr double kLeastPollSeconds = 0.05;
constexpr double kMostSeconds = 1e9;  // some thirty years: longer is for ever, and fits nanoseconds

std::string quoted(const std::string& word) { return "'" + printable(word) + "'"; }

/// What would do as the value of an option.
const char* wanted(const std::string& option) {
  if (option == "--count") return "write a whole number, 1 or more";
  if (option == "--min-free-mb") return "write a whole number of MiB, 0 or more";
  if (option == "--max-util") return "write a whole number of percent, 0 to 100";
  if (option == "--poll") return "write seconds, 0 or more";
  if (option == "--timeout") return "write seconds, 0 or more (0: one try)";
  if (option == "--pid") return "write the number of a process";
  if (option == "--for") return "write seconds, or a number with s, m, h or d (90m)";
  if (option == "--ids") return "write index or uuid";
  return "write indices (2), ranges (0-3), UUIDs (GPU-3f2a...) or PCI addresses (0000:17:00.0), "
         "separated by commas";
}

tl::unexpected<Error> bad(const std::string& option, const std::string& value) {
  return fail(ErrorKind::usage, option + ": " + quoted(value) + " will not do; " + wanted(option));
}

/// A whole number of decimal digits, saturated: what is too large for the type is too large for any
/// machine, and that is for the machine to say.
template <class Number>
std::optional<Number> whole_number(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  Number number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc{} ? number : std::numeric_limits<Number>::max();
}

std::optional<nanoseconds> duration(const std::string& text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() || std::isnan(value) ||
      std::signbit(value)) {
    return std::nullopt;
  }
  return nanoseconds(static_cast<std::int64_t>(std::min(value, kMostSeconds) * 1e9));
}

/// The same with a unit: "90s", "45m", "2h", "1d"; seconds without one.
std::optional<nanoseconds> duration_with_unit(const std::string& text) {
  const std::string units = "smhd";
  const auto unit = text.empty() ? std::string::npos : units.find(text.back());
  if (unit == std::string::npos) return duration(text);
  constexpr std::int64_t kSeconds[] = {1, 60, 3600, 86400};
  const std::optional<nanoseconds> number = duration(text.substr(0, text.size() - 1));
  if (!number) return std::nullopt;
  const double seconds =
      std::chrono::duration<double>(*number).count() * static_cast<double>(kSeconds[unit]);
  return nanoseconds(static_cast<std::int64_t>(std::min(seconds, kMostSeconds) * 1e9));
}

/// Levenshtein distance, for "did you mean".
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

/// Are the letters of `word` in `text`, in this order? Then it may be an abbreviation.
bool abbreviates(const std::string& word, const std::string& text) {
  std::size_t at = 0;
  for (const char c : text) {
    if (at < word.size() && word[at] == c) ++at;
  }
  return at == word.size();
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  const auto far = [&](const std::string& name) {
    return std::make_pair(abbreviates(word, name) ? 0 : 1, distance(word, name));
  };
  return *std::min_element(
      known.begin(), known.end(),
      [&](const std::string& a, const std::string& b) { return far(a) < far(b); });
}

/// The option words as they were written; their values are checked by ourselves, so that every
/// refusal reads alike.
struct Words {
  std::optional<std::string> count, min_free, max_util, only, exclude, poll, timeout, ids, pid,
      hold_for;
  bool quiet = false;
  bool json = false;
  bool help = false;
};

void describe(CLI::App& app, Verb verb, Words& words) {
  app.set_help_flag("");
  app.allow_extras();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_flag("-h,--help", words.help)->disable_flag_override();
  if (verb != Verb::run) app.add_flag("--json", words.json)->disable_flag_override();
  if (verb == Verb::status) return;
  const auto add = [&](const char* names, std::optional<std::string>& value) {
    app.add_option_function<std::string>(names,
                                         [&value](const std::string& text) { value = text; });
  };
  add("-n,--count", words.count);
  add("--min-free-mb", words.min_free);
  add("--max-util", words.max_util);
  add("--only", words.only);
  add("--exclude", words.exclude);
  add("--poll", words.poll);
  add("--timeout", words.timeout);
  add("--ids", words.ids);
  if (verb == Verb::hold) {
    add("--pid", words.pid);
    add("--for", words.hold_for);
  }
  app.add_flag("-q,--quiet", words.quiet)->disable_flag_override();
}

Result<std::vector<GpuRef>> gpu_list(const std::string& option, const std::string& text) {
  if (text.find_first_not_of(" \t") == std::string::npos) {
    return fail(ErrorKind::usage, option + ": the list is empty; " + wanted(option));
  }
  Result<std::vector<GpuRef>> list = parse_gpu_list(text);
  if (list) return list;
  return fail(ErrorKind::usage, option + ": " + quoted(text) + ": " + list.error().text +
                                    " is not a GPU; " + wanted(option));
}

Status read_values(const Words& words, Options& options) {
  options.quiet = words.quiet;
  options.json = words.json;
  if (words.count) {
    const auto count = whole_number<int>(*words.count);
    if (!count || *count < 1) return bad("--count", *words.count);
    options.criteria.count = *count;
  }
  if (words.min_free) {
    options.criteria.min_free_mib = whole_number<std::int64_t>(*words.min_free);
    if (!options.criteria.min_free_mib) {
      return bad("--min-free-mb", *words.min_free);
    }
  }
  if (words.max_util) {
    options.criteria.max_util_pct = whole_number<int>(*words.max_util);
    if (!options.criteria.max_util_pct || *options.criteria.max_util_pct > 100) {
      return bad("--max-util", *words.max_util);
    }
  }
  if (words.only) {
    Result<std::vector<GpuRef>> list = gpu_list("--only", *words.only);
    if (!list) return fail(list.error());
    options.only = std::move(*list);
  }
  if (words.exclude) {
    Result<std::vector<GpuRef>> list = gpu_list("--exclude", *words.exclude);
    if (!list) return fail(list.error());
    options.exclude = std::move(*list);
  }
  if (words.poll) {
    const auto poll = duration(*words.poll);
    if (!poll) return bad("--poll", *words.poll);
    options.poll = std::max(*poll, nanoseconds(static_cast<std::int64_t>(kLeastPollSeconds * 1e9)));
  }
  if (words.timeout) {
    options.timeout = duration(*words.timeout);
    if (!options.timeout) {
      return bad("--timeout", *words.timeout);
    }
  }
  if (words.pid) {
    options.pid = whole_number<pid_t>(*words.pid);
    if (!options.pid || *options.pid < 1) return bad("--pid", *words.pid);
  }
  if (words.hold_for) {
    options.hold_for = duration_with_unit(*words.hold_for);
    if (!options.hold_for) return bad("--for", *words.hold_for);
  }
  if (words.ids) {
    if (*words.ids != "index" && *words.ids != "uuid") {
      return bad("--ids", *words.ids);
    }
    options.ids = *words.ids == "uuid" ? Ids::uuid : Ids::index;
  }
  return {};
}

const char* name_of(Verb verb) {
  switch (verb) {
    case Verb::run:
      return "run";
    case Verb::wait:
      return "wait";
    case Verb::hold:
      return "hold";
    case Verb::status:
      return "status";
    default:
      return "";
  }
}

std::vector<std::string> known_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

/// "; the nearest is --count", if one is near enough to be meant.
std::string nearest_hint(const std::string& word, const std::vector<std::string>& known) {
  const std::string name = nearest(word, known);
  const bool near = word.size() > 2 && (abbreviates(word, name) || distance(word, name) <= 3);
  return near ? "; the nearest is " + name : "";
}

tl::unexpected<Error> unexpected_word(const CLI::App& app, Verb verb, const std::string& word) {
  const std::string name = name_of(verb);
  if (verb == Verb::run && word == "--json") {
    return fail(ErrorKind::usage,
                "run: '--json' belongs to wait, hold and status; run's output is the command's");
  }
  if (word.size() > 1 && word[0] == '-') {
    const auto equals = word.find('=');
    const std::string option = equals > 1 ? word.substr(0, equals) : word;
    return fail(ErrorKind::usage, name + ": there is no option " + quoted(option) +
                                      nearest_hint(option, known_options(app)) + " (see gpu-gate " +
                                      name + " --help)");
  }
  if (verb == Verb::run) {
    return fail(
        ErrorKind::usage,
        "run: " + quoted(word) + " is not an option; the command comes after `--`: " + kRightForm);
  }
  return fail(ErrorKind::usage,
              name + ": " + quoted(word) + " is not an option; " + name + " takes no arguments");
}

/// A refusal of CLI11 in our words: it names the option first, "--count: 1 required TEXT
/// missing".
tl::unexpected<Error> refused(Verb verb, const CLI::ParseError& error) {
  const std::string name = name_of(verb);
  const std::string text = error.what();
  const auto override_at = text.find(" was given a disallowed flag override");
  if (override_at != std::string::npos) {
    return fail(ErrorKind::usage, name + ": --" + text.substr(0, override_at) + ": takes no value");
  }
  const std::string option = text.substr(0, text.find(':'));
  if (option.rfind("--", 0) == 0 && option.find(' ') == std::string::npos) {
    return fail(ErrorKind::usage,
                name + ": " + option + ": the value is missing; " + wanted(option));
  }
  return fail(ErrorKind::usage, name + ": " + printable(text));
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& words) {
  Options options;
  if (words.empty()) {
    return fail(ErrorKind::usage,
                std::string("there is no subcommand; write run, wait, hold or status, as in ") +
                    kRightForm + " (see gpu-gate --help)");
  }
  const std::string& first = words.front();
  if (first == "--help" || first == "-h" || first == "help") {
    if (words.size() > 1) options.help_topic = words[1];
    return options;
  }
  if (first == "--version") {
    options.verb = Verb::version;
    return options;
  }
  if (first == "run") {
    options.verb = Verb::run;
  } else if (first == "wait") {
    options.verb = Verb::wait;
  } else if (first == "hold") {
    options.verb = Verb::hold;
  } else if (first == "status") {
    options.verb = Verb::status;
  } else if (first[0] == '-' && first != "-") {
    return fail(ErrorKind::usage, quoted(first) + " will not do here" +
                                      nearest_hint(first, {"--help", "--version"}) +
                                      " (a subcommand comes first: " + kRightForm + ")");
  } else {
    return fail(ErrorKind::usage,
                "there is no subcommand " + quoted(first) +
                    nearest_hint(first, {"run", "wait", "hold", "status", "help"}) +
                    " (run, wait, hold or status; see gpu-gate --help)");
  }

  const auto separator = std::find(words.begin() + 1, words.end(), "--");
  // CLI11 wants the words in reverse.
  std::vector<std::string> before(std::make_reverse_iterator(separator),
                                  std::make_reverse_iterator(words.begin() + 1));
  CLI::App app;
  Words values;
  describe(app, options.verb, values);
  try {
    app.parse(before);
  } catch (const CLI::ParseError& error) {
    return refused(options.verb, error);
  }
  if (values.help) {
    options.help_topic = name_of(options.verb);
    options.verb = Verb::help;
    return options;
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    const std::string& extra = extras.front();
    // Of "-q=5" CLI11 takes the flag and leaves "-=5".
    const auto whole = std::find_if(words.begin() + 1, separator, [&](const std::string& word) {
      return extra.rfind("-=", 0) == 0 && word.size() == extra.size() + 1 && word[0] == '-' &&
             word.substr(2) == extra.substr(1);
    });
    if (whole != separator) {
      return fail(ErrorKind::usage, std::string(name_of(options.verb)) + ": " +
                                        whole->substr(0, 2) + ": takes no value");
    }
    return unexpected_word(app, options.verb, extra);
  }
  if (Status read = read_values(values, options); !read) {
    read.error().text = std::string(name_of(options.verb)) + ": " + read.error().text;
    return fail(read.error());
  }
  if (separator != words.end()) options.command.assign(separator + 1, words.end());
  if (options.verb == Verb::run && options.command.empty()) {
    return fail(ErrorKind::usage,
                std::string("run: there is no command; it comes after `--`: ") + kRightForm);
  }
  if (options.verb != Verb::run && separator != words.end()) {
    return fail(ErrorKind::usage,
                std::string(name_of(options.verb)) +
                    ": takes no command; to run one when a GPU is free: " + kRightForm);
  }
  return options;
}

}  // namespace gpu_gate
