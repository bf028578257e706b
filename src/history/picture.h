#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "history/past_claims.h"

namespace gpu_gate {

/// What is drawn.
struct PictureOf {
  Span span;
  std::int64_t now_ms = 0;
  const std::vector<PastClaim>& claims;  // that overlap the span, by begin
  const std::vector<PastClaim>& all;     // which tell what GPUs there are
  std::function<std::string(uid_t)> user_name;
};

/// The picture as SVG: a row for each GPU, time to the right, a bar for each claim in its user's
/// colour with the facts in its title, and below it a thin one for how long it waited. It needs no
/// script, and is light or dark as the reader's screen is. Times are those of the local clock.
std::string picture_svg(const PictureOf& picture);

}  // namespace gpu_gate
