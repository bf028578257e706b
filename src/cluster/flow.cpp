#include "cluster/flow.h"

#include <cerrno>

#include "base/prompt_write.h"

namespace gpu_gate {

void Flow::put(std::string_view bytes) {
  if (lost_reader_ || errnum_ != 0) return;
  kept_ += bytes;
  if (kept_.empty()) return;
  const PromptWrite done = write_promptly(to_, kept_);
  kept_.erase(0, done.bytes);
  if (done.errnum == 0) return;
  kept_.clear();
  lost_reader_ = done.errnum == EPIPE;
  // Closed by the caller: then nobody expects anything there.
  if (!lost_reader_ && done.errnum != EBADF) errnum_ = done.errnum;
}

}  // namespace gpu_gate
