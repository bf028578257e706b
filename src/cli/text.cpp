#include "cli/text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace gpu_gate {
namespace {

std::string join(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += between;
    text += part;
  }
  return text;
}

/// Is it the next card, or the next instance of the same one?
bool follows(const Device& device, const Device& before) {
  if (!device.instance || !before.instance) {
    return !device.instance && !before.instance && device.index == before.index + 1;
  }
  return device.index == before.index && *device.instance == *before.instance + 1;
}

/// {"0-2", "5", "6:0 to 6:3"}.
std::vector<std::string> ranges(const std::vector<const Device*>& devices) {
  std::vector<std::string> parts;
  for (std::size_t first = 0; first < devices.size();) {
    std::size_t last = first;
    while (last + 1 < devices.size() && follows(*devices[last + 1], *devices[last])) ++last;
    parts.push_back(label(*devices[first]));
    if (last > first) {
      parts.back() += (devices[first]->instance ? " to " : "-") + label(*devices[last]);
    }
    first = last + 1;
  }
  return parts;
}

}  // namespace

std::string human_duration(std::chrono::seconds duration) {
  const auto s = std::max<std::int64_t>(duration.count(), 0);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m", s / 60);
  if (s < 86400)
    return s / 60 % 60 == 0 ? fmt::format("{}h", s / 3600)
                            : fmt::format("{}h{}m", s / 3600, s / 60 % 60);
  return s / 3600 % 24 == 0 ? fmt::format("{}d", s / 86400)
                            : fmt::format("{}d{}h", s / 86400, s / 3600 % 24);
}

std::string gpus(int count) {
  if (count == kEveryDevice) return "all GPUs";
  return count == 1 ? "1 GPU" : fmt::format("{} GPUs", count);
}

std::string wish_text(const Criteria& criteria) {
  if (!criteria.share_mib) return gpus(criteria.count);
  const std::string of = criteria.count == 1 ? "of a GPU" : "on each of " + gpus(criteria.count);
  return fmt::format("{} MiB {}", *criteria.share_mib, of);
}

std::string awaited_text(const Criteria& criteria) {
  if (criteria.share_mib) return wish_text(criteria);
  return criteria.count == 1 ? "a free GPU" : fmt::format("{} free GPUs", criteria.count);
}

std::string remark_lines(const std::vector<Remark>& remarks) {
  std::vector<std::string> texts;
  for (const Remark& remark : remarks) {
    if (std::find(texts.begin(), texts.end(), remark.text) == texts.end()) {
      texts.push_back(remark.text);
    }
  }
  std::string lines;
  for (const std::string& text : texts) {
    std::vector<const Device*> devices;
    for (const Remark& remark : remarks) {
      if (remark.text == text) devices.push_back(&remark.device);
    }
    lines += fmt::format("  {} {}: {}\n", devices.size() == 1 ? "GPU" : "GPUs",
                         join(ranges(devices), ", "), text);
  }
  return lines;
}

std::string lists_text(const std::vector<VisibleList>& lists) {
  std::vector<std::string> parts(lists.size());
  std::transform(lists.begin(), lists.end(), parts.begin(), [](const VisibleList& list) {
    return list.variable + "=" + printable(list.value);
  });
  return join(parts, " and ");
}

std::string visible_advice(const std::vector<VisibleList>& lists) {
  std::vector<std::string> parts(lists.size());
  std::transform(lists.begin(), lists.end(), parts.begin(), [](const VisibleList& list) {
    return list.variable + " is '" + printable(list.value) + "'";
  });
  const std::string is = join(parts, " and ");
  if (lists.size() != 1) return is + ": unset them to choose among all GPUs";
  const std::string& value = lists.front().value;
  const bool none = value.empty() || value == "-1" || value == "NoDevFiles";
  return is + (none ? ", which means no GPU" : "") + ": unset it to choose among all GPUs";
}

namespace {

/// "shares 8000 MiB, uses 7410", or where that is more "shares 8000 MiB but uses 9100".
std::string share_text(std::int64_t share_mib, std::optional<std::int64_t> used_mib) {
  std::string text = fmt::format("shares {} MiB", share_mib);
  if (used_mib) text += fmt::format("{} uses {}", *used_mib > share_mib ? " but" : ",", *used_mib);
  return text;
}

}  // namespace

