#include "cli/reference.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "cli/tables.h"
#include "cli/wrap.h"

namespace gpu_gate {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t kPageWidth = 100;

std::string joined(const Lines& parts, const std::string& between) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += between;
    text += part;
  }
  return text;
}

/// {"-n", "--count"}
Lines names_of(const OptionRow& option) {
  if (option.letter == '\0') return {option.name};
  return {std::string("-") + option.letter, option.name};
}

Lines verb_names() {
  Lines names;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb != Verb::help) names.emplace_back(verb.name);
  }
  return names;
}

/// What a completion says of an option.
std::string short_text(const OptionRow& option) {
  const std::string fallback = option.fallback;
  return option.summary + (fallback.empty() ? "" : " (" + fallback + ")");
}

/// "index uuid" of "index|uuid".
std::string alternatives(const OptionRow& option) {
  std::string words = option.value;
  std::replace(words.begin(), words.end(), '|', ' ');
  return words;
}

// The man page, in scdoc.

/// Options and variables are bold, names of values underlined.
std::string marked_up(const std::string& word) {
  const std::size_t length = word.find_last_not_of(".,;:)") + 1;
  const std::string name = word.substr(0, length);
  const bool capitals = std::all_of(
      name.begin(), name.end(), [](unsigned char c) { return c == '_' || std::isupper(c) != 0; });
  const bool is_value =
      std::any_of(option_rows().begin(), option_rows().end(),
                  [&](const OptionRow& option) { return !name.empty() && name == option.value; });
  std::string mark;
  if (is_value) mark = "_";
  if (name.starts_with("--") || (capitals && name.find('_') != std::string::npos)) mark = "*";
  std::string text = std::string(mark).append(name).append(mark).append(word, length);
  // The asterisk of "0:*" is no mark.
  if (const auto all = text.find(":*"); all != std::string::npos) text.insert(all + 1, "\\");
  return text;
}

Lines man_paragraph(const std::string& text, const std::string& indent) {
  Lines words = wrapped(text, 0);
  std::transform(words.begin(), words.end(), words.begin(), marked_up);
  Lines lines = wrapped(joined(words, " "), kPageWidth);
  for (std::string& line : lines) line.insert(0, indent);
  return lines;
}

Lines man_option(const OptionRow& option) {
  Lines lines{"*" + joined(names_of(option), "*, *") + "*"};
  const bool attached = option.value_attached;
  if (*option.value != '\0') {
    lines.back() += (attached ? "[=_" : " _") + std::string(option.value) + (attached ? "_]" : "_");
  }
  std::string text = described(option) + ". " + option.manual;
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  for (std::string& line : man_paragraph(text, "\t")) lines.push_back(std::move(line));
  lines.emplace_back();
  return lines;
}

/// A heading names the subcommands that have the options below it.
Lines man_options() {
  Lines lines;
  for (const GroupRow& group : group_rows()) {
    VerbSet verbs = 0;
    for (const OptionRow& option : option_rows()) {
      if (option.group != group.group) continue;
      if (option.verbs != verbs) {
        lines.push_back(std::string("## ") + group.title + ": " + joined(verb_names(option), ", "));
        lines.emplace_back();
      }
      verbs = option.verbs;
      for (std::string& line : man_option(option)) lines.push_back(std::move(line));
    }
    for (std::string& line : man_paragraph(group.note, "")) lines.push_back(std::move(line));
    if (*group.note != '\0') lines.emplace_back();
  }
  lines.pop_back();
  return lines;
}

// bash

Lines bash_values() {
  Lines lines;
  for (const OptionRow& option : option_rows()) {
    if (*option.value == '\0' || option.value_attached) continue;
    const std::string names = joined(names_of(option), " | ") + ") ";
    switch (option.completion) {
      case Completion::none:
        lines.push_back(names + "return ;;");
        break;
      case Completion::gpus:
        lines.push_back(names + "_gpu_gate_list \"$program\" \"$word\"; return ;;");
        break;
      case Completion::words:
        lines.push_back(names + "words='" + alternatives(option) + "' ;;");
        break;
      case Completion::processes:
        lines.push_back(names + "words=$(cd /proc && echo [1-9]*) ;;");
        break;
      case Completion::users:
        lines.push_back(names + "words=$(compgen -u) ;;");
        break;
      case Completion::files:
        lines.push_back(names + "mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;");
        break;
    }
  }
  return lines;
}

Lines bash_words() {
  const std::string verbs = joined(verb_names(), " ");
  Lines lines{"'') words='" + verbs + " help --help --version' ;;",
              "help) words='" + verbs + "' ;;"};
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    Lines words;
    for (const OptionRow& option : option_rows()) {
      if (!belongs(option, verb.verb)) continue;
      for (std::string& name : names_of(option)) words.push_back(std::move(name));
    }
    if (verb.verb == Verb::run) words.emplace_back("--");
    lines.push_back(std::string(verb.name) + ") words='" + joined(words, " ") + "' ;;");
  }
  return lines;
}

