#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_gate {

/// A GPU as it was when it was claimed.
struct PastDevice {
  std::string uuid;
  std::string label;                // what users call it: "2", "0:1"
  std::string name;                 // "NVIDIA L40S"
  std::string pci;                  // its PCI address
  std::int64_t thousandths = 1000;  // the part of its card that the claim has
};

/// What a file of the history says of a claim: a line when it begins, and the same with its end
/// when that has come. Times are milliseconds since 1970.
struct HistoryEntry {
  uid_t uid = 0;             // the owner of the file: not part of its text
  std::uint64_t claim = 0;   // its ticket
  std::uint64_t within = 0;  // the claim that it is inside of; 0: none
  std::int64_t begin_ms = 0;
  std::optional<std::int64_t> end_ms = std::nullopt;
  std::int64_t waited_ms = 0;
  std::string boot;                 // which boot of the machine it was in: the kernel's boot_id
  std::int64_t booted_ms = 0;       // when that was
  pid_t pid = 0;                    // of the process that the claim is for
  std::uint64_t start_ticks = 0;    // with the pid and the boot, names one process for ever
  std::uint64_t pid_namespace = 0;  // where the pid means something
  bool with_process = false;        // the claim lasts as long as that process
  std::string command;              // the program's name; arbitrary bytes
  std::optional<std::string> note = std::nullopt;
  std::vector<PastDevice> devices;
  std::optional<std::int64_t> share_mib = std::nullopt;  // of each device; nothing: all of it
};

/// Lines that are longer are nobody's. One with 64 GPUs needs 6 KiB.
constexpr std::size_t kMaxLineBytes = 65536;

/// The line without its break.
std::string to_line(const HistoryEntry& entry);

/// The line of its end, made of that of its begin. (Without a JSON library: the process that writes
/// it is to be small.)
std::string with_end(const std::string& begin_line, std::int64_t end_ms);

/// Reads a line that somebody wrote: nothing unless it is whole and within bounds. `owner` is the
/// owner of its file.
std::optional<HistoryEntry> parse_line(std::string_view line, uid_t owner);

}  // namespace gpu_gate
