#include "usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace sim {
namespace {

constexpr size_t kMaxEntryBytes = 128;

bool state_path(const char* machine_path, char (&path)[PATH_MAX]) {
  const int length = snprintf(path, sizeof(path), "%s.state", machine_path);
  if (length > 0 && static_cast<size_t>(length) < sizeof(path)) return true;
  errno = ENAMETOOLONG;
  return false;
}

// Opened anew, because the caller's descriptor has a position of its own.
DIR* list_folder(int state_folder) {
  const int fd = openat(state_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  DIR* listing = fdopendir(fd);
  if (listing == nullptr) close(fd);
  return listing;
}

bool names_device(const char* entry_name, const char* uuid) {
  const size_t length = strlen(uuid);
  return strncmp(entry_name, uuid, length) == 0 && entry_name[length] == '.';
}

int open_entry(int state_folder, const char* name) {
  return openat(state_folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

// Getting the lock shows that nobody held it; closing the descriptor gives it back.
bool is_held(int entry) { return flock(entry, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

bool pid_exists(uint32_t pid) { return kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM; }

bool parse_entry(int entry, JobUse& job) {
  char text[kMaxEntryBytes];
  const ssize_t size = pread(entry, text, sizeof(text) - 1, 0);
  if (size <= 0) return false;
  text[size] = '\0';
  char state = '\0';
  char type[16] = "";
  job = JobUse{};
  // The keeper wrote the line, so its numbers are in range.  NOLINTNEXTLINE(cert-err34-c)
  if (sscanf(text, "%c %" SCNu32 " %" SCNu64 " %" SCNu32 " %15s", &state, &job.pid, &job.memory_mib,
             &job.util_percent, type) != 5) {
    return false;
  }
  job.graphics = strcmp(type, "graphics") == 0;
  job.running = state == 'R' && pid_exists(job.pid);
  return true;
}

bool read_entry(int state_folder, const char* name, JobUse& job) {
  const int entry = open_entry(state_folder, name);
  if (entry < 0) return false;
  const bool live = is_held(entry) && parse_entry(entry, job);
  close(entry);
  return live;
}

}  // namespace

int open_state_folder(const char* machine_path) {
  char path[PATH_MAX];
  if (!state_path(machine_path, path)) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int make_state_folder(const char* machine_path) {
  char path[PATH_MAX];
  if (!state_path(machine_path, path)) return -1;
  // Without a umask, rather than with a chmod afterwards, so that no other user ever meets a folder
  // that is not yet writable.
  const mode_t old_mask = umask(0);
  const int made = mkdir(path, 01777);
  const int mkdir_errno = errno;
  umask(old_mask);
  errno = mkdir_errno;
  if (made != 0 && errno != EEXIST) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int read_jobs(int state_folder, const char* uuid, JobUse* jobs, int capacity) {
  DIR* listing = list_folder(state_folder);
  if (listing == nullptr) return 0;
  int count = 0;
  while (const dirent* entry = readdir(listing)) {
    if (count == capacity) break;
    if (!names_device(entry->d_name, uuid)) continue;
    if (read_entry(state_folder, entry->d_name, jobs[count])) ++count;
  }
  closedir(listing);
  return count;
}

void remove_dead_entries(int state_folder) {
  DIR* listing = list_folder(state_folder);
  if (listing == nullptr) return;
  while (const dirent* found = readdir(listing)) {
    if (found->d_name[0] == '.') continue;
    const int entry = open_entry(state_folder, found->d_name);
    if (entry < 0) continue;
    if (!is_held(entry)) unlinkat(state_folder, found->d_name, 0);
    close(entry);
  }
  closedir(listing);
}

int create_entry(int state_folder, const char* uuid, const JobUse& job, char (&name)[128]) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(name, sizeof(name), "%s.%d.%lld%09ld", uuid, static_cast<int>(getpid()),
           static_cast<long long>(now.tv_sec), now.tv_nsec);
  // Before the lock and the line are there, a reader sees no live entry: nothing is taken yet.
  const int entry =
      openat(state_folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (entry < 0) return -1;
  char line[kMaxEntryBytes];
  const int length =
      snprintf(line, sizeof(line), "R %" PRIu32 " %" PRIu64 " %" PRIu32 " %s\n", job.pid,
               job.memory_mib, job.util_percent, job.graphics ? "graphics" : "compute");
  if (fchmod(entry, 0644) == 0 && flock(entry, LOCK_EX) == 0 &&
      write(entry, line, static_cast<size_t>(length)) == length) {
    return entry;
  }
  const int saved_errno = errno;
  unlinkat(state_folder, name, 0);
  close(entry);
  errno = saved_errno;
  return -1;
}

void mark_ended(int entry) {
  // One byte in place: a reader sees the line before or after, never half of it. Should it fail,
  // readers still find that the pid is gone.
  if (pwrite(entry, "E", 1, 0) != 1) return;
}

}  // namespace sim
