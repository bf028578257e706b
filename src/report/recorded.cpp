#include "report/recorded.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/folder.h"
#include "base/process.h"
#include "gate/names.h"

namespace gpu_gate {
namespace {

/// Enough for the options of gpu-gate and the beginning of the command behind them.
constexpr std::size_t kMaxCmdlineBytes = 16384;

std::vector<std::string> words_of(pid_t pid, const std::string& proc) {
  const std::string text =
      read_small_file(proc + "/" + std::to_string(pid) + "/cmdline", kMaxCmdlineBytes).value_or("");
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

/// The last part of a path.
std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Seen recorded_process(const Owner& owner, const std::string& proc) {
  if (owner.pid_namespace != pid_namespace()) return Seen::unknown;
  if (!process_lives(owner.pid, owner.start_ticks, proc)) return Seen::ended;
  const std::string stat = proc + "/" + std::to_string(owner.pid) + "/stat";
  return ::access(stat.c_str(), R_OK) == 0 ? Seen::lives : Seen::unknown;
}

std::string command_of(const Owner& owner, const std::string& proc) {
  if (recorded_process(owner, proc) != Seen::lives) return owner.command;
  std::vector<std::string> words = words_of(owner.pid, proc);
  if (words.size() > 1 && file_name(words[0]) == "gpu-gate" && words[1] == "run") {
    const auto separator = std::find(words.begin(), words.end(), "--");
    words.erase(words.begin(), separator == words.end() ? separator : separator + 1);
  }
  std::string text;
  for (const std::string& word : words) text += (&word == &words.front() ? "" : " ") + word;
  return text.empty() ? owner.command : text.substr(0, kMaxCommandBytes);
}

std::optional<pid_t> holder_of(const Claims& claims, const Claim& claim, const std::string& proc) {
  const std::string fifo = claim_name({.uuid = claim.uuid, .ticket = claim.ticket});
  const auto is_fifo = [&](std::string_view name) { return name == fifo; };
  for (const std::uint64_t number : numbers_in_folder(proc).numbers) {
    const auto pid = static_cast<pid_t>(number);
    // Those that only watch a claim have it open for reading.
    for (const FileId& file : files_written_by(pid, is_fifo, proc)) {
      if (claims.is_fifo_of(claim, file)) return pid;
    }
  }
  return std::nullopt;
}

}  // namespace gpu_gate
