// The keeper: a little process that stands for the driver's memory accounting of one job.
#pragma once

#include <stdint.h>

#include "job/visible_cards.h"
#include "machine.h"

namespace sim {

struct Demand {
  Cards cards;
  uint64_t memory_mib;  // on each card
  uint32_t util_percent;
  uint32_t linger_ms;
  bool graphics;
};

struct Taken {
  enum Outcome : int { kYes, kOutOfMemory, kCardInUse, kSystemError } outcome;
  int gpu;            // the card that refused
  uint64_t free_mib;  // what it had
  int error;          // errno
};

// Forks the keeper, which takes the memory on every card or on none. It watches this process (by
// pidfd, so a SIGKILL or an exec is no matter), and gives the memory back `linger_ms` after its
// end. The keeper is nobody's child, has a session of its own and holds no descriptor of the
// caller's: it keeps no lock, claim or pipe of the job alive.
Taken take_cards(const Machine& machine, const char* machine_path, const Demand& demand);

}  // namespace sim
