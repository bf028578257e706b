#include "report/doctor.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/env.h"
#include "base/printable.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/console.h"
#include "cli/doctor_text.h"
#include "cli/json_output.h"
#include "cluster/allocation.h"

namespace gpu_gate {

Status doctor_command(const Options& options) {
  Result<LockPlace> lock = look_at_lock_dir(lock_dir_paths());
  if (!lock) return fail(lock.error());
  const Result<std::unique_ptr<GpuSource>> chosen = gpu_source_for(options);
  if (!chosen) return fail(chosen.error());
  GpuSource& source = **chosen;
  Result<Snapshot> snapshot = source.read();
  const Vendor vendor = snapshot ? snapshot->vendor : Vendor::nvidia;
  Examination examination{.snapshot = std::move(snapshot),
                          .lock = std::move(*lock),
                          .host = look_at_host(environ, {}, vendor)};
  examination.persistence_off = source.needs_open();
  const bool in_claim = env_setting(environ, env::kClaim).has_value();
  const Status allowed = check_allocation(environ, vendor, {.line = "gpu-gate run -- COMMAND"});
  if (!in_claim && !allowed) examination.refused_by_slurm = allowed.error().diagnosis;
  const std::vector<Finding> findings = diagnose(examination);
  std::optional<std::size_t> width;
  if (::isatty(STDOUT_FILENO) == 1) width = terminal_width(STDOUT_FILENO);
  const std::string text = doctor_text(findings, examination.lock, width);
  Status printed = print(options.json              ? doctor_json(findings, examination.lock)
                         : use_locale_characters() ? text
                                                   : in_ascii(text));
  if (!printed) return printed;
  const bool healthy = std::none_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.level == Level::fault;
  });
  if (!healthy) return fail(ErrorKind::unhealthy, "");
  return {};
}

}  // namespace gpu_gate
