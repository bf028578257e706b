#include "cli/json_output.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/board_text.h"

namespace gpu_gate {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// ASCII only, so that no text of other people does anything to a terminal.
std::string text_of(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', true, OrderedJson::error_handler_t::replace) + "\n";
}

/// A number for a card, "0:1" for an instance of one.
OrderedJson index_json(const Device& device) {
  if (device.index < 0) return nullptr;
  if (device.instance) return label(device);
  return device.index;
}

const char* health_word(Health health) {
  switch (health) {
    case Health::ok:
      return "ok";
    case Health::lost:
      return "lost";
    case Health::reset_required:
      return "reset_required";
    case Health::prohibited:
      return "prohibited";
    case Health::mig:
      return "mig";
    case Health::unreadable:
      return "unreadable";
  }
  return "";
}

OrderedJson repair_json(Repair repair) {
  switch (repair) {
    case Repair::none:
      break;
    case Repair::remap_pending:
      return "remap_pending";
    case Repair::retire_pending:
      return "retire_pending";
    case Repair::remap_failed:
      return "remap_failed";
  }
  return nullptr;
}

OrderedJson claim_json(const BoardClaim& claim) {
  OrderedJson json{
      {"user", claim.claimant.user}, {"uid", claim.claimant.uid}, {"pid", nullptr},
      {"command", nullptr},          {"since", nullptr},          {"devices", claim.devices},
      {"ticket", claim.ticket},      {"share_mb", nullptr},       {"note", nullptr}};
  if (claim.claimant.share_mib) json["share_mb"] = *claim.claimant.share_mib;
  if (!claim.claimant.job) return json;
  if (claim.claimant.job->pid != 0) json["pid"] = claim.claimant.job->pid;
  json["command"] = claim.claimant.job->command;
  json["since"] = claim.claimant.job->since;
  if (!claim.claimant.job->note.empty()) json["note"] = claim.claimant.job->note;
  return json;
}

OrderedJson process_json(const BoardProcess& entry) {
  const DeviceProcess& process = entry.described;
  OrderedJson json{{"pid", process.process.pid},
                   {"user", nullptr},
                   {"uid", nullptr},
                   {"command", process.command},
                   {"memory_mb", nullptr},
                   {"type", process.process.graphics ? "graphics" : "compute"},
                   {"claimed", entry.claimed},
                   {"strays", entry.strays.has_value()}};
  if (process.uid) {
    json["user"] = process.user;
    json["uid"] = *process.uid;
  }
  if (process.process.memory_mib) json["memory_mb"] = *process.process.memory_mib;
  return json;
}

double in_seconds(std::int64_t ms) { return static_cast<double>(ms) / 1000; }

/// A number for a card, "0:1" for an instance of one, as in status.
OrderedJson past_index_json(const PastDevice& device) {
  int index = -1;
  const char* const end = device.label.data() + device.label.size();
  const auto [stop, problem] = std::from_chars(device.label.data(), end, index);
  if (problem == std::errc{} && stop == end) return index;
  return device.label;
}

OrderedJson gpu_list(const Board& board) {
  OrderedJson list = OrderedJson::array();
  for (const BoardRow& row : board.rows) {
    const Device& device = row.device;
    OrderedJson json{{"index", index_json(device)},
                     {"name", device.name},
                     {"uuid", device.uuid},
                     {"vendor", word_of(device.vendor)},
                     {"memory_total_mb", device.memory_total_mib},
                     {"memory_used_mb", device.memory_used_mib},
                     {"memory_free_mb", device.memory_free_mib},
                     {"memory_reserved_mb", nullptr},
                     {"utilization_pct", nullptr},
                     {"pci_bus_id", device.pci_bus_id},
                     {"processes", OrderedJson::array()},
                     {"claim", nullptr},
                     {"claims", OrderedJson::array()},
                     {"health", health_word(device.health)},
                     {"repair", repair_json(device.repair)},
                     {"accessible", device.accessible}};
    if (device.memory_reserved_mib) json["memory_reserved_mb"] = *device.memory_reserved_mib;
    if (device.index < 0) json["accessible"] = nullptr;
    if (device.utilization_pct) json["utilization_pct"] = *device.utilization_pct;
    for (const BoardProcess& process : row.processes) {
      json["processes"].push_back(process_json(process));
    }
    for (const BoardClaim& claim : row.claims) json["claims"].push_back(claim_json(claim));
    if (!row.claims.empty()) json["claim"] = json["claims"].front();
    if (!device.error.empty()) json["error"] = device.error;
    list.push_back(std::move(json));
  }
  return list;
}

/// What is known; null where nothing is.
template <class Value>
OrderedJson known_json(const std::optional<Value>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson known_json(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

OrderedJson waiting_list(const Board& board, std::int64_t now) {
  OrderedJson list = OrderedJson::array();
  int place = 0;
  for (const BoardWaiter& waiter : board.waiters) {
    const Owner& owner = waiter.record.owner;
    const Criteria& criteria = waiter.record.request.criteria;
    OrderedJson json{{"place", nullptr},
                     {"user", waiter.user},
                     {"uid", owner.uid},
                     {"pid", owner.pid},
                     {"command", owner.command},
                     {"note", nullptr},
                     {"since", owner.since},
                     {"count", nullptr},
                     {"min_free_mb", nullptr},
                     {"share_mb", nullptr},
                     {"max_util_pct", nullptr},
                     {"nice", criteria.nice},
                     {"stopped", waiter.stopped},
                     {"reason", nullptr},
                     {"vendor", word_of(waiter.place.vendor)},
                     {"within", nullptr}};
    if (waiter.place.line() == line_for(0, board.vendor)) json["place"] = ++place;
    if (waiter.place.within != 0) json["within"] = std::to_string(waiter.place.within);
    if (!owner.note.empty()) json["note"] = owner.note;
    if (criteria.count != kEveryDevice) json["count"] = criteria.count;
    if (criteria.min_free_mib) json["min_free_mb"] = *criteria.min_free_mib;
    if (criteria.share_mib) json["share_mb"] = *criteria.share_mib;
    if (criteria.max_util_pct) json["max_util_pct"] = *criteria.max_util_pct;
    const std::string reason = waiting_reason(waiter, board, now);
    if (!reason.empty()) json["reason"] = reason;
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace

std::string status_json(const Board& board) { return text_of(gpu_list(board), 2); }

std::string watch_json(const Board& board, std::int64_t now) {
  return text_of({{"gpus", gpu_list(board)}, {"waiting", waiting_list(board, now)}}, -1);
}

std::string slurm_json(const SlurmBoard& board) {
  OrderedJson list = OrderedJson::array();
  for (const SlurmNode& node : board.nodes) {
    for (const SlurmCard& card : node.cards) {
      OrderedJson json{{"node", node.name},
                       {"index", known_json(card.index)},
                       {"name", known_json(card.type)},
                       {"claim", nullptr},
                       {"state", known_json(node.state)},
                       {"reason", known_json(node.reason)}};
      if (card.holder) {
        json["claim"] = {{"user", known_json(card.holder->user)},
                         {"job", known_json(card.holder->id)},
                         {"command", known_json(card.holder->name)},
                         {"since", known_json(card.holder->since)},
                         {"note", known_json(card.holder->note)}};
      }
      list.push_back(std::move(json));
    }
  }
  return text_of(list, 2);
}

std::string queue_json(const Board& board, std::int64_t now) {
  return text_of(waiting_list(board, now), 2);
}

std::string history_json(const HistoryView& view) {
  OrderedJson list = OrderedJson::array();
  for (const PastClaim& claim : view.claims) {
    const HistoryEntry& entry = claim.entry;
    OrderedJson json{{"user", view.user_name(entry.uid)},
                     {"uid", entry.uid},
                     {"pid", entry.pid},
                     {"command", entry.command},
                     {"note", nullptr},
                     {"devices", OrderedJson::array()},
                     {"indices", OrderedJson::array()},
                     {"share_mb", nullptr},
                     {"since", in_seconds(entry.begin_ms)},
                     {"until", nullptr},
                     {"at_latest", claim.at_latest},
                     {"waited_s", in_seconds(entry.waited_ms)},
                     {"claim", std::to_string(entry.claim)},
                     {"inside", nullptr}};
    if (entry.note) json["note"] = *entry.note;
    for (const PastDevice& device : entry.devices) {
      json["devices"].push_back(device.uuid);
      json["indices"].push_back(past_index_json(device));
    }
    if (entry.share_mib) json["share_mb"] = *entry.share_mib;
    if (entry.end_ms) json["until"] = in_seconds(*entry.end_ms);
    if (entry.within != 0) json["inside"] = std::to_string(entry.within);
    list.push_back(std::move(json));
  }
  return text_of(list, 2);
}

std::string doctor_json(const std::vector<Finding>& findings, const LockPlace& lock) {
  OrderedJson json{{"lock_directory", nullptr}, {"findings", OrderedJson::array()}};
  if (!lock.path.empty()) json["lock_directory"] = lock.path;
  for (const Finding& finding : findings) {
    json["findings"].push_back({{"level", finding.level == Level::fault ? "fault" : "note"},
                                {"subject", finding.subject},
                                {"what", finding.what},
                                {"remedy", finding.remedy}});
  }
  return text_of(json, 2);
}

std::string devices_json(const std::vector<Device>& devices, const std::string& visible,
                         Ticket claim, std::optional<std::int64_t> share_mib) {
  OrderedJson json{{"indices", OrderedJson::array()},
                   {"uuids", OrderedJson::array()},
                   {"cuda_visible_devices", nullptr}};
  const Vendor vendor = devices.empty() ? Vendor::nvidia : devices.front().vendor;
  std::string key = variables_of(vendor).visible_devices;
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  json[key] = visible;
  for (const Device& device : devices) {
    json["indices"].push_back(index_json(device));
    json["uuids"].push_back(device.uuid);
  }
  if (claim != 0) json["claim"] = std::to_string(claim);
  if (share_mib) json["share_mb"] = *share_mib;
  return text_of(json, -1);
}

std::string step_json(const StepStart& start) {
  OrderedJson json{{"node", start.node},
                   {"indices", OrderedJson::array()},
                   {"uuids", OrderedJson::array()},
                   {"cuda_visible_devices", start.visible}};
  for (const auto& [key, list] : {std::pair("indices", &start.visible), {"uuids", &start.uuids}}) {
    for (std::size_t at = 0; at < list->size();) {
      const std::size_t end = std::min(list->find(',', at), list->size());
      const std::string item = list->substr(at, end - at);
      const bool is_number = !item.empty() && item.size() < 6 &&
                             item.find_first_not_of("0123456789") == std::string::npos;
      json[key].push_back(is_number ? OrderedJson(std::stoi(item)) : OrderedJson(item));
      at = end + 1;
    }
  }
  return text_of(json, -1);
}

}  // namespace gpu_gate
