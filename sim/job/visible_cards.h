// Which cards CUDA_VISIBLE_DEVICES shows a program.
#pragma once

#include "machine.h"

namespace sim {

struct Cards {
  int count;
  int gpus[kMaxGpus];  // places in Machine::gpus
};

// CUDA's rules: null shows every card, an empty text none; a number counts the cards in PCI order;
// a UUID may be shortened as long as one card fits it; the first entry that names no card hides
// itself and all after it; numbers and UUIDs do not mix; a card named twice hides them all.
// CUDA_DEVICE_ORDER makes no difference here: the cards are in PCI order in either case.
Cards visible_cards(const Machine& machine, const char* cuda_visible_devices);

}  // namespace sim
