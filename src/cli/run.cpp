#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/text.h"
#include "job/command.h"
#include "job/environment.h"

namespace gpu_gate {
namespace {

std::string using_text(const WaitEnd& end) {
  std::string text = end.devices.size() == 1 ? "using GPU " : "using GPUs ";
  for (std::size_t i = 0; i < end.devices.size(); ++i) {
    const Device& device = end.devices[i];
    text += fmt::format("{}{} ({}, {} MiB free)", i == 0 ? "" : ", ", device.index,
                        printable(device.name), device.memory_free_mib);
  }
  if (end.waited) {
    text +=
        fmt::format(" after {}",
                    human_duration(std::chrono::duration_cast<std::chrono::seconds>(end.duration)));
  }
  return text;
}

}  // namespace

Status run_command(const Options& options) {
  const Result<std::string> file = find_command(options.command.front(), std::getenv("PATH"));
  if (!file) return fail(file.error());
  Result<WaitEnd> end = acquire(options, options.command, true);
  if (!end) return fail(end.error());
  if (!options.quiet) say(using_text(*end));
  if (Status handed = hand_over(end->held); !handed) return handed;
  return fail(exec_command(*file, options.command,
                           job_environment(environ, end->devices, options.ids, end->claim)));
}

}  // namespace gpu_gate
