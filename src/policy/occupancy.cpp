#include "policy/occupancy.h"

#include <algorithm>
#include <iterator>

namespace gpu_gate {
namespace {

/// The claim inside which a request asks, of those on one device; null: none of them.
const Claim* outer_of(const std::vector<Claim>& on, Ticket within) {
  const auto outer = std::find_if(on.begin(), on.end(), [&](const Claim& claim) {
    return within != 0 && claim.ticket == within;
  });
  return outer == on.end() ? nullptr : &*outer;
}

/// Is it made inside another one of these?
bool is_part_of_any(const Claim& claim, const std::vector<Claim>& on, Ticket within) {
  return claim.within > within && std::any_of(on.begin(), on.end(), [&](const Claim& outer) {
           return outer.ticket == claim.within && is_outer_of(outer, claim);
         });
}

/// Which of the claims on a device count for a request inside `outer` (null: inside none, or one
/// that has ended). Inside a whole claim all that came later are the job's own. A share has others
/// beside it; of those that came later the job's own say so, or have no record to say anything.
std::vector<Claim> counted(const std::vector<Claim>& on, const Claim* outer, Ticket within) {
  std::vector<Claim> list;
  for (const Claim& claim : on) {
    if (claim.ticket <= within || is_part_of_any(claim, on, within)) continue;
    const bool beside = outer != nullptr && outer->share_mib && claim.within != within &&
                        (claim.share_mib || claim.within != 0);
    if (!beside) list.push_back(claim);
  }
  return list;
}

/// Which of the claims that count a process works for; 0: for none. An orphan works for its user's
/// first claim, which may be the one inside which they were made.
Ticket counted_claim_of(pid_t pid, const Jobs& jobs, const std::vector<Claim>& on,
                        const std::vector<Claim>& counted) {
  const auto job = jobs.find(pid);
  const bool orphan = job != jobs.end() && job->second.claims.empty();
  const Ticket claim = claim_of_process(pid, jobs, counted);
  return orphan && claim != claim_of_process(pid, jobs, on) ? 0 : claim;
}

/// What the processes on a device use, by the claim that they work for; 0 for nobody's. Inside a
/// share, the others' do not count.
std::map<Ticket, std::int64_t> used_by(const Device& device, const std::vector<Claim>& on,
                                       const std::vector<Claim>& counted, const Claim* outer,
                                       const Jobs& jobs) {
  std::map<Ticket, std::int64_t> used;
  for (const GpuProcess& process : device.processes) {
    const std::int64_t mib = process.memory_mib.value_or(0);
    if (mib == 0) continue;
    const Ticket claim = counted_claim_of(process.pid, jobs, on, counted);
    const bool others = claim == 0 && outer != nullptr && outer->share_mib &&
                        claim_of_process(process.pid, jobs, on) != outer->ticket;
    if (!others) used[claim] += mib;
  }
  return used;
}

/// A device of which no part is claimed.
Occupancy unshared(const Device& device, const std::vector<Claim>& claims, Ticket within) {
  Occupancy of;
  of.whole = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
    return claim.ticket > within && occupies(claim, device);
  });
  for (const GpuProcess& process : device.processes) {
    of.promised_mib += process.memory_mib.value_or(0);
  }
  return of;
}

}  // namespace

bool occupies(const Claim& claim, const Device& device) {
  return claim.uuid == device.uuid || (!device.card_uuid.empty() && claim.uuid == device.card_uuid);
}

std::vector<Claim> claims_on(const Device& device, const std::vector<Claim>& claims) {
  std::vector<Claim> on;
  std::copy_if(claims.begin(), claims.end(), std::back_inserter(on),
               [&](const Claim& claim) { return occupies(claim, device); });
  return on;
}

bool is_outer_of(const Claim& outer, const Claim& claim) {
  return outer.ticket == claim.within && outer.uuid == claim.uuid &&
         (outer.uid == claim.uid || claim.uid == 0);
}

std::vector<Claim> claims_that_count(const Device& device, const std::vector<Claim>& claims,
                                     Ticket within) {
  const std::vector<Claim> on = claims_on(device, claims);
  return counted(on, outer_of(on, within), within);
}

Ticket claim_of_process(pid_t pid, const Jobs& jobs, const std::vector<Claim>& claims) {
  const auto job = jobs.find(pid);
  if (job == jobs.end()) return 0;
  const std::vector<Ticket>& tickets = job->second.claims;
  const auto innermost = std::find_if(claims.rbegin(), claims.rend(), [&](const Claim& claim) {
    return std::find(tickets.begin(), tickets.end(), claim.ticket) != tickets.end();
  });
  if (innermost != claims.rend()) return innermost->ticket;
  if (!tickets.empty()) return 0;
  const std::vector<Ticket>& not_of = job->second.not_of;
  const auto first = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
    return claim.uid == job->second.uid &&
           std::find(not_of.begin(), not_of.end(), claim.ticket) == not_of.end();
  });
  return first == claims.end() ? 0 : first->ticket;
}

std::vector<Occupancy> occupancy(const Snapshot& snapshot, const std::vector<Claim>& claims,
                                 Ticket within, const Jobs& jobs) {
  std::vector<Occupancy> list(snapshot.devices.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Device& device = snapshot.devices[i];
    const bool shares = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
      return claim.share_mib && occupies(claim, device);
    });
    if (!shares) {
      list[i] = unshared(device, claims, within);
      continue;
    }
    const std::vector<Claim> on = claims_on(device, claims);
    const Claim* outer = outer_of(on, within);
    const std::vector<Claim> taking = counted(on, outer, within);
    Occupancy& of = list[i];
    if (outer != nullptr) of.outer_share_mib = outer->share_mib;
    of.whole = std::any_of(taking.begin(), taking.end(),
                           [](const Claim& claim) { return !claim.share_mib; });
    of.shared = !of.whole && !taking.empty();
    if (of.whole) continue;
    std::map<Ticket, std::int64_t> used = used_by(device, on, taking, outer, jobs);
    for (const Claim& claim : taking) {
      std::int64_t& mib = used[claim.ticket];
      mib = std::max(mib, *claim.share_mib);
    }
    for (const auto& [ticket, mib] : used) of.promised_mib += mib;
  }
  return list;
}

std::int64_t usable_mib(const Device& device) {
  return device.memory_total_mib - device.memory_reserved_mib.value_or(0);
}

namespace {

std::int64_t taken_mib(const Device& device, const Occupancy& occupancy) {
  if (occupancy.outer_share_mib) return occupancy.promised_mib;
  return std::max(device.memory_used_mib, occupancy.promised_mib);
}

}  // namespace

std::int64_t room_mib(const Device& device, const Occupancy& occupancy) {
  return occupancy.outer_share_mib.value_or(usable_mib(device)) - taken_mib(device, occupancy);
}

void take(const Device& device, Occupancy& occupancy, const Criteria& criteria) {
  if (criteria.share_mib) {
    occupancy.shared = true;
    occupancy.promised_mib = taken_mib(device, occupancy) + *criteria.share_mib;
  } else {
    occupancy.whole = true;
  }
}

bool was_released(const Device& device, const std::vector<Claim>& before,
                  const std::vector<Claim>& now, Ticket within) {
  return std::any_of(before.begin(), before.end(), [&](const Claim& claim) {
    return claim.ticket > within && occupies(claim, device) &&
           std::none_of(now.begin(), now.end(), [&](const Claim& other) {
             return other.ticket == claim.ticket && other.uuid == claim.uuid;
           });
  });
}

}  // namespace gpu_gate
