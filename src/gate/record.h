#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/request.h"

namespace gpu_gate {

/// A record's text is never read beyond this many bytes. A request for 64 GPUs by UUID needs 3 KiB.
constexpr std::size_t kMaxRecordBytes = 65536;
/// Of a command that is recorded or shown.
constexpr std::size_t kMaxCommandBytes = 256;
/// Of a note that is recorded or shown.
constexpr std::size_t kMaxNoteCharacters = 64;

/// Who stands behind a place in line or a claim.
struct Owner {
  uid_t uid = 0;  // of the record's file: not part of its text, which anybody could have written
  pid_t pid = 0;  // 0: not known
  std::uint64_t start_ticks = 0;    // with the pid, names one process for ever
  std::uint64_t pid_namespace = 0;  // where the pid means something
  std::int64_t since = 0;           // seconds since 1970, when it began to wait or to hold
  std::string command;              // the program's name, never its arguments; arbitrary bytes
  std::string note;                 // what its user wants others to read of it; arbitrary bytes
};

struct WaiterRecord {
  Owner owner;
  Request request;
};

struct ClaimRecord {
  Owner owner;
  std::vector<std::string> devices;  // UUIDs
  Ticket within = 0;                 // the claim that it was made inside of; 0: none
  bool with_process = false;         // the claim also lasts as long as the owner's process lives
  std::optional<std::int64_t> share_mib = std::nullopt;  // of each device; nothing: all of it
};

/// This process as an owner, with the name of the program of this command line.
Owner this_process(const std::vector<std::string>& command);

/// Another process as an owner; nothing if it is gone.
std::optional<Owner> other_process(pid_t pid);

std::string to_json(const WaiterRecord& record);
std::string to_json(const ClaimRecord& record);

/// Reads a record that somebody wrote: nothing unless it is whole and within bounds. `owner` is the
/// owner of its file. Of a newer version it takes what it knows and the most for the rest: such a
/// waiter wants every device, such a claim lasts as long as its process.
std::optional<WaiterRecord> parse_waiter(std::string_view text, uid_t owner);
std::optional<ClaimRecord> parse_claim(std::string_view text, uid_t owner);

}  // namespace gpu_gate
