#include "policy/barred.h"

#include <algorithm>

namespace gpu_gate {
namespace {

template <class List, class Value>
bool contains(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

Status check_only(const Selection& selection, const Snapshot& snapshot) {
  if (!selection.only) return {};
  const Status checked = check_gpu_list(*selection.only, snapshot);
  if (!checked) return fail(ErrorKind::impossible, "--only: " + checked.error().text);
  return {};
}

std::vector<Barred> bar_devices(const Selection& selection, const Snapshot& snapshot) {
  std::vector<std::size_t> visible;
  if (!selection.inherited.empty()) visible = visible_devices(selection.inherited, snapshot);

  std::vector<Barred> barred(snapshot.devices.size(), Barred::no);
  for (std::size_t i = 0; i < barred.size(); ++i) {
    const Device& device = snapshot.devices[i];
    const bool excluded = std::any_of(selection.exclude.begin(), selection.exclude.end(),
                                      [&](const GpuRef& ref) { return covers(ref, device); });
    const bool named =
        !selection.only || std::any_of(selection.only->begin(), selection.only->end(),
                                       [&](const GpuRef& ref) { return matches(ref, device); });
    if (!named) {
      barred[i] = Barred::not_in_only;
    } else if (excluded) {
      barred[i] = Barred::excluded;
    } else if (selection.claim_devices && !device.uuid.empty() &&
               !contains(*selection.claim_devices, device.uuid)) {
      // (A lost device has no UUID to tell it by: it may be one of the job's own.)
      barred[i] = Barred::outside_claim;
    } else if (!selection.inherited.empty() && !contains(visible, i)) {
      barred[i] = Barred::not_visible;
    } else if (device.only_if_named && !selection.only && !selection.claim_devices) {
      barred[i] = Barred::not_named;
    } else if (!device.accessible && (!device.uuid.empty() || device.health == Health::ok)) {
      // (Of one whose handle the driver refuses nothing is known: it may be opened to us yet.)
      barred[i] = Barred::no_access;
    }
  }
  return barred;
}

}  // namespace gpu_gate
