// What running jobs hold: one file per job and device in `<machine file>.state/`.
//
// An entry is named `<uuid>.<keeper pid>.<nanoseconds>` and holds one line:
//
//   R <pid> <MiB> <util percent> compute|graphics
//
// R: the process runs; E: it has ended and its memory is about to be freed. The job's keeper holds
// an exclusive flock on the entry for as long as the memory is taken. An entry without a lock is
// what a killed keeper left behind, and counts for nothing. Readers take no lasting lock.
#pragma once

#include <stdint.h>

namespace sim {

inline constexpr int kMaxJobsPerDevice = 1024;

struct JobUse {
  uint32_t pid;
  uint64_t memory_mib;
  uint32_t util_percent;
  bool graphics;
  bool running;  // false: only the memory is left of it
};

// A descriptor of the state folder (close-on-exec), or -1 with errno. ENOENT: no job ever ran.
int open_state_folder(const char* machine_path);

// The same, and makes the folder, writable by every user, where it is missing.
int make_state_folder(const char* machine_path);

// Fills `jobs` with the live entries of the device. Returns their count; a folder that cannot be
// read holds none.
int read_jobs(int state_folder, const char* uuid, JobUse* jobs, int capacity);

// Deletes what killed keepers left behind, as far as this user may. Call with the folder locked.
void remove_dead_entries(int state_folder);

// Creates the entry of this process (the keeper) for a device, locked, on behalf of `job`. Returns
// the descriptor that holds the lock and stores the entry's name, or returns -1 with errno.
int create_entry(int state_folder, const char* uuid, const JobUse& job, char (&name)[128]);

// From now on the entry is memory without a process.
void mark_ended(int entry);

}  // namespace sim
