#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gpu_gate {

// A command that cannot be run as it was written.

/// Before a command this asks for GPUs, as a list that gpu-gate has to choose from.
constexpr std::string_view kSetsVisible = "CUDA_VISIBLE_DEVICES=";

/// The words that do what was meant where they are not a program and its arguments: variables
/// before it go to env(1), what only a shell has to a shell, and a command that stands in quotes is
/// taken apart. Else the same words.
std::vector<std::string> as_program(const std::vector<std::string>& command);

/// Adds to an error of find_command what helps. `path`: $PATH, or null.
Error with_hint(Error error, const std::vector<std::string>& command, const char* path);

}  // namespace gpu_gate
