#include "history/claim_end.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "base/process_watch.h"
#include "base/wait_set.h"
#include "gate/fifo.h"

// Set by the linker (end(3)): where the program's code begins, with what is read-only before it,
// and ends.
extern "C" const char __executable_start;  // NOLINT
extern "C" const char etext;

namespace gpu_gate {
namespace {

/// Gives back the pages of the program's code, which may be in memory for this process alone: they
/// would be most of what it takes while it sleeps. Those that it needs come back by themselves.
void give_back_code() {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(&__executable_start) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(&etext) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address again
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

/// Sleeps until the descriptor has one of these events, or a hang-up. False where that fails.
bool sleep_on(int fd, short events) {
  give_back_code();
  for (;;) {
    WaitSet set;
    const WaitSet::Id id = set.add(fd, events);
    if (!set.sleep()) return false;
    if (set.fired(id)) return true;
  }
}

bool await_fifo(const std::string& path) {
  const Result<std::optional<HeldFifo>> fifo = open_if_held(AT_FDCWD, path);
  if (!fifo) return false;
  return !*fifo || sleep_on((*fifo)->read_end.get(), 0);
}

bool await_process(const WatchedClaim& claim) {
  const auto ended = [&] { return !process_lives(claim.process, claim.start_ticks); };
  if (ended()) return true;  // as mostly, since the kernel says so before it closes the FIFOs
  const Result<std::optional<ProcessWatch>> watch = ProcessWatch::open(claim.process);
  if (!watch) return false;
  if (!*watch || ended()) return true;  // its pid may be another's by now
  do {
    if (!sleep_on((*watch)->fd(), POLLIN)) return false;
  } while (!(*watch)->ended());
  return true;
}

}  // namespace

// One after another: what has ended stays so. The process comes last, since it is opened only then:
// most claims end with it.
bool await_end(const WatchedClaim& claim) {
  const bool fifos_ended = std::all_of(claim.fifos.begin(), claim.fifos.end(), await_fifo);
  return fifos_ended && (claim.process == 0 || await_process(claim));
}

}  // namespace gpu_gate
