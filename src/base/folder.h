#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gpu_gate {

// Listing a folder of proc(5), sysfs or /dev. (Not by std::filesystem, which brings the locales of
// the whole C++ library into the program: 400 KiB.)

/// The names in a folder in the order in which it gives them, without those that begin with a dot;
/// none where it cannot be read.
std::vector<std::string> names_in_folder(const std::string& path);

/// The names in a folder that are whole numbers, ascending; none where it cannot be read.
std::vector<std::uint64_t> numbers_in_folder(const std::string& path);

}  // namespace gpu_gate
