#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "gpu/vendor.h"
#include "policy/claim.h"

// The names of files in the lock directory (docs/protocol.md, "The directory"), made and read.
// Pure.
namespace gpu_gate {

/// A line of waiters. Who asks inside a claim stands in the line of that; all others in one for
/// each vendor, since they never want the same devices.
struct LineId {
  Ticket within = 0;               // the claim; 0: inside none
  Vendor vendor = Vendor::nvidia;  // of a line inside a claim always this one

  friend auto operator<=>(const LineId&, const LineId&) = default;
};

/// A place in a line, as its file names tell it.
struct Place {
  Ticket ticket = 0;
  Ticket within = 0;
  Vendor vendor = Vendor::nvidia;

  LineId line() const { return {.within = within, .vendor = vendor}; }
  friend bool operator==(const Place&, const Place&) = default;
};

/// The line for those who want devices of this vendor, inside this claim.
constexpr LineId line_for(Ticket within, Vendor vendor) {
  return {.within = within, .vendor = within != 0 ? Vendor::nvidia : vendor};
}

/// A place in this line.
constexpr Place place_in(const LineId& line, Ticket ticket) {
  return {.ticket = ticket, .within = line.within, .vendor = line.vendor};
}

/// A claim on one device, as the name of its FIFO tells it.
struct ClaimName {
  std::string uuid;
  Ticket ticket = 0;

  friend bool operator==(const ClaimName&, const ClaimName&) = default;
};

/// The highest ticket that can have been given out by now. Tickets count up from the millisecond in
/// which the directory was made, and this bound is in microseconds: it tells a number that was
/// planted, to be last for ever or to overflow, from one that was given out.
Ticket highest_plausible_ticket();

/// The first ticket of a new directory: two directories differ in it.
Ticket first_ticket();

// Held FIFOs and what stands beside them.
std::string place_name(const Place& place);       // "17", "17@amd", or "17@12" inside claim 12
std::string bell_name(const Place& place);        // "17.bell"
std::string record_name(const Place& place);      // "17.json"
std::string new_record_name(const Place& place);  // "17.new", about to replace the record
std::string claim_name(const ClaimName& claim);   // "GPU-3f2a...@17"
std::string claim_record_name(Ticket ticket);     // "17.json"

// The other way round: nothing for any other name, a ticket in another form than ours (a sign, a
// leading zero), or one above `highest`.
std::optional<Place> parse_place_name(std::string_view name, Ticket highest);
std::optional<ClaimName> parse_claim_name(std::string_view name, Ticket highest);
std::optional<Ticket> parse_claim_record_name(std::string_view name, Ticket highest);

/// The ticket of whatever file in queue/, or in claims/, this is: also of a bell or a record.
std::optional<Ticket> ticket_in_queue(std::string_view name, Ticket highest);
std::optional<Ticket> ticket_in_claims(std::string_view name, Ticket highest);

}  // namespace gpu_gate
