#pragma once

#include <string>
#include <vector>

namespace gpu_gate {

/// The words of a paragraph in lines of at most `width` bytes. A word that is longer has a line of
/// its own.
std::vector<std::string> wrapped(const std::string& paragraph, std::size_t width);

}  // namespace gpu_gate
