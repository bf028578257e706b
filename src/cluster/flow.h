#pragma once

#include <string>
#include <string_view>

#include "base/wait_set.h"

namespace gpu_gate {

/// What is on its way to a stream that is not always ready. It never blocks, and takes nothing new
/// from its source before the last is gone: so a reader that is slow slows the writer down.
class Flow {
 public:
  explicit Flow(int to) : to_(to) {}

  bool is_empty() const { return kept_.empty(); }
  /// Nobody reads there any more.
  bool lost_reader() const { return lost_reader_; }
  /// The errno that says why it cannot be written otherwise; 0 where it can.
  int errnum() const { return errnum_; }

  /// Adds bytes and writes what goes at once. Where it cannot be written they are dropped.
  void put(std::string_view bytes);
  /// Goes on, when the stream has room.
  void go_on() { put(""); }
  /// Wakes when there is something to write and room for it.
  void add_to(WaitSet& set) const {
    if (!kept_.empty()) set.add(to_, POLLOUT);
  }

 private:
  int to_;
  std::string kept_;
  bool lost_reader_ = false;
  int errnum_ = 0;
};

}  // namespace gpu_gate
