#pragma once

#include <sys/types.h>

#include <csignal>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gpu_gate {

/// What a child has as its standard streams; others of this process's descriptors are closed there
/// but those in `kept`.
struct ChildStreams {
  int in = -1;  // -1: /dev/null
  int out = -1;
  int err = -1;
  std::vector<int> kept;
};

/// Starts a program in a session of its own, where no key of the terminal reaches it, with every
/// signal as by default. `words`: the first is its file. Returns its pid; that of one that cannot
/// be executed ends with 127. Errors: system.
Result<pid_t> start_child(const std::vector<std::string>& words,
                          const std::vector<std::string>& environment, const ChildStreams& streams);

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

/// Closed on exec; `own`, the end that stays in this process, never blocks. Errors: system.
enum class OwnEnd { read, write };
Result<Pipe> open_pipe(OwnEnd own);

/// Adds what is there; false at the end of it, or where it cannot be read.
bool read_from(int fd, std::string& bytes);

/// As long as it lives, children can be waited for, also where the program was started with SIGCHLD
/// ignored: the kernel then drops what became of them.
class ChildStatuses {
 public:
  ChildStatuses();
  ChildStatuses(const ChildStatuses&) = delete;
  ChildStatuses& operator=(const ChildStatuses&) = delete;
  ~ChildStatuses();

 private:
  struct sigaction before_{};
};

}  // namespace gpu_gate
