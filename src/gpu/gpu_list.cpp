#include "gpu/gpu_list.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>

#include "base/printable.h"

namespace gpu_gate {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool all_of(std::string_view text, int (*is)(int)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [is](char c) {
    return is(static_cast<unsigned char>(c)) != 0;
  });
}

/// A whole number, saturated: an index too large for any machine is missing, not malformed.
std::optional<int> parse_index(std::string_view text) {
  if (!all_of(text, std::isdigit)) return std::nullopt;
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc::result_out_of_range ? std::numeric_limits<int>::max() : value;
}

std::string_view without_domain(std::string_view address) {
  const auto colon = address.find(':');
  return address.find(':', colon + 1) == std::string_view::npos ? address
                                                                : address.substr(colon + 1);
}

/// The PCI domain in hexadecimal without leading zeros; "" for domain 0 or none.
std::string_view domain_of(std::string_view address) {
  const auto colon = address.find(':');
  if (address.find(':', colon + 1) == std::string_view::npos) return {};
  std::string_view domain = address.substr(0, colon);
  while (!domain.empty() && domain.front() == '0') domain.remove_prefix(1);
  return domain;
}

/// Is `start` the beginning of `text`, in either case?
bool begins_with(std::string_view text, std::string_view start) {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin(), [](unsigned char a, unsigned char b) {
           return std::tolower(a) == std::tolower(b);
         });
}

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && begins_with(a, b);
}

/// [domain:]bus:device.function, hexadecimal, as lspci and nvidia-smi write it.
bool is_pci_address(std::string_view text) {
  const std::string_view rest = without_domain(text);
  const auto colon = rest.find(':');
  const auto dot = rest.find('.');
  if (colon != 2 || dot != 5 || rest.size() != 7) return false;
  const bool domain_fits = rest.size() == text.size() ||
                           (text.size() - rest.size() - 1 <= 8 &&
                            all_of(text.substr(0, text.size() - rest.size() - 1), std::isxdigit));
  return domain_fits && all_of(rest.substr(0, 2), std::isxdigit) &&
         all_of(rest.substr(3, 2), std::isxdigit) && all_of(rest.substr(6), std::isdigit);
}

/// "it has GPUs 0-3".
std::string present(const Snapshot& snapshot) {
  const auto count = std::count_if(snapshot.devices.begin(), snapshot.devices.end(),
                                   [](const Device& device) { return !device.instance; });
  if (count == 0) return "it has none";
  return count == 1 ? "it has GPU 0" : "it has GPUs 0-" + std::to_string(count - 1);
}

/// Why there is no such instance: "GPU 1 has instances 1:0, 1:3".
std::string present_instances(int card, const Snapshot& snapshot) {
  std::string list;
  bool exists = false;
  for (const Device& device : snapshot.devices) {
    if (device.index != card) continue;
    exists = true;
    if (device.instance) list += (list.empty() ? "" : ", ") + label(device);
  }
  if (!exists) return present(snapshot);
  const std::string gpu = "GPU " + std::to_string(card);
  return list.empty() ? gpu + " has none" : gpu + " has " + list;
}

std::string missing_text(const GpuRef& ref, const Snapshot& snapshot) {
  const bool one = ref.kind == GpuRef::Kind::instance;
  if (!one && ref.kind != GpuRef::Kind::instances) {
    return "there is no GPU " + ref.text + " on this machine (" + present(snapshot) + ")";
  }
  return "there is no instance " + ref.text + " on this machine (" +
         present_instances(ref.first, snapshot) + ")";
}

/// The UUID of a card or an instance, or its beginning; an instance's old name, too:
/// "MIG-GPU-<UUID of its card>/1/0".
bool is_uuid_prefix(std::string_view item) {
  const bool of_instance = item.size() > 4 && begins_with(item, "MIG-");
  const std::string_view rest = of_instance ? item.substr(4) : item;
  const bool of_card = rest.size() > 4 && begins_with(rest, "GPU-");
  if (!of_instance && !of_card) return false;
  const bool slashes = of_instance && of_card;
  const std::string_view digits = of_card ? rest.substr(4) : rest;
  return std::all_of(digits.begin(), digits.end(), [&](unsigned char c) {
    return std::isxdigit(c) != 0 || c == '-' || (slashes && c == '/');
  });
}

