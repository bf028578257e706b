#include "gate/card_watch.h"

#include "base/process.h"

namespace gpu_gate {
namespace {

constexpr std::size_t kMostWatched = 64;
/// Of claims on devices that are not listed. They end somebody's turn as well.
constexpr std::size_t kMaxElsewhere = 16;
/// Of claims on devices of which parts are claimed, beside the first on each.
constexpr std::size_t kMaxShares = 64;

/// The devices of which a part is claimed.
std::set<std::string> shared_devices(const std::vector<Claim>& live) {
  std::set<std::string> uuids;
  for (const Claim& claim : live) {
    if (claim.share_mib) uuids.insert(claim.uuid);
  }
  return uuids;
}

}  // namespace

Result<bool> CardWatch::watch_claims(const Claims& claims, const std::vector<Claim>& live,
                                     const std::set<std::string>& devices, Ticket within) {
  claims_.clear();
  bool all = true;
  // A share without a record looks like a claim of all of the device.
  const std::set<std::string> shared = shared_devices(live);
  std::set<std::string> watched;
  std::size_t elsewhere = 0;
  std::size_t shares = 0;
  for (const Claim& claim : live) {
    if (claim.ticket < within) continue;
    const bool listed = devices.contains(claim.uuid);
    if (!listed && ++elsewhere > kMaxElsewhere) continue;
    const bool outer = claim.ticket == within;
    const bool first = watched.insert(outer ? std::string() : claim.uuid).second;
    if (!first && (outer || !shared.contains(claim.uuid) || ++shares > kMaxShares)) continue;
    Result<std::optional<ClaimWatch>> watch = claims.watch(claim);
    if (!watch && (!listed || !first)) continue;
    if (!watch) return fail(watch.error());
    if (*watch) {
      claims_.push_back({.fd = std::move((*watch)->fd), .events = (*watch)->events});
    } else {
      all = false;
    }
  }
  return all;
}

bool CardWatch::watch_processes(const Snapshot& snapshot, const std::vector<Occupancy>& occupancy) {
  std::set<pid_t> listed;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    if (occupancy[i].whole) continue;
    for (const GpuProcess& process : snapshot.devices[i].processes) {
      if (process.pid > 0) listed.insert(process.pid);
    }
  }
  std::erase_if(processes_, [&](const auto& entry) { return !listed.contains(entry.first); });
  std::erase_if(unwatchable_, [&](pid_t pid) { return !listed.contains(pid); });
  bool all = true;
  for (const pid_t pid : listed) {
    if (processes_.contains(pid) || unwatchable_.contains(pid)) continue;
    if (processes_.size() >= kMostWatched) break;
    UniqueFd pidfd = open_pidfd(pid).fd;
    if (pidfd) {
      processes_[pid].fd = std::move(pidfd);
    } else {
      unwatchable_.insert(pid);
      all = false;
    }
  }
  return all;
}

void CardWatch::add_to(WaitSet& set) {
  for (Watched& claim : claims_) claim.id = set.add(claim.fd.get(), claim.events);
  for (auto& [pid, process] : processes_) process.id = set.add(process.fd.get(), process.events);
}

CardWatch::Ended CardWatch::ended(const WaitSet& set) {
  for (const auto& [pid, process] : processes_) {
    if (set.fired(process.id)) unwatchable_.insert(pid);
  }
  const auto fired = [&](const Watched& watched) { return set.fired(watched.id); };
  const bool claim = std::erase_if(claims_, fired) > 0;
  const bool process =
      std::erase_if(processes_, [&](const auto& entry) { return fired(entry.second); }) > 0;
  return {.claim = claim, .process = process};
}

}  // namespace gpu_gate
