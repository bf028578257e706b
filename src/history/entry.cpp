#include "history/entry.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json_bounds.h"

namespace gpu_gate {
namespace {

constexpr int kLineVersion = 1;
constexpr std::size_t kMostDevices = 1024;
constexpr std::size_t kMaxTextBytes = 256;
/// The year 5138: sums and differences of such times do not overflow.
constexpr std::int64_t kLastMs = 100'000'000'000'000;
/// No device has more.
constexpr std::int64_t kLargestShareMib = 1'000'000'000'000'000;

/// Takes values out of an object that anybody may have written. What is missing or out of bounds
/// makes `whole` false.
class LineReader {
 public:
  explicit LineReader(const nlohmann::json& json) : json_(json) {}

  template <class Number>
  Number number(const char* key, Number least = 0,
                Number most = std::numeric_limits<Number>::max()) {
    const auto member = json_.find(key);
    if (member == json_.end() || !member->is_number_integer()) return missing(Number{});
    if (member->is_number_unsigned()) {
      const auto value = member->template get<std::uint64_t>();
      if (value > static_cast<std::uint64_t>(most)) return missing(Number{});
      return value < static_cast<std::uint64_t>(least) ? missing(Number{})
                                                       : static_cast<Number>(value);
    }
    return missing(Number{});  // negative: nothing here is
  }

  std::string text(const char* key) {
    const auto member = json_.find(key);
    if (member == json_.end() || !member->is_string()) return missing(std::string());
    return member->get<std::string>().substr(0, kMaxTextBytes);
  }

  /// As many as there are devices.
  std::vector<std::string> texts(const char* key, std::size_t count) {
    const auto member = json_.find(key);
    const bool right = member != json_.end() && member->is_array() && member->size() == count &&
                       std::all_of(member->begin(), member->end(),
                                   [](const nlohmann::json& each) { return each.is_string(); });
    if (!right) return missing(std::vector<std::string>(count));
    std::vector<std::string> list;
    for (const nlohmann::json& each : *member) {
      list.push_back(each.get_ref<const std::string&>().substr(0, kMaxTextBytes));
    }
    return list;
  }

  std::size_t size_of(const char* key) {
    const auto member = json_.find(key);
    const bool right = member != json_.end() && member->is_array() && member->size() >= 1 &&
                       member->size() <= kMostDevices;
    return right ? member->size() : missing(std::size_t{0});
  }

  bool has(const char* key) const { return json_.contains(key); }
  bool flag(const char* key) const {
    const auto member = json_.find(key);
    return member != json_.end() && *member == true;
  }
  bool whole() const { return whole_; }

 private:
  template <class Value>
  Value missing(Value value) {
    whole_ = false;
    return value;
  }

  const nlohmann::json& json_;
  bool whole_ = true;
};

std::vector<PastDevice> devices_of(const nlohmann::json& json, LineReader& line) {
  const std::size_t count = line.size_of("devices");
  std::vector<std::string> uuids = line.texts("devices", count);
  std::vector<std::string> labels = line.texts("indices", count);
  std::vector<std::string> names = line.texts("names", count);
  std::vector<std::string> pci = line.texts("pci", count);
  const bool in_parts = line.has("thousandths") && json["thousandths"].is_array() &&
                        json["thousandths"].size() == count;
  std::vector<PastDevice> devices;
  for (std::size_t i = 0; i < count; ++i) {
    devices.push_back({.uuid = std::move(uuids[i]),
                       .label = std::move(labels[i]),
                       .name = std::move(names[i]),
                       .pci = std::move(pci[i])});
    if (!in_parts) continue;
    const nlohmann::json& part = json["thousandths"][i];
    if (part.is_number_unsigned()) {
      devices.back().thousandths =
          static_cast<std::int64_t>(std::min<std::uint64_t>(part.get<std::uint64_t>(), 1000));
    }
  }
  return devices;
}

}  // namespace

std::string to_line(const HistoryEntry& entry) {
  nlohmann::ordered_json json{{"version", kLineVersion},
                              {"claim", entry.claim},
                              {"begin_ms", entry.begin_ms},
                              {"waited_ms", entry.waited_ms},
                              {"boot", entry.boot},
                              {"booted_ms", entry.booted_ms},
                              {"pid", entry.pid},
                              {"start", entry.start_ticks},
                              {"pid_namespace", entry.pid_namespace},
                              {"command", entry.command}};
  for (const PastDevice& device : entry.devices) {
    json["devices"].push_back(device.uuid);
    json["indices"].push_back(device.label);
    json["names"].push_back(device.name);
    json["pci"].push_back(device.pci);
  }
  const bool in_parts =
      std::any_of(entry.devices.begin(), entry.devices.end(),
                  [](const PastDevice& each) { return each.thousandths != 1000; });
  if (in_parts) {
    for (const PastDevice& device : entry.devices) {
      json["thousandths"].push_back(device.thousandths);
    }
  }
  if (entry.within != 0) json["within"] = entry.within;
  if (entry.with_process) json["with_process"] = true;
  if (entry.note) json["note"] = *entry.note;
  if (entry.share_mib) json["share_mib"] = *entry.share_mib;
  if (entry.end_ms) json["end_ms"] = *entry.end_ms;
  // In ASCII, so that no tool is at a loss; bytes that are not UTF-8 are replaced, never an error.
  return json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

std::string with_end(const std::string& begin_line, std::int64_t end_ms) {
  std::string line = begin_line;
  line.pop_back();
  return line.append(",\"end_ms\":").append(std::to_string(end_ms)).append("}");
}

std::optional<HistoryEntry> parse_line(std::string_view text, uid_t owner) {
  if (text.size() > kMaxLineBytes || !is_modest_json(text)) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  LineReader line(json);
  line.number<int>("version", 1);
  HistoryEntry entry;
  entry.uid = owner;
  entry.claim = line.number<std::uint64_t>("claim", 1);
  entry.begin_ms = line.number<std::int64_t>("begin_ms", 0, kLastMs);
  entry.waited_ms = line.number<std::int64_t>("waited_ms", 0, kLastMs);
  entry.boot = line.text("boot");
  entry.booted_ms = line.number<std::int64_t>("booted_ms", 0, kLastMs);
  entry.pid = line.number<pid_t>("pid");
  entry.start_ticks = line.number<std::uint64_t>("start");
  entry.pid_namespace = line.number<std::uint64_t>("pid_namespace");
  entry.command = line.text("command");
  entry.devices = devices_of(json, line);
  if (line.has("within")) entry.within = line.number<std::uint64_t>("within");
  if (line.has("note")) entry.note = line.text("note");
  if (line.has("share_mib"))
    entry.share_mib = line.number<std::int64_t>("share_mib", 1, kLargestShareMib);
  if (line.has("end_ms"))
    entry.end_ms = line.number<std::int64_t>("end_ms", entry.begin_ms, kLastMs);
  entry.with_process = line.flag("with_process");
  if (!line.whole()) return std::nullopt;
  return entry;
}

}  // namespace gpu_gate
