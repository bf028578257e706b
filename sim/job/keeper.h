// The keeper: a little process that stands for the driver's memory accounting of one job.
#pragma once

#include <stdint.h>

#include "job/visible_devices.h"
#include "machine.h"

namespace sim {

struct Demand {
  bool amd;  // the devices are places in amd_nodes(), not in Machine::gpus
  Devices devices;
  uint64_t memory_mib;  // on each device
  uint32_t util_percent;
  uint32_t linger_ms;
  bool graphics;
};

struct Taken {
  enum Outcome : int { kYes, kOutOfMemory, kDeviceInUse, kSystemError } outcome;
  int gpu;            // the device that refused
  uint64_t free_mib;  // what it had
  int error;          // errno
};

// Forks the keeper, which takes the memory on every device or on none. It watches this process (by
// pidfd, so a SIGKILL or an exec makes no difference) and gives the memory back `linger_ms` after
// its end. The keeper is not the job's child, has a session of its own and none of the job's
// descriptors: it keeps no lock, claim or pipe of the job alive.
Taken take_devices(const Machine& machine, const char* machine_path, const Demand& demand);

}  // namespace sim
