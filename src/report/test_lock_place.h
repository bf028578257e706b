#pragma once

#include "report/lock_place.h"

namespace gpu_gate {

/// A lock directory that root made for all.
inline LockPlace sound_place() {
  LockPlace place;
  place.path = "/run/gpu-gate";
  place.exists = true;
  place.owner = "root";
  place.mode = 01777;
  place.file_system = "tmpfs";
  return place;
}

}  // namespace gpu_gate
