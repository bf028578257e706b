#pragma once

#include <sys/stat.h>

namespace gpu_gate {

/// Sets the umask to 0 for its own lifetime: what is made meanwhile has exactly the mode that is
/// asked for, from its first moment. (A chmod afterwards would leave a moment, and after a kill a
/// lasting file, that other users cannot use.)
class NoUmask {
 public:
  NoUmask() : before_(::umask(0)) {}
  NoUmask(const NoUmask&) = delete;
  NoUmask& operator=(const NoUmask&) = delete;
  ~NoUmask() { ::umask(before_); }

 private:
  mode_t before_;
};

}  // namespace gpu_gate
