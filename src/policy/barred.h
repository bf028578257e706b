#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gpu/device.h"
#include "gpu/gpu_list.h"
#include "gpu/visible_devices.h"

namespace gpu_gate {

/// Why a request may not have a device, whatever its state.
enum class Barred {
  no,
  not_in_only,    // --only names others
  excluded,       // --exclude names it, or its card
  not_visible,    // an inherited list of visible devices hides it
  not_named,      // it is only for who names it (Device::only_if_named)
  no_access,      // this user may not open its device node
  outside_claim,  // the job that asks holds other devices
};

/// Where a request may choose: the options and the surroundings, not yet matched with a machine.
struct Selection {
  std::optional<std::vector<GpuRef>> only;
  std::vector<GpuRef> exclude;
  std::vector<VisibleList> inherited;                     // of visible devices
  std::optional<std::vector<std::string>> claim_devices;  // UUIDs of the claim it is inside of
};

/// For each device of the snapshot, in its order, whether this selection bars it and why. What
/// --only names and the machine lacks bars all the others just so.
std::vector<Barred> bar_devices(const Selection& selection, const Snapshot& snapshot);

/// Does the machine have all that --only names, and each prefix of a UUID once? Else an Error
/// (impossible).
Status check_only(const Selection& selection, const Snapshot& snapshot);

}  // namespace gpu_gate
