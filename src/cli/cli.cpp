#include "cli/cli.h"

#include <fcntl.h>
#include <unistd.h>

#include <exception>

#include "cli/console.h"
#include "cli/version.h"

namespace gpu_gate {
namespace {

/// No file that is opened later may become 0, 1 or 2: where the caller closed one, it stays
/// occupied until exec closes it again.
void occupy_standard_descriptors() {
  for (int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0 && fd <= STDERR_FILENO;) {
    fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd > STDERR_FILENO) ::close(fd);
  }
}

Status print_all(const std::string& text) {
  if (print(text)) return {};
  return fail(ExitCode::usage, "cannot write to standard output");
}

Status dispatch(const std::vector<std::string>& words) {
  const Result<Options> options = parse_options(words);
  if (!options) return fail(options.error());
  switch (options->verb) {
    case Verb::run:
      return run_command(*options);
    case Verb::wait:
      return wait_command(*options);
    case Verb::status:
      return status_command(*options);
    case Verb::help:
      return print_all(help_text(options->help_topic));
    case Verb::version:
      return print_all("gpu-gate " + std::string(kVersion) + "\n");
  }
  return {};
}

}  // namespace

int run_cli(const std::vector<std::string>& words) {
  occupy_standard_descriptors();
  Status done;
  try {
    done = dispatch(words);
  } catch (const std::exception& error) {  // out of memory, at the most
    done = fail(ExitCode::lock_dir, std::string("gave up: ") + error.what());
  }
  if (done) return static_cast<int>(ExitCode::ok);
  say(done.error().text);
  return static_cast<int>(done.error().code);
}

}  // namespace gpu_gate
