#pragma once

#include <string>
#include <vector>

#include "cli/watch_gpus.h"
#include "cli/watch_keys.h"

namespace gpu_gate {

/// All that a picture of the live board is made from, besides the board itself.
struct WatchView {
  WatchScene scene;  // its `mine` follows from the choice
  WatchChoice choice;
  std::size_t height = 24;
  std::string host;
  std::string clock;                  // "14:03:27"
  std::vector<std::string> troubles;  // a line each, above all else
};

struct WatchFrame {
  std::vector<std::string> lines;  // as many as the terminal has; none is wider
  std::size_t last = 0;            // how far it can be scrolled down
};

/// The picture. What does not fit is counted. Pure.
WatchFrame watch_frame(const WatchView& view);

}  // namespace gpu_gate
