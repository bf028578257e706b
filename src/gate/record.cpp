#include "gate/record.h"

#include <unistd.h>

#include <ctime>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json_bounds.h"
#include "base/printable.h"
#include "base/process.h"

namespace gpu_gate {
namespace {

using Json = nlohmann::json;

constexpr int kRecordVersion = 1;
constexpr std::size_t kMostUuids = 1024;
constexpr std::size_t kMaxUuidBytes = 96;
/// No device has more; sums of these do not overflow.
constexpr std::int64_t kMostMib = 1'000'000'000'000'000;

std::string dump(const Json& json) {
  // A command may hold bytes that are not UTF-8; they are replaced, never an error.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json owner_json(const Owner& owner) {
  Json json{{"version", kRecordVersion},  {"pid", owner.pid},
            {"start", owner.start_ticks}, {"pid_namespace", owner.pid_namespace},
            {"since", owner.since},       {"command", owner.command}};
  if (!owner.note.empty()) json["note"] = owner.note;
  return json;
}

std::optional<std::int64_t> integer(const Json& json, const char* key, std::int64_t least,
                                    std::int64_t most) {
  const auto member = json.find(key);
  if (member == json.end() || !member->is_number_integer()) return std::nullopt;
  if (member->is_number_unsigned() &&
      member->get<std::uint64_t>() > static_cast<std::uint64_t>(most)) {
    return std::nullopt;
  }
  const auto value = member->get<std::int64_t>();
  if (value < least || value > most) return std::nullopt;
  return value;
}

std::optional<std::vector<std::string>> uuids(const Json& json, const char* key) {
  const auto member = json.find(key);
  if (member == json.end() || !member->is_array() || member->size() > kMostUuids) {
    return std::nullopt;
  }
  std::vector<std::string> list;
  for (const Json& item : *member) {
    if (!item.is_string() || item.get_ref<const std::string&>().size() > kMaxUuidBytes) {
      return std::nullopt;
    }
    list.push_back(item.get<std::string>());
  }
  return list;
}

/// The parsed object, or a discarded value. Takes no part of a text that is too long.
Json parse(std::string_view text) {
  if (text.size() > kMaxRecordBytes || !is_modest_json(text)) {
    return Json(Json::value_t::discarded);
  }
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() ||
      !integer(json, "version", kRecordVersion, std::numeric_limits<int>::max())) {
    return Json(Json::value_t::discarded);
  }
  return json;
}

/// Says the record so? A key that is not there, or says anything else, does not.
bool flag(const Json& json, const char* key) {
  const auto member = json.find(key);
  return member != json.end() && *member == true;
}

/// Is a record of a version that this program does not know?
bool is_newer(const Json& json) { return *json.find("version") != kRecordVersion; }

std::optional<Owner> parse_owner(const Json& json, uid_t uid) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  const auto pid = integer(json, "pid", 0, std::numeric_limits<pid_t>::max());
  const auto start = integer(json, "start", 0, kMax);
  const auto pid_namespace = integer(json, "pid_namespace", 0, kMax);
  const auto since = integer(json, "since", 0, kMax);
  const auto command = json.find("command");
  if (!pid || !start || !pid_namespace || !since || command == json.end() ||
      !command->is_string()) {
    return std::nullopt;
  }
  Owner owner;
  owner.uid = uid;
  owner.pid = static_cast<pid_t>(*pid);
  owner.start_ticks = static_cast<std::uint64_t>(*start);
  owner.pid_namespace = static_cast<std::uint64_t>(*pid_namespace);
  owner.since = *since;
  owner.command = command->get<std::string>().substr(0, kMaxCommandBytes);
  if (const auto note = json.find("note"); note != json.end() && note->is_string()) {
    owner.note = first_characters(note->get_ref<const std::string&>(), kMaxNoteCharacters);
  }
  return owner;
}

/// The same of a record of a newer version, whatever it says.
Owner parse_newer_owner(const Json& json, uid_t uid) {
  Owner nobody;
  nobody.uid = uid;
  return parse_owner(json, uid).value_or(std::move(nobody));
}

}  // namespace

Owner this_process(const std::vector<std::string>& command) {
  Owner owner;
  owner.uid = ::geteuid();
  owner.pid = ::getpid();
  owner.pid_namespace = pid_namespace();
  if (const auto identity = process_identity(owner.pid)) owner.start_ticks = identity->start_ticks;
  owner.since = std::time(nullptr);
  // No arguments: they may hold secrets, and everybody can read the record, also after the job.
  if (!command.empty()) {
    owner.command = command[0].substr(command[0].rfind('/') + 1).substr(0, kMaxCommandBytes);
  }
  return owner;
}

