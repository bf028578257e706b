#include "base/folder.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <system_error>

namespace gpu_gate {

std::vector<std::string> names_in_folder(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(path.c_str()), &::closedir);
  if (!listing) return names;
  while (const struct dirent* entry = ::readdir(listing.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

std::vector<std::uint64_t> numbers_in_folder(const std::string& path) {
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : names_in_folder(path)) {
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size();
    const auto [stop, problem] = std::from_chars(name.data(), end, number);
    if (problem == std::errc{} && stop == end) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace gpu_gate
