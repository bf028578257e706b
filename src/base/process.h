#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace gpu_gate {

/// What the kernel tells of a process; every function takes the folder that proc(5) is mounted on.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/<pid>/stat: clock ticks after boot
  uid_t uid = 0;
};

/// The identity of a live process (a zombie is dead), or nothing where it is gone or hidden.
std::optional<ProcessIdentity> process_identity(pid_t pid, const std::string& proc = "/proc");

/// Does the process that had this pid and this start time still live? It does as long as a thread
/// of it has not begun to end: a zombie, and one that the kernel is taking down, count as ended
/// (PF_EXITING in its flags, field 9 of proc(5)). One that cannot be looked at (hidepid=, another
/// user) lives if signal 0 and a pidfd say that the pid does; whose it is cannot be told then.
bool process_lives(pid_t pid, std::uint64_t start_ticks, const std::string& proc = "/proc");

/// Is it there and has ended, or begun to end, as process_lives has it? False where it is gone or
/// cannot be looked at.
bool has_ended(pid_t pid, const std::string& proc = "/proc");

/// Could that user have started the process, as far as one can tell? It is the user's, or was
/// started by a process of the user's (its parent, or the leader of its session, which sudo(8) and
/// doas(1) leave as they are), or both have ended. One that cannot be looked at: yes.
bool may_be_process_of(uid_t uid, pid_t pid, const std::string& proc = "/proc");

/// What to sleep on until a process has ended.
struct PidFd {
  UniqueFd fd;     // readable (POLLIN) when it has; none where the kernel gives none
  int errnum = 0;  // why not. ESRCH alone says that there is no such process.
};

/// By pidfd_open(2), which any process may ask for any other.
PidFd open_pidfd(pid_t pid);

/// The letter of a process's state ('T': it is stopped; proc(5)); 0 where it cannot be told.
char process_state(pid_t pid, const std::string& proc = "/proc");

/// Does a pidfd say that the process with this pid has ended? That takes a third of the time that
/// proc(5) does, but one that has only begun to end has not ended yet.
bool pidfd_tells_end(pid_t pid);

/// The parent of a live process; 0 where it cannot be told.
pid_t parent_of(pid_t pid, const std::string& proc = "/proc");

/// A process, its parent, and so on up to init, as far as they can be told; 256 at most.
std::vector<pid_t> with_ancestors(pid_t pid, const std::string& proc = "/proc");

/// Is it this process, or one that comes of it? (All come of init, which is not asked for.)
bool descends_from(pid_t pid, pid_t ancestor, const std::string& proc = "/proc");

/// Which file a name or a descriptor leads to: st_dev and st_ino of stat(2).
using FileId = std::pair<dev_t, ino_t>;

/// The files that a process has open for writing (proc(5), "/proc/pid/fd": the modes of a link are
/// those of the open file), of those whose name, the last part of the path, is a wanted one, as far
/// as this user may see them. No other file is looked at: its file system might not answer.
std::vector<FileId> files_written_by(pid_t pid,
                                     const std::function<bool(std::string_view name)>& is_wanted,
                                     const std::string& proc = "/proc");

/// The name of a process's program, of at most 15 bytes, which may be anything; "" where it is gone
/// or hidden.
std::string process_name(pid_t pid, const std::string& proc = "/proc");

/// The words of a process's command line joined by spaces, at most `limit` bytes; its name in
/// brackets where it has none; "" where it is gone or hidden. The bytes are the process's own and
/// may be anything.
std::string process_command(pid_t pid, std::size_t limit, const std::string& proc = "/proc");

/// Makes ps(1) show this command line for this process, as much of it as the words that it was
/// started with have room for. These are gone then.
void show_command(std::string_view command);

/// The inode number of this process's pid namespace (namespaces(7)); 0 where it cannot be told. A
/// pid in a record means something only within the same one.
std::uint64_t pid_namespace();

/// The name of a user for people to read, or the number where it has none. May ask a directory
/// service (getpwuid(3)), once for each user: never call it while others wait.
std::string user_name(uid_t uid);

/// Reads a small file, at most `limit` bytes of it, by one read(2), in which a file of proc(5)
/// comes whole; nothing where it cannot be opened.
std::optional<std::string> read_small_file(const std::string& path, std::size_t limit);

}  // namespace gpu_gate
