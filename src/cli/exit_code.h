#pragma once

#include "base/error.h"

namespace gpu_gate {

/// What the process exits with for each kind of error: the table "Exit codes" of the README.
int exit_code(ErrorKind kind);

}  // namespace gpu_gate
