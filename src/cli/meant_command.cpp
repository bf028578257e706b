#include "cli/meant_command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/printable.h"
#include "cli/tables.h"
#include "cli/values.h"
#include "job/command.h"

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

/// What a shell does itself; of these some are programs, too, and are then found.
constexpr std::string_view kOfShells[] = {
    "cd",  "source", ".",     "alias", "ulimit", "umask", "set", "eval", "pushd", "shopt", "trap",
    "for", "if",     "while", "until", "case",   "[[",    "{",   "(",    "type",  "exec",
};

bool is_of_shells(const std::string& word) {
  return std::find(std::begin(kOfShells), std::end(kOfShells), word) != std::end(kOfShells);
}

/// "NAME=VALUE".
bool is_assignment(const std::string& word) {
  const auto equals = word.find('=');
  return equals != std::string::npos && equals > 0 &&
         std::isdigit(static_cast<unsigned char>(word[0])) == 0 &&
         std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(equals),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

bool needs_shell(const std::string& line) {
  return line.find_first_of("|&;<>()$`*?\"'\\") != std::string::npos;
}

/// A line for a shell as words: by `bash` where sh(1) has no such command.
Words by_shell(const Words& command) {
  const std::string shell = command.front() == "source" || command.front() == "[[" ? "bash" : "sh";
  std::string line;
  for (const std::string& word : command) line += (line.empty() ? "" : " ") + shell_word(word);
  const bool whole = command.front() == "for" || command.front() == "if" ||
                     command.front() == "while" || command.front() == "until";
  return {shell, "-c", whole ? line : line + " && COMMAND"};
}

Words split_at_blanks(const std::string& text) {
  Words words;
  for (std::size_t at = text.find_first_not_of(' '); at != std::string::npos;) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(' ', end);
  }
  return words;
}

/// How to run a script that was named without its folder or is not executable; none for others.
Words as_script(const Error& error, const std::string& name) {
  struct stat info{};
  const bool here = error.kind == ErrorKind::not_found && name.find('/') == std::string::npos &&
                    ::stat(name.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  if (here && ::access(name.c_str(), X_OK) == 0) return {"./" + name};
  if (!here && error.kind != ErrorKind::not_executable) return {};
  if (name.ends_with(".py")) return {"python3", name};
  if (name.ends_with(".sh")) return {"sh", name};
  return {};
}

}  // namespace

Words as_program(const Words& command) {
  if (command.empty()) return command;
  const std::string& name = command.front();
  if (command.size() == 1 && name.find(' ') != std::string::npos) {
    return needs_shell(name) ? Words{"sh", "-c", name} : as_program(split_at_blanks(name));
  }
  if (is_of_shells(name)) return by_shell(command);
  Words words = command;
  if (name == "export" && command.size() > 1) words.erase(words.begin());
  if (!is_assignment(words.front())) return command;
  if (name == "export") words.emplace_back("COMMAND");
  words.insert(words.begin(), "env");
  return words;
}

namespace {

std::string hint_at_shell(const Words& command) {
  const std::string& name = command.front();
  const Words program = as_program(command);
  const std::optional<std::string> line = shell_line(program);
  if (program == command || !line) return "";
  const bool in_quotes = command.size() == 1 && name.find(' ') != std::string::npos;
  if (program.front() == "env") return "; to set a variable write -- " + *line;
  if (in_quotes && program.back() != name) return "; write it without quotes: -- " + *line;
  return "; for a line of shell write -- " + *line;
}

}  // namespace

Error with_hint(Error error, const Words& command, const char* path) {
  const std::string& name = command.front();
  Words program = as_script(error, name);
  if (!program.empty()) {
    program.insert(program.end(), command.begin() + 1, command.end());
    if (const auto line = shell_line(program)) error.text += "; write -- " + *line;
    return error;
  }
  if (error.kind != ErrorKind::not_found) return error;
  if (name.starts_with('-') && find_option(Verb::run, name.substr(0, name.find('='))) != nullptr) {
    error.text += "; options of gpu-gate come before the `--`";
  } else if (name.starts_with(kSetsVisible)) {
    error.text += "; gpu-gate sets this variable itself: to choose GPUs, write --only";
  } else if (name == "python" && find_command("python3", path)) {
    error.text += "; here it is called python3";
  } else {
    error.text += hint_at_shell(command);
  }
  return error;
}

}  // namespace gpu_gate
