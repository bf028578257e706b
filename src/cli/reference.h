#pragma once

#include <string>

#include "base/result.h"

namespace gpu_gate {

/// The man page and the completions: what they say of options and subcommands is made from the
/// tables, when the program is built. No part of the program itself.

/// Fills in a template: a line that is only a name such as @man_options@ becomes the lines of that
/// name, indented as it was. The error's text is the name that is unknown.
Result<std::string> filled_in(const std::string& text);

/// The table of options for tests: a line for each, of its name, value, default and subcommands,
/// with tabs between them.
std::string options_listed();

}  // namespace gpu_gate
