#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/doctor.h"

namespace gpu_gate {

/// What doctor prints: each finding with its remedy below it, and a last line that sums up and
/// tells the lock directory. `width`: of the terminal; what is no remedy is broken to fit.
std::string doctor_text(const std::vector<Finding>& findings, const LockPlace& lock,
                        std::optional<std::size_t> width);

}  // namespace gpu_gate
