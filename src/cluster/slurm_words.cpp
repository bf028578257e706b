#include "cluster/slurm_words.h"

#include <algorithm>
#include <charconv>

namespace gpu_gate {
namespace {

/// A number that is all there is.
std::optional<int> number_in(std::string_view text) {
  int number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// What stands between commas; those in brackets do not count.
std::vector<std::string_view> items_of(std::string_view list) {
  std::vector<std::string_view> items;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    const char c = i < list.size() ? list[i] : ',';
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (c != ',' || (depth > 0 && i < list.size())) continue;
    if (i > begin) items.push_back(list.substr(begin, i - begin));
    begin = i + 1;
  }
  return items;
}

/// "0,2-3" as numbers, each below kMostCardsOfNode; nothing where it is no such list.
std::vector<int> indices_in(std::string_view list) {
  std::vector<int> indices;
  for (const std::string_view item : items_of(list)) {
    const std::size_t dash = item.find('-');
    const std::optional<int> first = number_in(item.substr(0, dash));
    const std::optional<int> last =
        dash == std::string_view::npos ? first : number_in(item.substr(dash + 1));
    if (!first || !last || *first < 0 || *last >= kMostCardsOfNode) return {};
    for (int i = *first; i <= *last; ++i) indices.push_back(i);
  }
  return indices;
}

/// "gpu:l40s:2(S:0-1)", "gres/gpu:h100=2". Nothing where it is of something else.
std::optional<GpuCount> gpu_count(std::string_view item) {
  constexpr std::string_view kIndices = "(IDX:";
  GpuCount found;
  if (item.starts_with("gres:") || item.starts_with("gres/")) item.remove_prefix(5);
  const std::size_t bracket = item.find('(');
  if (bracket != std::string_view::npos) {
    const std::string_view detail = item.substr(bracket);
    if (detail.starts_with(kIndices)) {
      found.indices =
          indices_in(detail.substr(kIndices.size(), detail.find(')') - kIndices.size()));
    }
    item = item.substr(0, bracket);
  }
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = item.find_first_of(":=");
    parts.push_back(item.substr(0, end));
    if (end == std::string_view::npos) break;
    item.remove_prefix(end + 1);
  }
  if (parts.front() != "gpu" || parts.size() > 3) return std::nullopt;
  if (parts.size() > 1) {
    if (const std::optional<int> count = number_in(parts.back())) {
      found.count = *count;
      parts.pop_back();
    }
  }
  if (parts.size() == 2) found.type = parts[1];
  found.count = std::clamp(found.count, 0, kMostCardsOfNode);
  return found;
}

std::string without_padding(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(' ') - begin + 1));
}

/// "n[1-2]x": what stands before, within and behind the first brackets.
struct Brackets {
  std::string_view before;
  std::string_view within;
  std::string_view behind;
};

std::optional<Brackets> first_brackets(std::string_view item) {
  const std::size_t open = item.find('[');
  const std::size_t close = item.find(']', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;
  return Brackets{.before = item.substr(0, open),
                  .within = item.substr(open + 1, close - open - 1),
                  .behind = item.substr(close + 1)};
}

/// "01-03" as "01", "02", "03"; what is no range is itself.
std::vector<std::string> numbers_of(std::string_view range, std::size_t most) {
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return {std::string(range)};
  const std::optional<int> first = number_in(range.substr(0, dash));
  const std::optional<int> last = number_in(range.substr(dash + 1));
  if (!first || !last || *first < 0) return {std::string(range)};
  std::vector<std::string> numbers;
  for (std::int64_t i = *first; i <= *last && numbers.size() < most; ++i) {
    std::string number = std::to_string(i);
    if (number.size() < dash) number.insert(0, dash - number.size(), '0');
    numbers.push_back(std::move(number));
  }
  return numbers;
}

/// `levels`: so many brackets may follow.
void expand_host(const std::string& before, std::string_view item, int levels, std::size_t most,
                 std::vector<std::string>& hosts) {
  if (hosts.size() >= most) return;
  const std::optional<Brackets> brackets = first_brackets(item);
  if (!brackets || levels == 0) {
    hosts.push_back(before + std::string(item));
    return;
  }
  for (const std::string_view range : items_of(brackets->within)) {
    for (const std::string& number : numbers_of(range, most - hosts.size())) {
      std::string name = before;
      name.append(brackets->before).append(number);
      expand_host(name, brackets->behind, levels - 1, most, hosts);
    }
    if (hosts.size() >= most) return;
  }
}

}  // namespace

std::string format_option(std::span<const SlurmColumn> columns) {
  std::string format = "--Format=";
  for (const SlurmColumn& column : columns) {
    if (!format.ends_with('=')) format += ',';
    format.append(column.name).append(":").append(std::to_string(column.width));
  }
  return format;
}

std::vector<std::vector<std::string>> cells_of_columns(std::string_view text,
                                                       std::span<const SlurmColumn> columns) {
  std::vector<std::vector<std::string>> rows;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::vector<std::string> cells;
    for (const SlurmColumn& column : columns) {
      cells.push_back(without_padding(line.substr(0, column.width)));
      line.remove_prefix(std::min(line.size(), column.width));
    }
    rows.push_back(std::move(cells));
  }
  return rows;
}

std::vector<GpuCount> gpu_counts(std::string_view list) {
  std::vector<GpuCount> counts;
  for (const std::string_view item : items_of(list)) {
    if (std::optional<GpuCount> count = gpu_count(item)) counts.push_back(std::move(*count));
  }
  return counts;
}

std::vector<std::string> expand_hosts(std::string_view list, std::size_t most) {
  std::vector<std::string> hosts;
  constexpr int kLevels = 4;
  for (const std::string_view item : items_of(list)) expand_host("", item, kLevels, most, hosts);
  return hosts;
}

std::optional<std::int64_t> elapsed_seconds(std::string_view text) {
  constexpr std::int64_t kSecondsPerDay = 86400;
  std::int64_t days = 0;
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const std::optional<int> number = number_in(text.substr(0, dash));
    if (!number) return std::nullopt;
    days = *number;
    text.remove_prefix(dash + 1);
  }
  std::int64_t seconds = 0;
  for (;;) {
    const std::size_t colon = text.find(':');
    const std::optional<int> number = number_in(text.substr(0, colon));
    if (!number || *number < 0 || seconds > kSecondsPerDay) return std::nullopt;
    seconds = seconds * 60 + *number;
    if (colon == std::string_view::npos) return days * kSecondsPerDay + seconds;
    text.remove_prefix(colon + 1);
  }
}

}  // namespace gpu_gate
