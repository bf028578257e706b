#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gpu_gate {

/// A FIFO in the lock directory that its creator holds open for writing. It is held as long as any
/// process has that descriptor, its own or an inherited one; the kernel lets go of it with the
/// last, whatever ended it. Only the owner may open it for writing (mode 0644), so nobody else can
/// make a dead one look held, and anybody can sleep until it is let go: poll(2) with events = 0 on
/// a read end reports POLLHUP when the last writer is gone (fs/pipe.c, pipe_release). Creates one;
/// the descriptor is close-on-exec. `name` is relative to `dir`. Errors: lock_file, system; errnum
/// EEXIST if the name is taken.
Result<UniqueFd> create_held_fifo(int dir, const std::string& name);

/// The read end of a held FIFO: poll it for POLLHUP.
struct HeldFifo {
  UniqueFd read_end;
  uid_t owner = 0;
};

/// The FIFO's read end if it is held; nothing if it is not, has vanished, or is not a FIFO that
/// this user may read. Opens first and asks second, so that no end in between is missed. Never
/// blocks. Errors: lock_file, system (no descriptors, no memory, I/O); never taken for "not
/// held".
Result<std::optional<HeldFifo>> open_if_held(int dir, const std::string& name);

/// Creates a waiter's bell, a FIFO that everybody may write to and only its owner may read (mode
/// 0622). What is in it says "look at the devices again", or "look when a claim ends, yours is the
/// next turn", or asks no more than "are you awake?", which reading it answers; it is a hint and
/// never trusted further. The descriptor (for reading)
/// is close-on-exec. Errors as create_held_fifo.
Result<UniqueFd> create_bell(int dir, const std::string& name);

/// What a look at a bell tells.
struct BellState {
  bool pending = false;             // a ring has not been answered yet
  std::chrono::nanoseconds age{0};  // since the last ring, or since the bell was made
  bool in_driver = false;           // its waiter is reading the devices

  /// Has its waiter not answered for so long that it is passed over?
  bool is_silent() const { return pending && age >= answer_time(); }
  /// For how long it may leave a ring unanswered.
  std::chrono::nanoseconds answer_time() const;
};

/// As long as this lives, others see by the waiter's own bell that it reads the devices, which may
/// take long where the driver is slow. (An x in the mode; nobody executes a FIFO.) -1: no bell.
class InDriver {
 public:
  explicit InDriver(int bell);
  ~InDriver();
  InDriver(const InDriver&) = delete;
  InDriver& operator=(const InDriver&) = delete;

 private:
  int bell_;
};

/// Rings, for a look. Writes nothing where what is pending will mean one already, so that its age
/// goes on growing: the waiter empties its bell before it looks. Returns the state from before, or
/// nothing where nobody is there to hear it. Never blocks, never fails: a lost ring is made good by
/// the next look at the line.
std::optional<BellState> ring(int dir, const std::string& name);

/// Asks whether the waiter is awake, which costs it no look. Writes nothing where anything is
/// pending. Never blocks, never fails.
void ask(int dir, const std::string& name);

/// Tells the waiter that it is next by turns. Writes nothing where anything is pending. Is it told?
/// Never blocks, never fails.
bool tell_next(int dir, const std::string& name);

/// The state of a bell without ringing it; nothing where there is no bell, nobody who reads it, or
/// one that this user may not ring. Errors: lock_file, system.
Result<std::optional<BellState>> look_at_bell(int dir, const std::string& name);

/// What a bell has said.
enum class Heard {
  nothing,   // nobody has
  question,  // somebody has asked just now whether one is awake, and nothing else
  next,      // somebody has told just now that one is next, and nothing else
  ring,      // it is time to look
};

/// Is more pending on one's own bell than a question or the word that one is next?
bool may_be_rung(int bell);

/// Reads all that is pending on one's own bell, which shows others that it is answered.
Heard answer_bell(int bell);

}  // namespace gpu_gate