// zsh

Lines zsh_subcommands() {
  Lines lines;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    lines.push_back(std::string("'") + verb.name + ":" + verb.purpose + "'");
  }
  return lines;
}

std::string zsh_option(const OptionRow& option) {
  const std::string name = option.name;
  const std::string text = "[" + short_text(option) + "]";
  const bool flag = *option.value == '\0';
  std::string value;
  if (!flag) value = std::string(option.value_attached ? "::" : ":") + option.value;
  if (option.completion == Completion::gpus) value += ":_gpu_gate_list";
  if (option.completion == Completion::processes) value += ":_pids";
  if (option.completion == Completion::users) value += ":_users";
  if (option.completion == Completion::files) value += ":_files";
  if (option.completion == Completion::words) value += ":(" + alternatives(option) + ")";
  if (option.letter == '\0') {
    return std::string(option.repeatable ? "'*" : "'") + name +
           (flag                    ? ""
            : option.value_attached ? "=-"
                                    : "=") +
           text + value + "'";
  }
  const std::string letter = std::string("-") + option.letter;
  const std::string both = flag ? letter + "," + name : letter + "+," + name + "=";
  return "'(" + letter + " " + name + ")'{" + both + "}'" + text + value + "'";
}

Lines zsh_options() {
  Lines lines;
  for (const VerbRow& verb : verb_rows()) {
    if (verb.verb == Verb::help) continue;
    lines.push_back(std::string(verb.name) + ") _arguments -s : \\");
    for (const OptionRow& option : option_rows()) {
      if (belongs(option, verb.verb)) lines.push_back("  " + zsh_option(option) + " \\");
    }
    if (verb.verb == Verb::run) lines.emplace_back("  '*:before the command:(--)' \\");
    lines.emplace_back("  ;;");
  }
  return lines;
}

// fish

Lines fish_subcommands() {
  Lines lines;
  for (const VerbRow& verb : verb_rows()) {
    lines.push_back(std::string("complete -c gpu-gate -n __gpu_gate_first -a ") + verb.name +
                    " -d '" + verb.purpose + "'");
  }
  lines.push_back("complete -c gpu-gate -n '__gpu_gate_in help' -a '" + joined(verb_names(), " ") +
                  "'");
  return lines;
}

Lines fish_options() {
  Lines lines;
  for (const OptionRow& option : option_rows()) {
    std::string line =
        "complete -c gpu-gate -n '__gpu_gate_in " + joined(verb_names(option), " ") + "'";
    if (option.letter != '\0') line += std::string(" -s ") + option.letter;
    line += " -l " + std::string(option.name).substr(2);
    if (*option.value != '\0' && !option.value_attached) {
      line += option.completion == Completion::files ? " -r" : " -x";
    }
    if (option.completion == Completion::gpus) {
      line += " -a '(__fish_complete_list , __gpu_gate_gpus)'";
    }
    if (option.completion == Completion::processes) line += " -a '(__fish_complete_pids)'";
    if (option.completion == Completion::users) line += " -a '(__fish_complete_users)'";
    if (option.completion == Completion::words) line += " -a '" + alternatives(option) + "'";
    lines.push_back(line + " -d '" + short_text(option) + "'");
  }
  return lines;
}

Result<Lines> lines_named(const std::string& name) {
  constexpr std::pair<std::string_view, Lines (*)()> kParts[] = {
      {"@man_options@", man_options},   {"@bash_values@", bash_values},
      {"@bash_words@", bash_words},     {"@zsh_subcommands@", zsh_subcommands},
      {"@zsh_options@", zsh_options},   {"@fish_subcommands@", fish_subcommands},
      {"@fish_options@", fish_options},
  };
  for (const auto& [known, lines] : kParts) {
    if (name == known) return lines();
  }
  return fail(ErrorKind::usage, name);
}

}  // namespace

Result<std::string> filled_in(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::string name = line.substr(indent);
    if (name.size() < 2 || name.front() != '@' || name.back() != '@') {
      result.append(line).append("\n");
      continue;
    }
    const Result<Lines> lines = lines_named(name);
    if (!lines) return fail(lines.error());
    for (const std::string& each : *lines) {
      if (!each.empty()) result.append(indent, ' ').append(each);
      result.append("\n");
    }
  }
  return result;
}

std::string options_listed() {
  std::string text;
  for (const OptionRow& option : option_rows()) {
    text +=
        joined({option.name, option.value, option.fallback, joined(verb_names(option), " ")}, "\t");
    text += "\n";
  }
  return text;
}

}  // namespace gpu_gate
