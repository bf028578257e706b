#include "gpu/rocm_devices.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace gpu_gate {
namespace {

using Positions = std::vector<std::size_t>;

bool has(const Positions& list, std::size_t position) {
  return std::find(list.begin(), list.end(), position) != list.end();
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

std::string_view without_spaces(std::string_view text) {
  constexpr const char* kSpaces = " \t\n\v\f\r";
  const auto first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::vector<std::string_view> entries(std::string_view list) {
  std::vector<std::string_view> found;
  for (;;) {
    const auto comma = list.find(',');
    found.push_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return found;
    list.remove_prefix(comma + 1);
  }
}

/// The device that an entry names among these.
std::optional<std::size_t> by_runtime(std::string_view entry, const Positions& among,
                                      const Snapshot& snapshot) {
  const std::string token = upper(without_spaces(entry));
  if (token.empty()) return std::nullopt;
  if (token.front() == 'G') {
    if (token.size() < 5 || token.size() > 20) return std::nullopt;
    std::optional<std::size_t> found;
    for (const std::size_t position : among) {
      if (!upper(snapshot.devices[position].uuid).starts_with(token)) continue;
      if (found) return std::nullopt;
      found = position;
    }
    return found;
  }
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(token.c_str(), &end, 0);
  if (errno != 0 || *end != '\0' || number < 0) return std::nullopt;
  const auto place = static_cast<std::size_t>(number);
  return place < among.size() ? std::optional(among[place]) : std::nullopt;
}

Positions shown_by_runtime(std::string_view list, const Positions& among,
                           const Snapshot& snapshot) {
  Positions shown;
  for (const std::string_view entry : entries(list)) {
    const std::optional<std::size_t> device = by_runtime(entry, among, snapshot);
    if (!device || has(shown, *device)) break;
    shown.push_back(*device);
  }
  return shown;
}

std::optional<std::size_t> by_hip(std::string_view entry, const Positions& among,
                                  const Snapshot& snapshot) {
  for (std::size_t place = 0; place < among.size(); ++place) {
    const std::string& uuid = snapshot.devices[among[place]].uuid;
    const bool named = entry.starts_with("GPU-") && uuid.starts_with(entry);
    if (named || entry == std::to_string(place)) return among[place];
  }
  return std::nullopt;
}

Positions shown_by_hip(std::string_view list, const Positions& among, const Snapshot& snapshot) {
  Positions shown;
  for (const std::string_view entry : entries(list)) {
    const std::optional<std::size_t> device = by_hip(entry, among, snapshot);
    if (!device) break;
    if (!has(shown, *device)) shown.push_back(*device);
  }
  return shown;
}

}  // namespace

std::vector<std::size_t> rocm_devices(const std::vector<VisibleList>& lists,
                                      const Snapshot& snapshot) {
  Positions shown;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    if (snapshot.devices[i].accessible) shown.push_back(i);
  }
  for (const VisibleList& list : lists) {
    shown = list.variable == variables_of(Vendor::amd).visible_devices
                ? shown_by_runtime(list.value, shown, snapshot)
                : shown_by_hip(list.value, shown, snapshot);
  }
  std::sort(shown.begin(), shown.end());
  return shown;
}

}  // namespace gpu_gate
