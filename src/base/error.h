#pragma once

#include <cerrno>
#include <string>
#include <string_view>

namespace gpu_gate {

/// What the process exits with. The README's table "Exit codes" is this list.
enum class ExitCode {
  ok = 0,
  usage = 2,       // bad invocation
  impossible = 3,  // the requirements can never be met on this machine
  gpu_state = 4,   // the state of the GPUs cannot be read
  lock_dir = 5,    // the lock directory cannot be used
  timeout = 124,   // --timeout passed
  not_executable = 126,
  not_found = 127,
};

/// Why something failed and which exit code it leads to. `text` is one or more lines for the user,
/// without the program's name; only main's room (cli) prints it.
struct Error {
  ExitCode code = ExitCode::usage;
  std::string text;
  int errnum = 0;  // the errno behind it, 0 if none
};

/// "call(path): strerror", the one form in which a failed system call is told.
Error system_error(ExitCode code, std::string_view call, std::string_view path, int errnum);

}  // namespace gpu_gate