std::string note_text(const std::string& note) { return note.empty() ? "" : " (" + note + ")"; }

std::string Said::shown(const std::string& short_note, const std::string& short_command) const {
  const bool apart = !before.empty() && !command.empty();
  return before + note_text(short_note) + (apart ? ": " : "") + short_command + after;
}

Said claimant_said(const Claimant& claimant, std::int64_t now, std::optional<std::int64_t> used_mib,
                   bool idle) {
  const std::string user = printable(claimant.user);
  if (!claimant.job) return {.before = user, .command = "", .after = ""};
  const auto held = std::chrono::seconds(std::max<std::int64_t>(now - claimant.job->since, 0));
  const std::string who = claimant.job->pid != 0
                              ? fmt::format("pid {}", claimant.job->pid)
                              : "has ended, but something of it still holds the GPU";
  return {.before = user,
          .note = printable(claimant.job->note),
          .command = printable(claimant.job->command),
          .after = fmt::format(
              " ({}, {}{}{})", who, human_duration(held),
              claimant.share_mib ? ", " + share_text(*claimant.share_mib, used_mib) : "",
              idle ? ", idle" : "")};
}

std::string claimant_text(const Claimant& claimant, std::int64_t now) {
  return claimant_said(claimant, now).whole();
}

Said process_said(const DeviceProcess& process) {
  std::string memory;
  if (process.process.memory_mib) memory = fmt::format(", {} MiB", *process.process.memory_mib);
  if (!process.uid) {
    return {
        .before = fmt::format("pid {}{}", process.process.pid, memory), .command = "", .after = ""};
  }
  return {.before = printable(process.user),
          .command = printable(process.command),
          .after = fmt::format(" (pid {}{})", process.process.pid, memory)};
}

std::string process_text(const DeviceProcess& process) { return process_said(process).whole(); }

std::string health_text(const Device& device) {
  const std::string error = device.error.empty() ? "" : ": " + printable(device.error);
  switch (device.health) {
    case Health::ok:
      return "ok";
    case Health::lost:
      return "lost; it needs a reset or a reboot" + error;
    case Health::reset_required:
      return "the driver asks for a reset" + error;
    case Health::prohibited:
      return "compute mode is PROHIBITED (nvidia-smi -c 0 allows it again)";
    case Health::mig:
      return "MIG is on: only its instances can be used";
    case Health::unreadable:
      return "its state cannot be read" + error;
  }
  return "";
}

std::string repair_text(const Device& device) {
  switch (device.repair) {
    case Repair::none:
      return "";
    case Repair::remap_pending:
      return "failed memory is replaced at the next reset (nvidia-smi -r)";
    case Repair::retire_pending:
      return "failed memory is retired at the next reset (nvidia-smi -r)";
    case Repair::remap_failed:
      return "failed memory could not be replaced: the GPU should be exchanged";
  }
  return "";
}

std::string unknown_size_text(const Device& device) {
  const std::string health = device.health == Health::ok ? "" : health_text(device) + "; ";
  return health + "how much memory it has is not known";
}

namespace {

constexpr const char* kBeingFreed = "its memory is being freed";
constexpr const char* kExclusive = "; compute mode EXCLUSIVE_PROCESS admits no second process";

bool is_shared(const std::vector<Claimant>& claimants) {
  return !claimants.empty() && claimants.front().share_mib;
}

/// "claimed by alice: ... (pid 7, 3h)", or of several who share it
/// "shared by alice: ... (pid 7, 3h) and 2 others".
std::string claimed_text(const std::vector<Claimant>& claimants, std::int64_t now) {
  if (claimants.empty()) return "claimed";
  const Claimant& first = claimants.front();
  if (!is_shared(claimants)) return "claimed by " + claimant_text(first, now);
  const std::size_t others = claimants.size() - 1;
  return "shared by " + claimant_text(first, now) +
         (others == 0   ? ""
          : others == 1 ? " and 1 other"
                        : fmt::format(" and {} others", others));
}

}  // namespace

