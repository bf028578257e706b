#include "base/error.h"

#include <cstring>

#include "base/printable.h"

namespace gpu_gate {

Error system_error(ExitCode code, std::string_view call, std::string_view path, int errnum) {
  std::string text;
  text.append(call).append("(").append(printable(path)).append("): ").append(std::strerror(errnum));
  return Error{code, std::move(text), errnum};
}

}  // namespace gpu_gate
