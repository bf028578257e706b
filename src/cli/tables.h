#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace gpu_gate {

/// The subcommands and the options, a row each. Parsing, refusals and --help are made from these
/// tables, and so are the man page's OPTIONS, the completions and the check of the Python front
/// (cli/reference.h).

struct VerbRow {
  Verb verb = Verb::help;
  const char* name = "";
  const char* synopsis = "";  // what follows its name
  const char* purpose = "";   // in a list of all of them
  const char* help = "";      // --help: what it does, in a line
  const char* details = "";   // --help: what else there is to say, before its options
  bool takes_pids = false;    // behind its options
};

using VerbSet = unsigned;  // a bit for each Verb

constexpr VerbSet verb_set(std::initializer_list<Verb> verbs) {
  VerbSet set = 0;
  for (const Verb verb : verbs) set |= 1U << static_cast<unsigned>(verb);
  return set;
}

/// A heading in --help and in the man page, with what is to be said of all its options.
enum class Group { choice, waiting, holding, past, result, cluster, other };

struct GroupRow {
  Group group = Group::other;
  const char* title = "";
  const char* note = "";
};

/// What a shell offers as an option's value.
enum class Completion { none, gpus, words, processes, users, files };

struct OptionRow {
  const char* name = "";        // "--count"
  char letter = '\0';           // 'n' for -n
  const char* value = "";       // what --help calls its value: "N"; "" for a flag
  bool value_attached = false;  // it may be left out, and is written behind "=": --watch=2
  bool repeatable = false;      // each value counts, not only the last
  const char* fallback = "";    // the default, where there is one to tell
  const char* wanted = "";      // what to write as its value: "1 or more"
  VerbSet verbs = 0;
  Group group = Group::other;
  Completion completion = Completion::none;
  /// Puts the value into its place. nullptr for --help, which is answered before any value is read.
  Status (*read)(Options& options, const std::string& value) = nullptr;
  /// What a value that it does not read was meant as (cli/meant_value.h); may be nullptr.
  std::string (*meant)(const std::string& value) = nullptr;
  const char* summary = "";    // a few words: --help, man page and completions begin with them
  const char* details = "";    // what --help and the man page add, as "; 0: one try"
  const char* manual = "";     // what only the man page adds: sentences
  const char* elsewhere = "";  // what to use where a subcommand does not have it
};

/// What other programs call one of our options: "gpus" for --count. Of several rows with a word the
/// first whose option takes the value is meant.
struct MeantRow {
  std::string_view word;  // or a letter
  const char* option = "";
  const char* value = nullptr;  // that the option then needs, whatever follows the word
  const char* also = nullptr;   // another one that may be meant
  const char* also_for = "";    // when
};

/// What other programs call one of our subcommands: "ls" for status.
struct MeantVerbRow {
  std::string_view words;  // with spaces around each
  const char* verb = "";
};

std::span<const VerbRow> verb_rows();
std::span<const GroupRow> group_rows();
std::span<const OptionRow> option_rows();
std::span<const MeantRow> meant_rows();
/// The subcommand that this word of other programs stands for; nullptr where it is none.
const VerbRow* meant_verb(const std::string& word);

/// "--count N", "--json", "--watch[=T]".
std::string written(const OptionRow& option);
/// nullptr where there is no such subcommand.
const VerbRow* find_verb(std::string_view name);
bool belongs(const OptionRow& option, Verb verb);
/// `name`: with its dashes, "--count" or "-n".
bool is_named(const OptionRow& option, std::string_view name);
/// nullptr where this subcommand has no such option.
const OptionRow* find_option(Verb verb, std::string_view name);
/// What --help says of it: "seconds between looks at the GPUs (default: 5)".
std::string described(const OptionRow& option);
/// The names of the subcommands that have an option: {"wait", "hold"}.
std::vector<std::string> verb_names(const OptionRow& option);

}  // namespace gpu_gate
