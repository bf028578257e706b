#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace gpu_gate {

/// The number of a place in line, or of a claim. Grows within a lock directory; 0 is none.
using Ticket = std::uint64_t;

/// A live claim on one device, of all of it or of a part. A claim on several devices is several of
/// these with one ticket.
struct Claim {
  Ticket ticket = 0;
  std::string uuid;         // of the device
  uid_t uid = 0;            // the owner of its FIFO
  bool by_process = false;  // nobody has its FIFO open: it lasts as long as its process lives
  Ticket within = 0;        // the claim that it was made inside of; 0: none
  std::size_t place = 0;    // of which lock directory: 0 for the one in use, else Claims knows
  std::optional<std::int64_t> share_mib = std::nullopt;  // nothing: the whole device
};

}  // namespace gpu_gate
