#include <unistd.h>

#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/eval_line.h"
#include "cli/json_output.h"
#include "job/environment.h"

namespace gpu_gate {

Status print_devices(const Options& options, const Granted& granted) {
  const JobDevices job = job_devices(options, granted);
  if (options.export_line) {
    return print(export_line(job_variables(environ, job), untrue_variables(environ, job)));
  }
  const std::string visible = runtime_list(granted.devices, naming(job, environ));
  return print(options.json
                   ? devices_json(granted.devices, visible, granted.claim, granted.share_mib)
                   : visible + "\n");
}

Status wait_command(const Options& options) {
  const Result<Granted> granted =
      acquire(options, {.keep_devices = false, .owner = this_process({"gpu-gate", "wait"})});
  if (!granted) return fail(granted.error());
  return print_devices(options, *granted);
}

}  // namespace gpu_gate
