#pragma once

#include <string>
#include <utility>
#include <vector>

#include "policy/test_machine.h"
#include "report/board.h"

// Users, jobs and boards for unit tests.
namespace gpu_gate {

inline Owner job(pid_t pid, const std::string& command, std::int64_t since = 0) {
  Owner owner;
  owner.pid = pid;
  owner.since = since;
  owner.command = command;
  return owner;
}

inline Claimant claimant(const std::string& user, std::optional<Owner> job = {}) {
  return {.uid = 1000, .user = user, .job = std::move(job)};
}

inline BoardClaim board_claim(Ticket ticket, Claimant claimant,
                              std::vector<std::string> devices = {}) {
  return {.ticket = ticket, .claimant = std::move(claimant), .devices = std::move(devices)};
}

inline DeviceProcess seen_process(pid_t pid, const std::string& user, const std::string& command) {
  return {.process = {.pid = pid, .graphics = false, .memory_mib = {}},
          .uid = 1000,
          .user = user,
          .command = command};
}

/// One whose owner cannot be told, as of another pid namespace.
inline DeviceProcess hidden_process(pid_t pid) {
  return {.process = {.pid = pid, .graphics = false, .memory_mib = {}},
          .uid = {},
          .user = {},
          .command = {}};
}

inline BoardRow board_row(Device device, std::vector<BoardClaim> claims = {},
                          std::vector<BoardProcess> processes = {}) {
  for (const BoardProcess& process : processes) {
    device.processes.push_back(process.described.process);
  }
  return {
      .device = std::move(device), .claims = std::move(claims), .processes = std::move(processes)};
}

inline BoardWaiter board_waiter(const std::string& user, Owner owner, const Request& request) {
  return {.place = {.ticket = 1, .within = request.within},
          .user = user,
          .record = {.owner = std::move(owner), .request = request}};
}

}  // namespace gpu_gate
