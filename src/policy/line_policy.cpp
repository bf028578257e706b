#include "policy/line_policy.h"

#include <charconv>

namespace gpu_gate {
namespace {

std::string_view trimmed_part(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Did this set anything?
bool set(LinePolicy& policy, std::string_view key, std::string_view value) {
  if (key == "order" && (value == "turns" || value == "arrival")) {
    policy.order = value == "turns" ? LineOrder::turns : LineOrder::arrival;
    return true;
  }
  if (key != "max-per-user") return false;
  int count = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (problem != std::errc{} || end != value.data() + value.size() || count < 1) return false;
  policy.max_per_user = count;
  return true;
}

}  // namespace

LinePolicy parse_line_policy(std::string_view text) {
  LinePolicy policy;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string_view said = trimmed_part(line.substr(0, line.find('#')));
    if (said.empty()) continue;
    const std::size_t equals = said.find('=');
    if (equals == std::string_view::npos ||
        !set(policy, trimmed_part(said.substr(0, equals)), trimmed_part(said.substr(equals + 1)))) {
      policy.unread.emplace_back(said);
    }
  }
  return policy;
}

}  // namespace gpu_gate
