#include <unistd.h>

#include <cstdlib>

#include "base/env.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/keep_history.h"
#include "cli/meant_command.h"
#include "job/command.h"
#include "job/environment.h"

namespace gpu_gate {

Status run_command(const Options& options) {
  const char* path = std::getenv(env::kPath);
  const Result<std::string> file = find_command(options.command.front(), path);
  if (!file) return fail(with_hint(file.error(), options.command, path));
  reserve_descriptors(static_cast<std::size_t>(options.criteria.count));
  const Owner owner = this_process(options.command);
  Result<Granted> granted = acquire(options, {.owner = owner, .with_process = true});
  if (!granted) return fail(granted.error());

  if (Status handed = hand_over(granted->held); !handed) return handed;
  const auto environment = job_environment(environ, job_devices(options, *granted));
  keep_history(*granted, {.owner = owner, .note = options.note, .with_process = true});
  return fail(exec_command(*file, options.command, environment));
}

}  // namespace gpu_gate
