#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "history/past_claims.h"

namespace gpu_gate {

/// What `history` shows.
struct HistoryView {
  Span span;  // that was asked for
  std::int64_t now_ms = 0;
  std::vector<PastClaim> claims;  // that count, by begin
  std::vector<PastClaim> all;     // which tell what GPUs there are
  std::function<std::string(uid_t)> user_name;
};

/// The table by user and the one by GPU.
std::string history_text(const HistoryView& view);

/// A line for each claim; of at most `width` columns, if that is given.
std::string history_jobs_text(const HistoryView& view, std::optional<std::size_t> width);

/// "2026-11-27 14:30", by the local clock.
std::string local_minute(std::int64_t ms);

}  // namespace gpu_gate
