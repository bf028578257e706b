#pragma once

#include <vector>

namespace gpu_gate {

/// Closes every descriptor of this process above standard error but those in `kept`, so that what
/// its caller had open (locks, pipes, devices) does not live on in it.
void close_others(std::vector<int> kept);

}  // namespace gpu_gate
