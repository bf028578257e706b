#include <unistd.h>

#include <cstdlib>

#include "base/env.h"
#include "base/printable.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/values.h"
#include "job/command.h"
#include "job/environment.h"

namespace gpu_gate {
namespace {

/// Where the whole command stands in quotes, and so is one word, says how to write it.
Error with_hint_at_quotes(Error error, const std::string& name) {
  if (error.kind != ErrorKind::not_found || name.find(' ') == std::string::npos) return error;
  const bool needs_shell = name.find_first_of("|&;<>()$`*?\"'\\") != std::string::npos;
  const std::vector<std::string> script{"sh", "-c", name};
  const std::optional<std::string> line = needs_shell ? shell_line(script) : printable(name);
  if (!line) return error;
  error.text += needs_shell ? "; for a line of shell write -- " : "; write it without quotes: -- ";
  error.text += *line;
  return error;
}

}  // namespace

Status run_command(const Options& options) {
  const Result<std::string> file = find_command(options.command.front(), std::getenv(env::kPath));
  if (!file) return fail(with_hint_at_quotes(file.error(), options.command.front()));
  reserve_descriptors(static_cast<std::size_t>(options.criteria.count));
  Result<Granted> granted =
      acquire(options, {.owner = this_process(options.command), .with_process = true});
  if (!granted) return fail(granted.error());

  if (Status handed = hand_over(granted->held); !handed) return handed;
  return fail(exec_command(*file, options.command,
                           job_environment(environ, job_devices(options, *granted))));
}

}  // namespace gpu_gate
