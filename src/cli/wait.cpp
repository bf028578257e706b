#include <unistd.h>

#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "job/environment.h"

namespace gpu_gate {

Status wait_command(const Options& options) {
  const Result<WaitEnd> end = acquire(options, {"gpu-gate", "wait"}, false);
  if (!end) return fail(end.error());
  const Ids ids = naming(options.ids, variable(environ, "CUDA_DEVICE_ORDER"));
  const std::string visible = device_list(end->devices, ids);
  if (print(options.json ? wait_json(end->devices, visible) : visible + "\n")) return {};
  return fail(ExitCode::usage, "cannot write to standard output");
}

}  // namespace gpu_gate
