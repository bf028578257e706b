#include "report/recorded.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "gate/names.h"

namespace gpu_gate {
namespace {

namespace fs = std::filesystem;

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

/// Has this process the file open for writing? Those that only watch a claim have it for reading.
bool holds(const fs::path& descriptors, std::string_view file) {
  std::error_code failed;
  for (fs::directory_iterator at(descriptors, failed), end; !failed && at != end;
       at.increment(failed)) {
    std::error_code gone;
    const std::string target = fs::read_symlink(at->path(), gone).string();
    struct stat info{};  // the modes of the link are those of the open file (proc(5))
    if (target.ends_with(file) && ::lstat(at->path().c_str(), &info) == 0 &&
        (info.st_mode & S_IWUSR) != 0) {
      return true;
    }
  }
  return false;
}

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
  if (words.size() > 1 && fs::path(words[0]).filename() == "gpu-gate" && words[1] == "run") {
    const auto separator = std::find(words.begin(), words.end(), "--");
    words.erase(words.begin(), separator == words.end() ? separator : separator + 1);
  }
  std::string text;
  for (const std::string& word : words) text += (&word == &words.front() ? "" : " ") + word;
  return text.empty() ? owner.command : text.substr(0, kMaxCommandBytes);
}

std::optional<pid_t> holder_of(const Claim& claim, const std::string& proc) {
  const std::string file = "/" + claim_name({.uuid = claim.uuid, .ticket = claim.ticket});
  std::optional<pid_t> found;
  std::error_code failed;
  for (fs::directory_iterator at(proc, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string name = at->path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
    if ((!found || pid < *found) && holds(at->path() / "fd", file)) found = pid;
  }
  return found;
}

}  // namespace gpu_gate
