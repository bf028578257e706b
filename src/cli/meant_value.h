#pragma once

#include <string>

namespace gpu_gate {

// What a value that cannot be read was meant as, in a form that may be read: "0-3" for "0..3"; ""
// where nothing comes to mind. Whether it can be read the caller has to see.

std::string meant_list(const std::string& text);    // of GPUs
std::string meant_time(const std::string& text);    // "10m" for "10 min"
std::string meant_size(const std::string& text);    // "8G" for "8 gigs"
std::string meant_number(const std::string& text);  // "2" for "two"

/// "all", "any": what is had by leaving the option out.
bool means_all(const std::string& text);

}  // namespace gpu_gate
