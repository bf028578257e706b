#pragma once

#include "report/board.h"

namespace gpu_gate {

/// What a GPU is to those who want one, in one word. One definition each, for every text.
enum class State {
  free,    // a request without options would get it
  kept,    // for one who waits
  held,    // a claim has it, or parts of it
  idle,    // held, but none of its claims uses it (BoardClaim::idle)
  other,   // works, but is not to be had: in use without a claim, closed to this user, in MIG mode
  broken,  // works for nobody: lost, waiting for a reset, PROHIBITED, or not to be read
};

/// Pure. What does not work is broken whoever has it; of a device that cannot be read, which may
/// be the driver's fault alone, its claims still tell.
State state_of(const BoardRow& row);

/// "free", "kept", ...
const char* word_of(State state);

}  // namespace gpu_gate
