#pragma once

#include <string>
#include <vector>

#include "cli/board.h"
#include "gate/waiter.h"

namespace gpu_gate {

/// What status --json prints: a list with an object for each GPU. Keys are only ever added.
std::string status_json(const Board& board);

/// What wait --json prints. `visible`: the value for CUDA_VISIBLE_DEVICES.
std::string wait_json(const std::vector<Device>& devices, const std::string& visible);

}  // namespace gpu_gate
