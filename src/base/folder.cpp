#include "base/folder.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <system_error>

namespace gpu_gate {

FolderNames names_in_folder(const std::string& path) {
  FolderNames folder;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(path.c_str()), &::closedir);
  if (!listing) {
    folder.errnum = errno;
    return folder;
  }
  for (;;) {
    errno = 0;
    const struct dirent* entry = ::readdir(listing.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') folder.names.emplace_back(entry->d_name);
  }
  folder.errnum = errno;
  return folder;
}

FolderNumbers numbers_in_folder(const std::string& path) {
  const FolderNames folder = names_in_folder(path);
  FolderNumbers found{.numbers = {}, .errnum = folder.errnum};
  for (const std::string& name : folder.names) {
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size();
    const auto [stop, problem] = std::from_chars(name.data(), end, number);
    if (problem == std::errc{} && stop == end) found.numbers.push_back(number);
  }
  std::sort(found.numbers.begin(), found.numbers.end());
  return found;
}

}  // namespace gpu_gate
