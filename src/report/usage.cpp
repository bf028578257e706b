#include "report/usage.h"

#include "base/process.h"
#include "policy/fit.h"
#include "policy/occupancy.h"
#include "report/recorded.h"

namespace gpu_gate {

namespace {

/// Has the process of that job gone, though something else holds its claim? One that only ends
/// still holds it itself, and lets go of it in a moment.
bool has_left_it(const Claims& claims, const Claim& claim, const Owner& job) {
  if (recorded_process(job) != Seen::ended) return false;
  const std::optional<ProcessIdentity> there = process_identity(job.pid);
  if (there && there->start_ticks == job.start_ticks) return false;
  const Result<std::optional<ClaimWatch>> held = claims.watch(claim);
  return held && *held;
}

}  // namespace

Claimant claimant_of(const Claims& claims, const Claim& claim) {
  Claimant claimant{
      .uid = claim.uid, .user = user_name(claim.uid), .job = {}, .share_mib = claim.share_mib};
  std::optional<ClaimRecord> record = claims.record(claim);
  if (!record) return claimant;
  Owner& job = record->owner;
  job.command = command_of(job);
  // To look for who holds it takes milliseconds where there are a thousand processes.
  if (has_left_it(claims, claim, job)) {
    const std::optional<pid_t> holder = holder_of(claims, claim);
    job.pid = holder.value_or(0);
    if (holder) job.command = process_command(*holder, kMaxCommandBytes);
  }
  claimant.job = std::move(job);
  return claimant;
}

DeviceProcess describe(const GpuProcess& process) {
  DeviceProcess described{.process = process,
                          .uid = {},
                          .user = {},
                          .command = process_command(process.pid, kMaxCommandBytes)};
  if (const auto identity = process_identity(process.pid)) {
    described.uid = identity->uid;
    described.user = user_name(identity->uid);
  }
  described.ended = has_ended(process.pid);
  return described;
}

DeviceUse use_of(const Device& device, const Claims& claims, const std::vector<Claim>& live,
                 Ticket within) {
  DeviceUse use;
  for (const Claim& claim : claims_that_count(device, live, within)) {
    use.claimants.push_back(claimant_of(claims, claim));
  }
  for (const GpuProcess& process : occupants(device)) use.processes.push_back(describe(process));
  return use;
}

}  // namespace gpu_gate
