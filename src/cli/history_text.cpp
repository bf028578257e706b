#include "cli/history_text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include "base/printable.h"
#include "cli/columns.h"
#include "cli/text.h"

namespace gpu_gate {
namespace {

using TableRow = std::vector<std::string>;

/// Rows of cells as lines, with two spaces before each cell. `right`: which columns are flush
/// right.
std::string table_text(const std::vector<TableRow>& rows, const std::vector<bool>& right,
                       std::optional<std::size_t> width = std::nullopt) {
  std::vector<std::size_t> widths(right.size(), 0);
  for (const TableRow& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string text;
  for (const TableRow& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      const std::string space(widths[i] - columns(row[i]), ' ');
      line += "  " + (right[i] ? space + row[i] : last ? row[i] : row[i] + space);
    }
    text += (width ? cut(line, *width, "...") : line) + "\n";
  }
  return text;
}

std::string duration(std::int64_t ms) { return human_duration(std::chrono::seconds(ms / 1000)); }

/// "31%" of so much; "-" of nothing.
std::string percent(double part, double whole) {
  if (whole <= 0) return "-";
  const double value = 100 * part / whole;
  return value > 0 && value < 1 ? "<1%" : fmt::format("{:.0f}%", value);
}

/// "412.3", "0.02".
std::string hours(double ms) {
  const double value = ms / 3'600'000;
  return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string labels_of(const HistoryEntry& entry) {
  std::string text;
  for (const PastDevice& device : entry.devices) {
    text += (text.empty() ? "" : ",") + printable(device.label);
  }
  return text;
}

std::string end_text(const PastClaim& claim) {
  if (!claim.entry.end_ms) return "still lasts";
  return (claim.at_latest ? "<= " : "") + local_minute(*claim.entry.end_ms);
}

/// "python (pid 4242, shares 8000 MiB)".
std::string job_text(const PastClaim& claim) {
  const HistoryEntry& entry = claim.entry;
  std::string text = fmt::format("{} (pid {}", printable(entry.command), entry.pid);
  if (entry.share_mib) text += fmt::format(", shares {} MiB", *entry.share_mib);
  if (claim.inside) text += ", inside another claim";
  return text + ")";
}

std::string whom(const HistoryEntry& entry, const HistoryView& view) {
  const std::string user = printable(view.user_name(entry.uid));
  return entry.note ? user + " (" + printable(*entry.note) + ")" : user;
}

}  // namespace

std::string local_minute(std::int64_t ms) {
  const auto time = static_cast<std::time_t>(ms / 1000);
  struct tm local{};
  std::array<char, 64> text{};
  if (::localtime_r(&time, &local) == nullptr) return std::to_string(time);
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local);
  return {text.data(), size};
}

std::string history_text(const HistoryView& view) {
  const HistoryUse use = use_in(view.span, view.claims, view.all, view.now_ms);
  std::string text =
      fmt::format("{} to {}: ", local_minute(view.span.from_ms), local_minute(view.span.to_ms));
  if (use.users.empty()) return text + "no claims\n";
  text += gpus(static_cast<int>(use.cards)) + "\n";
  const auto length = static_cast<double>(view.span.length_ms());
  std::vector<TableRow> rows{{"user", "GPU hours", "jobs", "median wait", "of the machine"}};
  for (const UserUse& user : use.users) {
    rows.push_back({printable(view.user_name(user.uid)), hours(user.gpu_ms),
                    std::to_string(user.jobs), duration(user.median_wait_ms),
                    percent(user.gpu_ms, length * static_cast<double>(use.cards))});
  }
  text += table_text(rows, {false, true, true, true, true}) + "\n";
  rows = {{"GPU", "name", "busy"}};
  for (const DeviceHistory& device : use.devices) {
    rows.push_back({printable(device.device.label), printable(device.device.name),
                    percent(static_cast<double>(device.claimed_ms), length)});
  }
  return text + table_text(rows, {true, false, true});
}

std::string history_jobs_text(const HistoryView& view, std::optional<std::size_t> width) {
  std::vector<TableRow> rows{{"from", "to", "lasted", "waited", "GPUs", "user", "command"}};
  for (const PastClaim& claim : view.claims) {
    const HistoryEntry& entry = claim.entry;
    const std::string lasted = duration(span_of(claim, view.now_ms).length_ms());
    rows.push_back({local_minute(entry.begin_ms), end_text(claim),
                    (claim.at_latest ? "<= " : "") + lasted, duration(entry.waited_ms),
                    labels_of(entry), whom(entry, view), job_text(claim)});
  }
  return table_text(rows, {false, true, true, true, false, false, false}, width);
}

}  // namespace gpu_gate
