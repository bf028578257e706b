#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "history/entry.h"

namespace gpu_gate {

/// The directory of the history and the files in it, one for each user, to which lines are only
/// ever added. Nothing read from it is trusted: a claim belongs to the owner of its file.

/// Where the history is kept, where there is such a directory, unless the environment names
/// another.
constexpr const char* kHistoryDirectory = "/var/lib/gpu-gate";

/// Adds a line to this user's own file by one write(2). The file is made if it is not there yet,
/// with mode 0644 whatever the umask. What fails costs this line alone: no right, others' files in
/// its place, or a full disk that takes a part of it (see read_lines).
void add_line(const std::string& directory, const std::string& line);

/// What the files say, in no order. Of a claim that has both lines that of its end.
struct History {
  std::vector<HistoryEntry> entries;
  std::size_t unread = 0;  // lines that are no whole entry
  bool cut = false;        // some user's files are so large that their oldest lines were left out
};

/// Reads the regular files whose names end in ".jsonl", at most `most_bytes` of each user's, the
/// last ones. Follows no link and blocks on no FIFO. Errors: system, where the directory cannot be
/// listed.
Result<History> read_history(const std::string& directory, std::int64_t most_bytes = 1 << 28);

/// Adds what is in the text of a file. Where a line was written in part only, the next one stands
/// behind it, and begins at its `{"`, which a line has nowhere else. Pure.
void read_lines(std::string_view text, uid_t owner, History& history);

}  // namespace gpu_gate
