#include "cli/cli.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <initializer_list>

#include "cli/console.h"
#include "cli/eval_line.h"
#include "cli/exit_code.h"
#include "cli/on_slurm.h"
#include "cli/version.h"

namespace gpu_gate {
namespace {

/// No file that is opened later may become 0, 1 or 2: where the caller closed one, it stays
/// occupied until exec closes it again, in a mode in which what is not there cannot be used.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open takes the lowest free number: this one.
    ::open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
  }
}

/// Does what the words say.
Status obey(const Options& options) {
  switch (options.verb) {
    case Verb::run:
      return run_command(options);
    case Verb::wait:
      return options.on_slurm ? wait_on_slurm(options) : wait_command(options);
    case Verb::hold:
      return hold_command(options);
    case Verb::status:
      return options.on_slurm ? slurm_status_command(options) : status_command(options);
    case Verb::queue:
      return queue_command(options);
    case Verb::cancel:
      return cancel_command(options);
    case Verb::history:
      return history_command(options);
    case Verb::doctor:
      return doctor_command(options);
    case Verb::help:
      return print(help_text(options.help_topic));
    case Verb::version:
      return print(std::string("gpu-gate ") + kVersion + " (" + kBuild + ")\n");
  }
  return {};
}

/// The exit code of what was done: 0, or that of a command elsewhere.
Result<int> dispatch(const std::vector<std::string>& words) {
  const Result<Options> options = parse_options(words);
  if (!options) return fail(options.error());
  if (options->verb == Verb::run && options->on_slurm) return run_on_slurm(*options);
  if (Status done = obey(*options); !done) return fail(done.error());
  return 0;
}

}  // namespace

int run_cli(const std::vector<std::string>& words) {
  occupy_standard_descriptors();
  Result<int> done = 0;
  try {
    done = dispatch(words);
  } catch (const std::exception& error) {  // out of memory, at the most
    done = fail(ErrorKind::system, std::string("gave up: ") + error.what());
  }
  if (done) return *done;
  say(done.error().text);
  const int code = exit_code(done.error().kind);
  if (asks_for_export(words)) {
    [[maybe_unused]] const Status printed = print(failure_line(code));
  }
  return code;
}

}  // namespace gpu_gate