std::string reason(const Unfit& unfit, const Request& request, std::int64_t now) {
  const Device& device = unfit.device;
  const Criteria& criteria = request.criteria;
  std::string never = never_reason(device, unfit.barred, unfit.fit, request);
  if (!never.empty()) return never;
  switch (unfit.fit) {
    case Fit::usable:
      return criteria.count == 1 ? "free"
                                 : fmt::format("free, but {} are asked for", criteria.count);
    case Fit::not_allowed:
    case Fit::mig:
    case Fit::shared_memory:
    case Fit::too_small:
    case Fit::size_unknown:
      return "";  // never_reason has said it
    case Fit::unhealthy:
      return health_text(device);
    case Fit::claimed:
      return claimed_text(unfit.use.claimants, now) +
             (criteria.share_mib && is_shared(unfit.use.claimants) ? kExclusive : "");
    case Fit::occupied: {
      const std::vector<pid_t> own = request.own.value_or(std::vector<pid_t>());
      std::vector<std::string> others;
      for (const DeviceProcess& process : unfit.use.processes) {
        const bool is_own = std::find(own.begin(), own.end(), process.process.pid) != own.end();
        if (!is_own && !process.ended) others.push_back(process_text(process));
      }
      if (others.empty()) return kBeingFreed;
      return (request.within == 0 ? "in use without gpu-gate by " : "in use by ") +
             join(others, "; ") + (device.exclusive ? kExclusive : "");
    }
    case Fit::memory_held:
      return fmt::format(
          "{} MiB in use by no visible process; --min-free-mb M takes "
          "such a GPU if M MiB are free",
          device.memory_used_mib);
    case Fit::memory_low:
      return fmt::format("{} MiB free, {} MiB asked for", device.memory_free_mib,
                         criteria.min_free_mib.value_or(0));
    case Fit::room_low:
      return fmt::format("{} MiB left to share, {} MiB asked for",
                         std::max<std::int64_t>(unfit.room_mib, 0), criteria.share_mib.value_or(0));
    case Fit::busy:
      return fmt::format("{}% busy, at most {}% asked for", device.utilization_pct.value_or(0),
                         criteria.max_util_pct.value_or(0));
    case Fit::reserved:
      return "kept for somebody ahead in line";
    case Fit::settling:
      return "kept briefly for somebody ahead in line";
    case Fit::over_limit:
      return "free, but you would hold more GPUs than one user may on this machine (max-per-user)";
  }
  return "";
}

std::string reason_key(const Device& device, Fit fit, const std::vector<Claim>& claims,
                       Ticket within) {
  std::string key =
      std::to_string(static_cast<int>(fit)) + "/" + std::to_string(static_cast<int>(device.health));
  if (fit == Fit::claimed) {
    // The outermost claimant is told, and not those inside its claim.
    const auto told = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
      return claim.ticket > within && occupies(claim, device);
    });
    if (told != claims.end()) key += "/" + std::to_string(told->ticket);
  }
  if (fit == Fit::occupied) {
    std::set<pid_t> pids;  // the driver lists them in any order
    for (const GpuProcess& process : occupants(device)) pids.insert(process.pid);
    for (const pid_t pid : pids) key += "/" + std::to_string(pid);
  }
  return key;
}

std::string never_reason(const Device& device, Barred barred, Fit fit, const Request& request) {
  switch (barred) {
    case Barred::not_in_only:
      return "not in --only";
    case Barred::excluded:
      return "in --exclude";
    case Barred::not_visible:
      return device.vendor == Vendor::nvidia ? "hidden by the inherited CUDA_VISIBLE_DEVICES"
                                             : "hidden by an inherited list of visible devices";
    case Barred::not_named:
      return fmt::format("part of the CPU, with {} MiB of its own: taken only if named (--only {})",
                         device.memory_total_mib, label(device));
    case Barred::no_access:
      return "this user may not open its device node";
    case Barred::outside_claim:
      return "not among the GPUs that this job has claimed";
    case Barred::no:
      break;
  }
  if (fit == Fit::mig) return health_text(device) + ", which --only N:* names";
  if (fit == Fit::shared_memory) {
    return "other instances have the same memory: no part of it can be kept (--share)";
  }
  if (fit == Fit::size_unknown) {
    return "how much memory it has cannot be told; ask for it without --min-free-mb and --share";
  }
  if (fit == Fit::too_small) {
    return fmt::format("{} MiB in {}, {} MiB asked for", most_mib(device, request).value_or(0),
                       request.outer_share_mib ? "the share of this job" : "all",
                       memory_asked_mib(request.criteria));
  }
  return "";
}

}  // namespace gpu_gate
