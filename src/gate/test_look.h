#pragma once

#include <utility>
#include <vector>

#include "base/wait_set.h"
#include "gate/look.h"
#include "gate/test_process.h"
#include "policy/test_machine.h"

// Looks for unit tests of those that act on them.
namespace gpu_gate {

/// What the driver lists of a compute process.
inline GpuProcess compute_process(pid_t pid) {
  GpuProcess process;
  process.pid = pid;
  return process;
}

/// A card with memory in use that belongs to no visible process.
inline Device draining_card(int index) { return card(index, 10000); }

/// A card on which a process runs that is not to be watched.
inline Device occupied_card(int index) {
  Device device = card(index);
  device.processes.push_back(compute_process(0));
  return device;
}

/// What a waiter sees that finds the machine so, with nobody else in line.
inline Look look_at(std::vector<Device> devices, const Request& request,
                    std::vector<Claim> claims = {}) {
  Look look;
  look.snapshot.devices = std::move(devices);
  look.request = request;
  look.claims = std::move(claims);
  look.occupancy = occupancy(look.snapshot, look.claims, request.within);
  look.decision = LineRule(look.snapshot, look.occupancy, {}).next({.request = &look.request});
  return look;
}

/// A request for one device, of those that are not barred.
inline Request wish_without(std::vector<std::string> barred) {
  Request request = wish(1);
  request.barred = std::move(barred);
  return request;
}

/// A request for one device with so much free memory.
inline Request wish_of_memory(std::int64_t min_free_mib) {
  Request request = wish(1);
  request.criteria.min_free_mib = min_free_mib;
  return request;
}

/// How many descriptors it sleeps on.
template <class Sleeper>
std::size_t watched(Sleeper& sleeper) {
  WaitSet set;
  sleeper.add_to(set);
  return set.add(-1, 0);
}

/// Sleeps until something fires, or it is time.
template <class Sleeper>
WaitSet sleep_of(Sleeper& sleeper) {
  WaitSet set;
  sleeper.add_to(set);
  set.until(Clock::now() + std::chrono::milliseconds(kPatienceMs));
  EXPECT_TRUE(set.sleep());
  return set;
}

}  // namespace gpu_gate
