#include <unistd.h>

#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "job/environment.h"

namespace gpu_gate {

Status print_devices(const Options& options, const WaitEnd& end) {
  const Ids ids = naming(options.ids, variable(environ, "CUDA_DEVICE_ORDER"));
  const std::string visible = device_list(end.devices, ids);
  return print(options.json ? devices_json(end.devices, visible, end.claim) : visible + "\n");
}

Status wait_command(const Options& options) {
  const Result<WaitEnd> end = acquire(options, {this_process({"gpu-gate", "wait"}), false});
  if (!end) return fail(end.error());
  return print_devices(options, *end);
}

}  // namespace gpu_gate
