#include "cli/text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/process.h"

namespace gpu_gate {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  // 0: not valid UTF-8
};

/// The character at the start of `text` (not empty), by RFC 3629: no overlong forms, no surrogates.
Character decode(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return {};
  std::uint32_t code = first & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3F);
  }
  const std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, length};
}

/// Characters that show nothing or change how others are shown: C1 controls, zero-width and
/// direction marks, line separators, tags, the byte order mark.
bool is_invisible(std::uint32_t code) {
  constexpr std::pair<std::uint32_t, std::uint32_t> kRanges[] = {
      {0x7F, 0x9F},     {0xAD, 0xAD},     {0x061C, 0x061C}, {0x180E, 0x180E}, {0x200B, 0x200F},
      {0x2028, 0x202E}, {0x2060, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFB}, {0xE0000, 0xE0FFF}};
  return std::any_of(std::begin(kRanges), std::end(kRanges), [code](const auto& range) {
    return code >= range.first && code <= range.second;
  });
}

std::string join(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += between;
    text += part;
  }
  return text;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Character character = decode(text);
    const std::size_t length = std::max<std::size_t>(character.bytes, 1);
    if (text[0] == '\n') {
      result += "\\n";
    } else if (text[0] == '\t') {
      result += "\\t";
    } else if (character.bytes == 0 || character.code < 0x20 || character.code == 0x7F) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (is_invisible(character.code)) {
      result += fmt::format("\\u{{{:x}}}", character.code);
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

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

std::string gpus(int count) { return count == 1 ? "1 GPU" : fmt::format("{} GPUs", count); }

std::string holder(const Owner& owner, std::int64_t now) {
  const auto held = std::chrono::seconds(std::max<std::int64_t>(now - owner.since, 0));
  return fmt::format("{}: {} (pid {}, {})", printable(user_name(owner.uid)),
                     printable(owner.command), owner.pid, human_duration(held));
}

std::string process_holder(const GpuProcess& process) {
  std::string memory;
  if (process.memory_mib) memory = fmt::format(", {} MiB", *process.memory_mib);
  const auto identity = process_identity(process.pid);
  if (!identity) return fmt::format("pid {}{}", process.pid, memory);
  return fmt::format("{}: {} (pid {}{})", printable(user_name(identity->uid)),
                     printable(process_command(process.pid, kMostCommandBytes)), process.pid,
                     memory);
}

std::string health_text(const Device& device) {
  const std::string error = device.error.empty() ? "" : ": " + printable(device.error);
  switch (device.health) {
    case Health::ok:
      return "ok";
    case Health::lost:
      return "lost, it needs a reset or a reboot" + error;
    case Health::reset_required:
      return "the driver asks for a reset of it" + error;
    case Health::prohibited:
      return "compute mode is PROHIBITED (nvidia-smi -c 0 allows it again)";
    case Health::mig:
      return "MIG is on, which gpu-gate does not support yet";
    case Health::unreadable:
      return "its state cannot be read" + error;
  }
  return "";
}

std::string reason(const Device& device, Fit fit, const Request& request,
                   const std::vector<Claim>& claims, const Ledger& ledger) {
  const std::int64_t now = std::time(nullptr);
  switch (fit) {
    case Fit::usable:
      return "free";
    case Fit::not_allowed:
      return "excluded";
    case Fit::mig:
    case Fit::unhealthy:
      return health_text(device);
    case Fit::too_small:
      return fmt::format("has {} MiB in all, {} MiB asked for",
                         device.memory_total_mib - device.memory_reserved_mib,
                         request.min_free_mib.value_or(0));
    case Fit::claimed: {
      for (const Claim& claim : claims) {
        if (claim.uuid != device.uuid || claim.ticket <= request.within) continue;
        const std::optional<ClaimRecord> record = ledger.claim_record(claim.ticket);
        if (record) return "claimed by " + holder(record->owner, now);
        return "claimed by " + printable(user_name(claim.owner));
      }
      return "claimed";
    }
    case Fit::occupied: {
      std::vector<std::string> others;
      for (const GpuProcess& process : device.processes) {
        if (!process.graphics) others.push_back(process_holder(process));
      }
      return "in use without gpu-gate by " + join(others, "; ");
    }
    case Fit::memory_held:
      return fmt::format("{} MiB in use by no process that can be seen", device.memory_used_mib);
    case Fit::memory_low:
      return fmt::format("{} MiB free of the {} MiB asked for", device.memory_free_mib,
                         request.min_free_mib.value_or(0));
    case Fit::busy:
      return fmt::format("{}% busy, at most {}% asked for", device.utilization_pct.value_or(0),
                         request.max_util_pct.value_or(0));
    case Fit::reserved:
      return "reserved for an earlier waiter";
    case Fit::settling:
      return "kept a moment for an earlier waiter";
  }
  return "";
}

std::string reason_key(const Device& device, Fit fit, const std::vector<Claim>& claims) {
  std::string key =
      std::to_string(static_cast<int>(fit)) + "/" + std::to_string(static_cast<int>(device.health));
  if (fit == Fit::claimed) {
    for (const Claim& claim : claims) {
      if (claim.uuid == device.uuid) key += "/" + std::to_string(claim.ticket);
    }
  }
  if (fit == Fit::occupied) {
    for (const GpuProcess& process : device.processes) key += "/" + std::to_string(process.pid);
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
      return "hidden by the CUDA_VISIBLE_DEVICES that was inherited";
    case Barred::no_access:
      return "its device node may not be opened by this user";
    case Barred::outside_claim:
      return "not among those that this job has claimed";
    case Barred::no:
      break;
  }
  if (fit == Fit::mig) return health_text(device);
  if (fit == Fit::too_small) {
    return fmt::format("has {} MiB in all, {} MiB asked for",
                       device.memory_total_mib - device.memory_reserved_mib,
                       request.min_free_mib.value_or(0));
  }
  return "would do";
}

}  // namespace gpu_gate
