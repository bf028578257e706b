#pragma once

#include <string>
#include <string_view>

namespace gpu_gate {

/// What went wrong, by kind. Only cli knows the exit code of each (cli/exit_code.h).
enum class ErrorKind {
  usage,       // bad invocation
  impossible,  // the requirements can never be met on this machine
  gpu_state,   // the state of the GPUs cannot be read
  no_driver,   // likewise, since their driver is not there: the machine may have none
  lock_dir,    // the lock directory cannot be used
  lock_file,   // a call on a file in it failed: explain_lock_error makes it a lock_dir
  replaced,    // the lock directory was removed or replaced while it was open: open it anew
  system,      // the machine gives the program itself too little: descriptors, memory, processes
  output,      // standard output cannot be written
  timed_out,   // the wait took too long
  unhealthy,   // doctor has found faults, and has told of them
  not_done,    // a part of what was asked for could not be done
  not_executable,
  not_found,
};

/// What `text` says, in two parts for a list of troubles.
struct Diagnosis {
  std::string what;
  std::string remedy;  // a line to paste into a shell; "" where none helps
};

/// Why something failed. `text` is one or more lines for the user, without the program's name; only
/// cli prints it.
struct Error {
  ErrorKind kind = ErrorKind::usage;
  std::string text;
  int errnum = 0;            // the errno behind it, 0 if none
  Diagnosis diagnosis = {};  // of what the machine lacks (gpu_state, lock_dir); else empty
};

/// "call(path): strerror", the one form in which a failed system call is reported. An errno that
/// says that this process may have too little (EMFILE, ENFILE, EFBIG, ENOMEM) makes it an
/// ErrorKind::system with its remedy, whatever `kind` was meant.
Error system_error(ErrorKind kind, std::string_view call, std::string_view path, int errnum);

}  // namespace gpu_gate