/// "0:1" or "0:*".
std::optional<GpuRef> parse_instance(std::string_view item) {
  const auto colon = item.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  // "17:00" is the beginning of an address.
  const auto is_plain = [](std::string_view text) {
    return text.size() == 1 || !text.starts_with('0');
  };
  const std::string_view number = item.substr(colon + 1);
  if (!is_plain(item.substr(0, colon)) || !is_plain(number)) return std::nullopt;
  const std::optional<int> card = parse_index(item.substr(0, colon));
  const std::optional<int> instance = parse_index(number);
  if (!card || (!instance && number != "*")) return std::nullopt;
  return GpuRef{.kind = instance ? GpuRef::Kind::instance : GpuRef::Kind::instances,
                .first = *card,
                .last = *card,
                .instance = instance.value_or(0),
                .text = std::string(item)};
}

Result<GpuRef> parse_item(std::string_view item) {
  GpuRef ref;
  ref.text = item;
  if (item.empty()) return fail(ErrorKind::usage, "an empty item");
  if (is_uuid_prefix(item)) {
    ref.kind = GpuRef::Kind::uuid;
    return ref;
  }
  if (is_pci_address(item)) {
    ref.kind = GpuRef::Kind::pci;
    return ref;
  }
  if (std::optional<GpuRef> instance = parse_instance(item)) return *std::move(instance);
  const auto dash = item.find('-');
  const std::optional<int> first = parse_index(trimmed(item.substr(0, dash)));
  const std::optional<int> last =
      dash == std::string_view::npos ? first : parse_index(trimmed(item.substr(dash + 1)));
  if (first && last && *first <= *last) {
    ref.first = *first;
    ref.last = *last;
    return ref;
  }
  return fail(ErrorKind::usage, "'" + printable(item) + "'");
}

}  // namespace

Result<std::vector<GpuRef>> parse_gpu_list(std::string_view list) {
  std::vector<GpuRef> refs;
  for (std::string_view rest = list;;) {
    const auto comma = rest.find(',');
    Result<GpuRef> ref = parse_item(trimmed(rest.substr(0, comma)));
    if (!ref) return fail(ref.error());
    refs.push_back(std::move(*ref));
    if (comma == std::string_view::npos) return refs;
    rest.remove_prefix(comma + 1);
  }
}

bool matches(const GpuRef& ref, const Device& device) {
  switch (ref.kind) {
    case GpuRef::Kind::index:
      return !device.instance && ref.first <= device.index && device.index <= ref.last;
    case GpuRef::Kind::uuid:
      return begins_with(device.uuid, ref.text) || begins_with(device.second_name, ref.text);
    case GpuRef::Kind::instance:
      return device.index == ref.first && device.instance == ref.instance;
    case GpuRef::Kind::instances:
      return device.index == ref.first && device.instance;
    case GpuRef::Kind::pci:
      return !device.instance && !device.pci_bus_id.empty() &&
             same_text(without_domain(ref.text), without_domain(device.pci_bus_id)) &&
             same_text(domain_of(ref.text), domain_of(device.pci_bus_id));
  }
  return false;
}

bool covers(const GpuRef& ref, const Device& device) {
  if (matches(ref, device)) return true;
  if (!device.instance) return false;
  Device card;
  card.index = device.index;
  card.uuid = device.card_uuid;
  card.pci_bus_id = device.pci_bus_id;
  return matches(ref, card);
}

Status check_gpu_list(const std::vector<GpuRef>& list, const Snapshot& snapshot) {
  for (const GpuRef& ref : list) {
    const auto found = std::count_if(snapshot.devices.begin(), snapshot.devices.end(),
                                     [&](const Device& device) { return matches(ref, device); });
    const bool range = ref.kind == GpuRef::Kind::index;
    const auto wanted = range ? static_cast<std::int64_t>(ref.last) - ref.first + 1 : 1;
    if (found < wanted) return fail(ErrorKind::impossible, missing_text(ref, snapshot));
    if (found > wanted && ref.kind != GpuRef::Kind::instances) {
      return fail(ErrorKind::impossible, ref.text + " names " + std::to_string(found) +
                                             " GPUs of this machine: write more of the UUID");
    }
  }
  return {};
}

}  // namespace gpu_gate
