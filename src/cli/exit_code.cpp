#include "cli/exit_code.h"

namespace gpu_gate {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::unhealthy:
    case ErrorKind::not_done:
      return 1;
    case ErrorKind::usage:
      return 2;
    case ErrorKind::impossible:
      return 3;
    case ErrorKind::gpu_state:
    case ErrorKind::no_driver:
      return 4;
    case ErrorKind::lock_dir:
    case ErrorKind::lock_file:
    case ErrorKind::replaced:
      return 5;
    case ErrorKind::timed_out:
      return 124;  // as timeout(1)
    case ErrorKind::system:
    case ErrorKind::output:
      return 125;  // the program itself failed, as with timeout(1) and env(1)
    case ErrorKind::not_executable:
      return 126;
    case ErrorKind::not_found:
      return 127;
  }
  return 125;
}

}  // namespace gpu_gate
