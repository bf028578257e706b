#pragma once

#include <optional>
#include <string>

#include "gate/claims.h"

namespace gpu_gate {

// What /proc tells of the processes that records name. `proc`: where proc(5) is.

enum class Seen { lives, ended, unknown };  // unknown: of another pid namespace, or hidden

/// Does the process of a record live? A zombie has ended.
Seen recorded_process(const Owner& owner, const std::string& proc = "/proc");

/// The command line of a record's process where it can be seen (of a `gpu-gate run` that waits: the
/// command it waits for), else the program's name that the record has. Arbitrary bytes.
std::string command_of(const Owner& owner, const std::string& proc = "/proc");

/// A process that holds the claim, as far as this user may see the descriptors of others.
std::optional<pid_t> holder_of(const Claims& claims, const Claim& claim,
                               const std::string& proc = "/proc");

}  // namespace gpu_gate
