#include "base/descriptors.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <memory>

namespace gpu_gate {
namespace {

constexpr unsigned kLast = std::numeric_limits<int>::max();
constexpr int kUsual = 65536;

/// close_range(2), which Linux has since 5.9.
bool closed_range(unsigned first, unsigned last) {
  return first > last || ::syscall(SYS_close_range, first, last, 0) == 0;
}

}  // namespace

std::vector<int> open_descriptors() {
  std::vector<int> open;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc/self/fd"), ::closedir);
  if (!dir) {
    for (int fd = STDERR_FILENO + 1; fd < kUsual; ++fd) open.push_back(fd);
    return open;
  }
  while (const struct dirent* entry = ::readdir(dir.get())) {
    int fd = -1;  // of "." and ".."
    std::from_chars(std::begin(entry->d_name), std::end(entry->d_name), fd);
    if (fd > STDERR_FILENO && fd != ::dirfd(dir.get())) open.push_back(fd);
  }
  return open;
}

void close_others(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = STDERR_FILENO + 1;
  bool done = true;
  for (const int fd : kept) {
    if (fd < static_cast<int>(first)) continue;
    done = done && closed_range(first, static_cast<unsigned>(fd) - 1);
    first = static_cast<unsigned>(fd) + 1;
  }
  if (done && closed_range(first, kLast)) return;
  for (const int fd : open_descriptors()) {
    if (!std::binary_search(kept.begin(), kept.end(), fd)) ::close(fd);
  }
}

}  // namespace gpu_gate
