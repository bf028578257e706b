#pragma once

#include <string>
#include <vector>

namespace gpu_gate {

/// The one of the known words that `word` was meant to be: an abbreviation of it, or a slip of the
/// fingers. "" where none is near. Dashes in front and capitals do not count.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

}  // namespace gpu_gate
