#include "history/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <tuple>

#include "base/folder.h"
#include "base/signals.h"
#include "base/umask.h"
#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

constexpr const char* kSuffix = ".jsonl";
/// A file of another user's in the place of one's own, in a directory where all may make files, is
/// gone round so often.
constexpr int kMostNames = 8;

/// "1000.jsonl", "1000-1.jsonl", ...
std::string own_name(int number) {
  return std::to_string(::geteuid()) + (number == 0 ? "" : "-" + std::to_string(number)) + kSuffix;
}

/// Is it a file that may be written as one's own? Not one that somebody else has made, nor one of
/// one's own elsewhere, to which somebody has made a link here.
bool is_own_file(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == ::geteuid() &&
         info.st_nlink == 1;
}

/// This user's own file, to add lines to; none where it cannot be had.
UniqueFd open_own_file(const std::string& directory) {
  const NoUmask exact_mode;
  for (int number = 0; number < kMostNames; ++number) {
    const std::string path = directory + "/" + own_name(number);
    UniqueFd fd(::open(
        path.c_str(),
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644));
    if (fd && is_own_file(fd.get())) return fd;
    // The kernel may refuse O_CREAT on another's file (fs.protected_regular), too.
    const bool is_in_the_way =
        fd || errno == EACCES || errno == ELOOP || errno == ENXIO || errno == EISDIR;
    if (!is_in_the_way || ::access(directory.c_str(), W_OK | X_OK) != 0) break;
  }
  return {};
}

/// Identifies a claim: tickets are those of a lock directory, of which there may be several.
using ClaimKey = std::tuple<uid_t, std::uint64_t, std::int64_t>;

ClaimKey key_of(const HistoryEntry& entry) { return {entry.uid, entry.claim, entry.begin_ms}; }

/// Leaves one entry for each claim, that of its end if there is one.
void merge(std::vector<HistoryEntry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::make_tuple(key_of(a), !a.end_ms, a.end_ms) <
           std::make_tuple(key_of(b), !b.end_ms, b.end_ms);
  });
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [](const auto& a, const auto& b) { return key_of(a) == key_of(b); }),
                entries.end());
}

/// Goes through the next `bytes` of a file in parts, each of whole lines.
void read_file(int fd, std::int64_t bytes, uid_t owner, History& history) {
  std::string text;
  std::array<char, kMaxLineBytes> part{};
  while (bytes > 0) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    bytes -= got;
    text.append(part.data(), static_cast<std::size_t>(got));
    const std::size_t end = text.rfind('\n');
    if (end != std::string::npos) {
      read_lines(std::string_view(text).substr(0, end), owner, history);
      text.erase(0, end + 1);
    } else if (text.size() > 4 * kMaxLineBytes) {
      text.erase(kMaxLineBytes + 1);  // too long for a line, and counts as one
    }
  }
  read_lines(text, owner, history);
}

}  // namespace

void add_line(const std::string& directory, const std::string& line) {
  const UniqueFd file = open_own_file(directory);
  if (!file) return;
  const WriteSignals signals;
  const std::string text = line + "\n";
  if (::write(file.get(), text.data(), text.size()) < 0) signals.failed(errno);
}

void read_lines(std::string_view text, uid_t owner, History& history) {
  constexpr std::string_view kBegin = "{\"";
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t end = std::min(line.find(kBegin, at + 1), line.size());
      auto entry = parse_line(line.substr(at, end - at), owner);
      if (entry) history.entries.push_back(std::move(*entry));
      if (!entry) ++history.unread;
      at = end;
    }
  }
}

Result<History> read_history(const std::string& directory, std::int64_t most_bytes) {
  auto [names, errnum] = names_in_folder(directory);
  if (errnum != 0) return fail(system_error(ErrorKind::system, "readdir", directory, errnum));
  std::sort(names.begin(), names.end());
  History history;
  std::map<uid_t, std::int64_t> left;
  for (const std::string& name : names) {
    if (!name.ends_with(kSuffix)) continue;
    const UniqueFd fd(::open(std::string(directory).append("/").append(name).c_str(),
                             O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    std::int64_t& most = left.try_emplace(info.st_uid, most_bytes).first->second;
    const std::int64_t bytes = std::min<std::int64_t>(info.st_size, most);
    most -= bytes;
    if (bytes < info.st_size) {
      history.cut = true;
      ::lseek(fd.get(), info.st_size - bytes, SEEK_SET);
    }
    read_file(fd.get(), bytes, info.st_uid, history);
  }
  merge(history.entries);
  return history;
}

}  // namespace gpu_gate