std::optional<Owner> other_process(pid_t pid) {
  const auto identity = process_identity(pid);
  if (!identity) return std::nullopt;
  Owner owner;
  owner.uid = ::geteuid();
  owner.pid = pid;
  owner.start_ticks = identity->start_ticks;
  owner.pid_namespace = pid_namespace();
  owner.since = std::time(nullptr);
  owner.command = process_name(pid);
  return owner;
}

std::string to_json(const WaiterRecord& record) {
  Json json = owner_json(record.owner);
  json["count"] = record.request.criteria.count;
  if (record.request.criteria.min_free_mib)
    json["min_free_mib"] = *record.request.criteria.min_free_mib;
  if (record.request.criteria.share_mib) json["share_mib"] = *record.request.criteria.share_mib;
  if (record.request.criteria.max_util_pct)
    json["max_util_pct"] = *record.request.criteria.max_util_pct;
  if (record.request.criteria.nice) json["nice"] = true;
  json["barred"] = record.request.barred;
  if (record.request.allowed) json["allowed"] = *record.request.allowed;
  return dump(json);
}

std::string to_json(const ClaimRecord& record) {
  Json json = owner_json(record.owner);
  json["devices"] = record.devices;
  if (record.within != 0) json["within"] = record.within;
  if (record.with_process) json["with_process"] = true;
  if (record.share_mib) json["share_mib"] = *record.share_mib;
  return dump(json);
}

std::optional<WaiterRecord> parse_waiter(std::string_view text, uid_t owner) {
  const Json json = parse(text);
  if (json.is_discarded()) return std::nullopt;
  if (is_newer(json)) {
    WaiterRecord record{.owner = parse_newer_owner(json, owner), .request = {}};
    record.request.criteria.count = kEveryDevice;
    return record;
  }
  std::optional<Owner> who = parse_owner(json, owner);
  const auto count = integer(json, "count", 1, std::numeric_limits<int>::max());
  std::optional<std::vector<std::string>> barred = uuids(json, "barred");
  if (!who || !count || !barred) return std::nullopt;
  WaiterRecord record;
  record.owner = std::move(*who);
  record.request.criteria.count = static_cast<int>(*count);
  record.request.barred = std::move(*barred);
  if (json.contains("allowed")) {
    record.request.allowed = uuids(json, "allowed");
    if (!record.request.allowed) return std::nullopt;
  }
  record.request.criteria.nice = flag(json, "nice");
  if (json.contains("min_free_mib")) {
    record.request.criteria.min_free_mib =
        integer(json, "min_free_mib", 0, std::numeric_limits<std::int64_t>::max());
    if (!record.request.criteria.min_free_mib) return std::nullopt;
  }
  if (json.contains("share_mib")) {
    record.request.criteria.share_mib = integer(json, "share_mib", 1, kMostMib);
    if (!record.request.criteria.share_mib) return std::nullopt;
  }
  if (json.contains("max_util_pct")) {
    const auto percent = integer(json, "max_util_pct", 0, 100);
    if (!percent) return std::nullopt;
    record.request.criteria.max_util_pct = static_cast<int>(*percent);
  }
  return record;
}

std::optional<ClaimRecord> parse_claim(std::string_view text, uid_t owner) {
  const Json json = parse(text);
  if (json.is_discarded()) return std::nullopt;
  std::optional<std::vector<std::string>> devices = uuids(json, "devices");
  if (is_newer(json)) {
    return ClaimRecord{.owner = parse_newer_owner(json, owner),
                       .devices = std::move(devices).value_or(std::vector<std::string>{}),
                       .within = 0,
                       .with_process = true};
  }
  std::optional<Owner> who = parse_owner(json, owner);
  if (!who || !devices) return std::nullopt;
  const auto within = integer(json, "within", 0, std::numeric_limits<std::int64_t>::max());
  return ClaimRecord{.owner = std::move(*who),
                     .devices = std::move(*devices),
                     .within = static_cast<Ticket>(within.value_or(0)),
                     .with_process = flag(json, "with_process"),
                     .share_mib = integer(json, "share_mib", 1, kMostMib)};
}

}  // namespace gpu_gate
