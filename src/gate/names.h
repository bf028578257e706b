#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/claim.h"

// The names of files in the lock directory (docs/protocol.md, "The directory"), made and read.
// Pure.
namespace gpu_gate {

/// A place in a line, as its file names tell it. There is one line for the machine (within 0) and
/// one inside each claim whose job asks for devices again.
struct Place {
  Ticket ticket = 0;
  Ticket within = 0;

  friend bool operator==(const Place&, const Place&) = default;
};

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
std::string place_name(const Place& place);       // "17", or "17@12" inside claim 12
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
