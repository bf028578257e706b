#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gpu_gate {

// Listing a folder of proc(5), sysfs or /dev. (Not by std::filesystem, which brings the locales of
// the whole C++ library into the program: 400 KiB.)

struct FolderNames {
  std::vector<std::string> names;
  int errnum = 0;  // why there may be more; 0: these are all
};

/// The names in a folder in the order in which it gives them, without those that begin with a dot.
FolderNames names_in_folder(const std::string& path);

struct FolderNumbers {
  std::vector<std::uint64_t> numbers;
  int errnum = 0;  // why there may be more; 0: these are all
};

/// The names in a folder that are whole numbers, ascending.
FolderNumbers numbers_in_folder(const std::string& path);

}  // namespace gpu_gate
