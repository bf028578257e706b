// Which devices CUDA_VISIBLE_DEVICES shows a program.
#pragma once

#include "machine.h"

namespace sim {

struct Devices {
  int count;
  int gpus[kMaxDevices];  // places in Machine::gpus
};

// CUDA's rules: null shows every device, an empty text none; a number counts the devices in PCI
// order, but none that is lost, closed or in MIG mode; a UUID may be shortened as long as one
// device fits it; the first entry that names no device hides itself and all after it; numbers and
// UUIDs do not mix; a device named twice hides them all. Where an instance is among what is shown,
// and where there is no card that can be used as a whole, the first instance is all. An instance
// may be named as in drivers before R470, too: MIG-<UUID of its card>/1/0. CUDA_DEVICE_ORDER makes
// no difference here: the devices are in PCI order in either case.
Devices visible_devices(const Machine& machine, const char* cuda_visible_devices);

}  // namespace sim
