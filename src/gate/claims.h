#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "gate/lock_dir.h"
#include "gate/mutex.h"
#include "gate/names.h"
#include "gate/record.h"
#include "policy/claim.h"

namespace gpu_gate {

/// What a scan of the claims found.
struct ClaimScan {
  std::vector<Claim> live;            // by ticket, then by UUID
  std::vector<ClaimName> dead_fifos;  // of claims of which no device is held any more
  std::vector<Ticket> dead_records;   // of claims whose FIFOs and process are gone
  Ticket last_ticket = 0;             // the highest in any name
};

/// What to sleep on until a claim on a device may have ended: poll `fd` for `events`. Without `fd`
/// it cannot be watched.
struct ClaimWatch {
  UniqueFd fd;
  short events = 0;  // 0 for a FIFO (POLLHUP), POLLIN for a pidfd
};

/// A claim just made. It lasts as long as any copy of a descriptor in `held` is open, and as its
/// record says.
struct NewClaim {
  Ticket ticket = 0;
  std::vector<UniqueFd> held;  // close-on-exec
};

/// Must a claim have its record? It holds its devices without one, but only as long as a descriptor
/// is open, and nobody can tell more than the user.
enum class Recording { required, if_possible };

/// The claims in a lock directory. Nothing read from it is trusted: names and records that do not
/// parse are skipped, and a claim belongs to the owner of its FIFO. Functions that take a
/// MutexGuard change the directory, the others may be called at any time. No function blocks.
/// Errors: lock_file, system.
class Claims {
 public:
  explicit Claims(const LockDir& dir) : dir_(dir) {}

  /// Which claims live, here and in the other default places, and what is left of dead ones here.
  /// Changes nothing.
  Result<ClaimScan> scan() const;

  /// Removes what is left of dead claims, as far as this user may. A ticket that only their names
  /// tell of is counted first, so that none is ever given out twice.
  void clear(MutexGuard& guard, const ClaimScan& scan) const;

  /// The record of a claim, as a scan has read it if one has; nothing unless the claim's owner
  /// wrote it.
  std::optional<ClaimRecord> record(const Claim& claim) const;

  /// Is the file the FIFO of the claim?
  bool is_fifo_of(const Claim& claim, const FileId& file) const;

  /// A watch on a claim; nothing if it has ended meanwhile.
  Result<std::optional<ClaimWatch>> watch(const Claim& claim) const;

  /// Makes a claim on the record's devices, all or none, and counts it as granted. `scan` is of the
  /// same critical section. ErrorKind::replaced: the directory is being removed, or is no longer
  /// the one to use.
  Result<NewClaim> make(MutexGuard& guard, const ClaimScan& scan, const ClaimRecord& record,
                        Recording recording = Recording::required) const;

 private:
  /// The files that a scan met of one claim.
  struct Files {
    std::set<std::string> held;  // devices whose FIFO has a writer
    std::set<std::string> dead;  // devices whose FIFO has none
    bool record = false;
  };

  /// The folder that a claim is in.
  struct Folder {
    int fd = -1;     // -1: it is gone
    UniqueFd other;  // open as long as this
  };

  Result<Folder> folder_of(const Claim& claim) const;
  static std::optional<ClaimRecord> read_record(int folder, Ticket ticket,
                                                std::optional<uid_t> owner);
  /// What an earlier scan found out about a claim of this folder, and what does not change any
  /// more: a record is written once, after the FIFOs were opened, so that one of those that had no
  /// writer then has none any more; and a process that has ended does not come back. A look scans
  /// twice, and what others leave behind stays until they come again.
  struct Known {
    std::optional<ClaimRecord> record;
    std::set<std::string> dead;  // devices whose FIFO has no writer any more
    bool process_ended = false;
  };

  static Result<ClaimScan> scan_folder(int folder, std::map<Ticket, Known>& known);
  static std::vector<Claim> left_to_process(Ticket ticket, const Files& files,
                                            const ClaimRecord& record);
  static void sort_in(int folder, Ticket ticket, const Files& files, Known& known, ClaimScan& scan);
  Result<std::vector<UniqueFd>> make_files(Ticket ticket, const ClaimRecord& record,
                                           Recording recording) const;
  void remove_fifos(Ticket ticket, std::span<const std::string> uuids) const;

  const LockDir& dir_;
  mutable std::map<Ticket, Known> known_;
};

}  // namespace gpu_gate
