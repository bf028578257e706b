#include "base/error.h"

#include <cerrno>
#include <cstring>

#include "base/printable.h"

namespace gpu_gate {
namespace {

/// What helps where the machine has too little for this process; "" for any other errno.
std::string_view shortage_remedy(int errnum) {
  switch (errnum) {
    case EMFILE:
    case ENFILE:
      return "; raise the limit on open files (ulimit -n)";
    case EFBIG:
      return "; raise the limit on the size of files (ulimit -f)";
    case ENOMEM:
      return "; there is no memory left";
    default:
      return {};
  }
}

}  // namespace

Error system_error(ErrorKind kind, std::string_view call, std::string_view path, int errnum) {
  std::string text;
  text.append(call).append("(").append(printable(path)).append("): ").append(std::strerror(errnum));
  const std::string_view remedy = shortage_remedy(errnum);
  if (!remedy.empty()) kind = ErrorKind::system;
  return Error{.kind = kind, .text = std::move(text.append(remedy)), .errnum = errnum};
}

}  // namespace gpu_gate
