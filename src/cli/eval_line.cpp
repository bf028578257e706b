#include "cli/eval_line.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <initializer_list>

namespace gpu_gate {
namespace {

/// In single quotes a shell takes every character as it is, but that quote itself.
std::string shell_quoted(const std::string& value) {
  std::string text = "'";
  for (const char each : value) {
    if (each == '\'') {
      text += R"('\'')";
    } else {
      text += each;
    }
  }
  return text + "'";
}

/// Only what may be called in a handler (signal-safety(7)).
void write_failure_line(int signal) {
  std::array<char, 12> line{'(', 'e', 'x', 'i', 't', ' ', '1', '0', '0', ')', '\n', '\0'};
  const int code = 128 + signal;
  line[7] = static_cast<char>('0' + code / 10 % 10);
  line[8] = static_cast<char>('0' + code % 10);
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, line.data(), line.size() - 1);
  // By SA_RESETHAND it ends the process now, as soon as it is not blocked any more.
  ::raise(signal);
}

}  // namespace

std::string export_line(std::span<const std::pair<std::string, std::string>> variables,
                        std::span<const std::string> untrue) {
  std::string line;
  for (const std::string& name : untrue) line.append(line.empty() ? "unset " : " ").append(name);
  line += line.empty() ? "export" : "; export";
  for (const auto& [name, value] : variables) {
    line.append(" ").append(name).append("=").append(shell_quoted(value));
  }
  return line + "\n";
}

std::string failure_line(int code) { return "(exit " + std::to_string(code) + ")\n"; }

bool asks_for_export(const std::vector<std::string>& words) {
  return !words.empty() && words.front() == "hold" &&
         std::find(words.begin(), words.end(), "--export") != words.end();
}

FailureLineOnSignal::FailureLineOnSignal() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGILL,
                           SIGABRT, SIGBUS, SIGFPE, SIGSEGV}) {
    struct sigaction before{};
    if (::sigaction(signal, nullptr, &before) != 0 || before.sa_handler != SIG_DFL) continue;
    struct sigaction action{};
    action.sa_handler = write_failure_line;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(signal, &action, nullptr);
    before_.emplace_back(signal, before);
  }
}

FailureLineOnSignal::~FailureLineOnSignal() {
  for (const auto& [signal, action] : before_) ::sigaction(signal, &action, nullptr);
}

}  // namespace gpu_gate
