#include "report/state.h"

#include <algorithm>

#include "policy/fit.h"

namespace gpu_gate {
namespace {

bool is_broken(const BoardRow& row) {
  switch (row.device.health) {
    case Health::ok:
    case Health::mig:
      return false;
    case Health::unreadable:
      // A driver that does not open a closed device cannot read its state either.
      return row.claims.empty() && row.device.accessible;
    case Health::lost:
    case Health::reset_required:
    case Health::prohibited:
      return true;
  }
  return true;
}

}  // namespace

State state_of(const BoardRow& row) {
  if (is_broken(row)) return State::broken;
  if (!row.claims.empty()) {
    const bool idle = std::all_of(row.claims.begin(), row.claims.end(),
                                  [](const BoardClaim& claim) { return claim.idle; });
    return idle ? State::idle : State::held;
  }
  if (row.kept_for != 0) return State::kept;
  if (!row.device.accessible) return State::other;
  return fit(row.device, Request(), Occupancy()) == Fit::usable ? State::free : State::other;
}

const char* word_of(State state) {
  switch (state) {
    case State::free:
      return "free";
    case State::kept:
      return "kept";
    case State::held:
      return "held";
    case State::idle:
      return "idle";
    case State::other:
      return "other";
    case State::broken:
      return "broken";
  }
  return "";
}

}  // namespace gpu_gate
