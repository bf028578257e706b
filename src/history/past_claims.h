#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "history/boot.h"
#include "history/entry.h"

namespace gpu_gate {

// What became of the claims that the history tells of. Pure.

struct PastClaim {
  HistoryEntry entry;      // with its end, unless it lives
  bool at_latest = false;  // it ended then or before: nobody has written its end down
  bool inside = false;     // a part of another one here, which counts for both
};

/// The moment at which the history is read.
struct Present {
  std::int64_t now_ms = 0;
  Boot boot;
  /// Does this claim, which began in this boot, live?
  std::function<bool(const HistoryEntry&)> lives;
};

/// All claims, by begin. An end that was written down up to 2 s late, as the next claim tells, is
/// put right. One whose end nobody has written down, and which does not live, ended at
/// the latest when one of its GPUs was claimed again, when the machine was booted, or now.
std::vector<PastClaim> past_claims(std::vector<HistoryEntry> entries, const Present& present);

/// The time from one moment to another.
struct Span {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;

  std::int64_t length_ms() const { return to_ms - from_ms; }
};

/// When the claim lasted; one that lives until `now_ms`.
Span span_of(const PastClaim& claim, std::int64_t now_ms);

/// The part of it that lies within the span; nothing where none does. A claim that took no time
/// lies within, too.
std::optional<Span> within(const Span& claim, const Span& span);

/// What a user had in a span.
struct UserUse {
  uid_t uid = 0;
  double gpu_ms = 0;  // a share or an instance counts as its part of a GPU
  std::size_t jobs = 0;
  std::int64_t median_wait_ms = 0;
};

/// For how long a device was claimed in a span, by whomever.
struct DeviceHistory {
  PastDevice device;  // as it was called last
  std::int64_t claimed_ms = 0;
};

struct HistoryUse {
  std::vector<UserUse> users;          // who had most comes first
  std::vector<DeviceHistory> devices;  // by index
  std::size_t cards = 0;               // how many GPUs the machine has, as far as the history tells
};

/// The use in the span, by these claims. `all`: tell what GPUs there are.
HistoryUse use_in(const Span& span, const std::vector<PastClaim>& claims,
                  const std::vector<PastClaim>& all, std::int64_t now_ms);

/// The devices of the machine, by index: those that were the last to be called by their index, and
/// those of `claims`.
std::vector<PastDevice> known_devices(const std::vector<PastClaim>& claims,
                                      const std::vector<PastClaim>& all);

}  // namespace gpu_gate
