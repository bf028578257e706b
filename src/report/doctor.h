#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gpu/device.h"
#include "report/host.h"
#include "report/lock_place.h"

namespace gpu_gate {

/// A fault makes gpu-gate or a GPU job fail; a note is good to know.
enum class Level { fault, note };

/// Something that doctor has to say.
struct Finding {
  Level level = Level::note;
  std::string subject;  // "GPU 2", "driver"
  std::string what;     // printable
  std::string remedy;   // a line to paste into a shell
};

/// All that doctor looks at, as it was at one moment.
struct Examination {
  Result<Snapshot> snapshot;
  bool persistence_off = false;  // of some device (GpuSource::needs_open)
  LockPlace lock;
  Host host;
  /// Why Slurm gives gpu-gate no GPU of this machine, inside a job of Slurm's.
  std::optional<Diagnosis> refused_by_slurm = std::nullopt;
};

/// What is wrong on this machine, faults first. Pure.
std::vector<Finding> diagnose(const Examination& examination);

/// Why this lock directory is the one in use: "made for all users". Pure.
std::string why_this_one(const LockPlace& lock);

}  // namespace gpu_gate
