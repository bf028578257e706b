#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/claim.h"

namespace gpu_gate {

/// How far claims had been counted at a moment, to ask later what was claimed since.
struct ClaimMark {
  std::uint64_t grants = 0;  // claims made
  std::uint64_t noted = 0;   // devices noted in the log
  Ticket last_ticket = 0;    // the last one given out, to a claim or a place in line
  Ticket last_claim = 0;     // claims that are noted later have higher tickets
};

/// The devices that were claimed last, as the file `mutex` keeps them behind its counters
/// (docs/protocol.md, "The directory"): a look tells by it which of the devices that it has read
/// were claimed meanwhile. Everybody may write the file: what is wrong in it costs a look more, or
/// has one taken for good that is not, as the counters may. Pure.
class ClaimLog {
 public:
  static constexpr std::size_t kDevices = 256;
  /// Of the text, in bytes.
  static constexpr std::size_t kTextSize = kDevices * 8 + 1 + 63;

  ClaimLog();

  /// From a text that may be cut short or garbled. What cannot be read was never noted.
  static ClaimLog parse(std::string_view text);

  /// A fixed width. What tells that the log is complete comes last.
  const std::string& text() const { return text_; }

  /// How far a log goes. It stands in one line, which is as good as read and written at once.
  struct Ends {
    std::uint64_t grants = 0;  // the number of the claim noted last
    std::uint64_t noted = 0;   // how many devices were ever noted
    Ticket last_claim = 0;     // the ticket of the claim noted last
  };
  const Ends& ends() const { return ends_; }

  /// The same of such a text, without the rest of it; zeros where that cannot be read.
  static Ends parse_ends(std::string_view text);

  /// Notes the devices of the claim with this number and ticket. If the one before was not noted,
  /// by an older program or for want of room, everybody is to read anew.
  void note(const std::vector<std::string>& uuids, std::uint64_t grants, Ticket ticket);

  /// How many claims were made on the device since the mark; nothing where that is not known.
  /// `grants`: the claims made by now. (Of two devices with one hash it counts both.)
  std::optional<std::size_t> claims_since(const ClaimMark& mark, std::uint64_t grants,
                                          std::string_view uuid) const;

 private:
  std::uint32_t hash_at(std::uint64_t n) const;
  void put_hash(std::uint64_t n, std::uint32_t hash);
  void put_ends();

  std::string text_;  // with the hash of the n-th device noted at n modulo their number
  Ends ends_;
};

}  // namespace gpu_gate
