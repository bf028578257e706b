#pragma once

#include <vector>

namespace gpu_gate {

/// The open descriptors of this process above standard error, by /proc; without that, all numbers
/// that are usual.
std::vector<int> open_descriptors();

/// Closes every descriptor of this process above standard error but those in `kept`, so that what
/// its caller had open (locks, pipes, devices) does not live on in it.
void close_others(std::vector<int> kept);

}  // namespace gpu_gate
