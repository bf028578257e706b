#include "gate/names.h"

#include <charconv>
#include <chrono>

#include "gpu/device.h"

namespace gpu_gate {
namespace {

constexpr std::string_view kRecord = ".json";

/// A ticket at the start of `text`, and the text behind it.
struct TicketAndRest {
  Ticket ticket = 0;
  std::string_view rest;
};

std::optional<TicketAndRest> split_ticket(std::string_view text, Ticket highest) {
  if (text.empty() || text[0] < '1' || text[0] > '9') return std::nullopt;
  TicketAndRest parts;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), parts.ticket);
  if (problem != std::errc{} || parts.ticket > highest) return std::nullopt;
  parts.rest = text.substr(static_cast<std::size_t>(end - text.data()));
  return parts;
}

/// A name that is one ticket and nothing else.
std::optional<Ticket> whole_ticket(std::string_view text, Ticket highest) {
  const auto parts = split_ticket(text, highest);
  return parts && parts->rest.empty() ? std::optional(parts->ticket) : std::nullopt;
}

}  // namespace

Ticket highest_plausible_ticket() {
  using std::chrono::microseconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<Ticket>(std::chrono::duration_cast<microseconds>(now).count());
}

Ticket first_ticket() { return highest_plausible_ticket() / 1000; }

std::string place_name(const Place& place) {
  std::string name = std::to_string(place.ticket);
  if (place.within != 0) {
    name += "@" + std::to_string(place.within);
  } else if (place.vendor != Vendor::nvidia) {
    name.append("@").append(word_of(place.vendor));
  }
  return name;
}

std::string bell_name(const Place& place) { return place_name(place) + ".bell"; }

std::string record_name(const Place& place) { return place_name(place).append(kRecord); }

std::string new_record_name(const Place& place) { return place_name(place) + ".new"; }

std::string claim_name(const ClaimName& claim) {
  return claim.uuid + "@" + std::to_string(claim.ticket);
}

std::string claim_record_name(Ticket ticket) { return std::to_string(ticket).append(kRecord); }

std::optional<Place> parse_place_name(std::string_view name, Ticket highest) {
  const auto parts = split_ticket(name, highest);
  if (!parts) return std::nullopt;
  if (parts->rest.empty()) return Place{.ticket = parts->ticket};
  if (parts->rest[0] != '@') return std::nullopt;
  const std::string_view line = parts->rest.substr(1);
  if (line == word_of(Vendor::amd)) {
    return Place{.ticket = parts->ticket, .vendor = Vendor::amd};
  }
  const auto within = whole_ticket(line, highest);
  return within ? std::optional(Place{.ticket = parts->ticket, .within = *within}) : std::nullopt;
}

std::optional<ClaimName> parse_claim_name(std::string_view name, Ticket highest) {
  const auto at = name.rfind('@');
  if (at == std::string_view::npos || !is_uuid(name.substr(0, at))) return std::nullopt;
  const auto ticket = whole_ticket(name.substr(at + 1), highest);
  if (!ticket) return std::nullopt;
  return ClaimName{.uuid = std::string(name.substr(0, at)), .ticket = *ticket};
}

std::optional<Ticket> parse_claim_record_name(std::string_view name, Ticket highest) {
  const auto parts = split_ticket(name, highest);
  return parts && parts->rest == kRecord ? std::optional(parts->ticket) : std::nullopt;
}

std::optional<Ticket> ticket_in_queue(std::string_view name, Ticket highest) {
  const auto parts = split_ticket(name, highest);
  return parts ? std::optional(parts->ticket) : std::nullopt;
}

std::optional<Ticket> ticket_in_claims(std::string_view name, Ticket highest) {
  const auto claim = parse_claim_name(name, highest);
  return claim ? claim->ticket : ticket_in_queue(name, highest);
}

}  // namespace gpu_gate
