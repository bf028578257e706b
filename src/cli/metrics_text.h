#pragma once

#include <cstdint>
#include <string>

#include "report/board.h"

namespace gpu_gate {

/// The board in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats), for
/// node_exporter's textfile collector, which allows no timestamps. What is unknown has no line.
/// `now`: seconds since 1970.
std::string metrics_text(const Board& board, std::int64_t now);

}  // namespace gpu_gate
