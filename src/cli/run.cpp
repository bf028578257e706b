#include <unistd.h>

#include <cstdlib>

#include "base/env.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "job/command.h"
#include "job/environment.h"

namespace gpu_gate {

Status run_command(const Options& options) {
  const Result<std::string> file = find_command(options.command.front(), std::getenv(env::kPath));
  if (!file) return fail(file.error());
  reserve_descriptors(static_cast<std::size_t>(options.criteria.count));
  Result<Granted> granted =
      acquire(options, {.owner = this_process(options.command), .with_process = true});
  if (!granted) return fail(granted.error());

  if (Status handed = hand_over(granted->held); !handed) return handed;
  return fail(exec_command(
      *file, options.command,
      job_environment(environ, granted->devices, ids_of(options, *granted), granted->claim)));
}

}  // namespace gpu_gate
