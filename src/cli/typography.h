#pragma once

#include <string>
#include <vector>

namespace gpu_gate {

/// Words of a command line as a keyboard has them: with plain dashes and without the quotation
/// marks that web pages and word processors set ("–n" is "-n", "—count" is "--count", a dash alone
/// is
/// "--"). What such marks hold together becomes one word. Behind the dashes that end the options
/// all is the command's own, and stays.
std::vector<std::string> as_typed(const std::vector<std::string>& words);

/// The text with the dashes of a keyboard for any other, and without quotation marks around it.
std::string with_plain_marks(const std::string& text);

}  // namespace gpu_gate
