#include <unistd.h>

#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "job/environment.h"

namespace gpu_gate {

Status print_devices(const Options& options, const Granted& granted) {
  const std::string visible =
      device_list(granted.devices, naming(ids_of(options, granted), environ));
  return print(options.json ? devices_json(granted.devices, visible, granted.claim)
                            : visible + "\n");
}

Status wait_command(const Options& options) {
  const Result<Granted> granted =
      acquire(options, {.keep_devices = false, .owner = this_process({"gpu-gate", "wait"})});
  if (!granted) return fail(granted.error());
  return print_devices(options, *granted);
}

}  // namespace gpu_gate
