#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace gpu_gate {

/// How well each two devices of a snapshot are linked, by their positions in it: a score, the
/// higher the better. An empty one knows nothing.
class Links {
 public:
  Links() = default;
  explicit Links(std::size_t devices) : devices_(devices), scores_(devices * devices, 0) {}

  /// 0 where nothing is known of these two.
  int score(std::size_t a, std::size_t b) const {
    return std::max(a, b) < devices_ ? scores_[a * devices_ + b] : 0;
  }

  void set_score(std::size_t a, std::size_t b, int score) {
    scores_[a * devices_ + b] = score;
    scores_[b * devices_ + a] = score;
  }

  /// Is anything known of any two?
  bool known() const {
    return std::any_of(scores_.begin(), scores_.end(), [](int score) { return score != 0; });
  }

 private:
  std::size_t devices_ = 0;
  std::vector<int> scores_;
};

}  // namespace gpu_gate
