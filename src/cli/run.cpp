#include <unistd.h>

#include <cstdlib>

#include "cli/acquire.h"
#include "cli/cli.h"
#include "job/command.h"
#include "job/environment.h"

namespace gpu_gate {
Status run_command(const Options& options) {
  const Result<std::string> file = find_command(options.command.front(), std::getenv("PATH"));
  if (!file) return fail(file.error());
  Result<WaitEnd> end = acquire(options, {this_process(options.command), true, true});
  if (!end) return fail(end.error());

  if (Status handed = hand_over(end->held); !handed) return handed;
  return fail(exec_command(*file, options.command,
                           job_environment(environ, end->devices, options.ids, end->claim)));
}

}  // namespace gpu_gate
