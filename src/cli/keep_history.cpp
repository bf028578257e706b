#include "cli/keep_history.h"

#include <limits.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "base/env.h"
#include "base/process.h"
#include "gate/names.h"
#include "history/boot.h"
#include "history/claim_end.h"
#include "history/entry.h"
#include "history/journal.h"
#include "job/beside.h"

namespace gpu_gate {
namespace {

/// Runs beside the job.
void write_down_end(const std::string& directory, const WatchedClaim& claim) {
  show_command("gpu-gate: notes the end of a claim");
  if (!await_end(claim)) return;
  const std::int64_t lasted_ms = since_boot_ms() - claim.begin_since_boot_ms;
  add_line(directory, with_end(claim.begin_line, claim.begin_ms + lasted_ms));
}

HistoryEntry entry_of(const Granted& granted, const ClaimedFor& whom) {
  HistoryEntry entry;
  entry.claim = granted.claim;
  entry.within = granted.within;
  entry.begin_ms = wall_clock_ms();
  if (granted.waited) {
    entry.waited_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(granted.duration).count();
  }
  const Boot boot = this_boot();
  entry.boot = boot.id;
  entry.booted_ms = boot.began_ms;
  entry.pid = whom.owner.pid;
  entry.start_ticks = whom.owner.start_ticks;
  entry.pid_namespace = whom.owner.pid_namespace;
  entry.with_process = whom.with_process;
  entry.command = whom.owner.command;
  if (!whom.note.empty()) entry.note = whom.note;
  entry.share_mib = granted.share_mib;
  for (std::size_t i = 0; i < granted.devices.size(); ++i) {
    const Device& device = granted.devices[i];
    entry.devices.push_back({.uuid = device.uuid,
                             .label = label(device),
                             .name = device.name,
                             .pci = device.pci_bus_id,
                             .thousandths = granted.parts[i]});
  }
  return entry;
}

}  // namespace

std::string history_directory() {
  std::string directory = env_setting(environ, env::kHistory).value_or(kHistoryDirectory);
  std::array<char, PATH_MAX> here{};
  if (!directory.starts_with('/') && ::getcwd(here.data(), here.size()) != nullptr) {
    directory.insert(0, std::string(here.data()) + "/");
  }
  return directory;
}

void keep_history(const Granted& granted, const ClaimedFor& whom) {
  const std::string directory = history_directory();
  if (::access(directory.c_str(), F_OK) != 0) return;
  const HistoryEntry entry = entry_of(granted, whom);
  WatchedClaim claim{.begin_line = to_line(entry),
                     .begin_ms = entry.begin_ms,
                     .begin_since_boot_ms = since_boot_ms(),
                     .process = entry.with_process ? entry.pid : 0,
                     .start_ticks = entry.start_ticks,
                     .fifos = {}};
  add_line(directory, claim.begin_line);
  for (const Device& device : granted.devices) {
    claim.fifos.push_back(granted.lock_dir + "/claims/" +
                          claim_name({.uuid = device.uuid, .ticket = granted.claim}));
  }
  [[maybe_unused]] const Status started = start_beside([&] { write_down_end(directory, claim); });
}

}  // namespace gpu_gate
