#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gpu_gate {

/// What the kernel tells of a process; every function takes the folder that proc(5) is mounted on.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/<pid>/stat: clock ticks after boot
  uid_t uid = 0;
};

/// The identity of a live process (a zombie is dead), or nothing where it is gone or hidden.
std::optional<ProcessIdentity> process_identity(pid_t pid, const std::string& proc = "/proc");

/// The parent of a live process; 0 where it cannot be told.
pid_t parent_of(pid_t pid, const std::string& proc = "/proc");

/// The words of a process's command line joined by spaces, at most `limit` bytes; its name in
/// brackets where it has none; "" where it is gone or hidden. The bytes are the process's own and
/// may be anything.
std::string process_command(pid_t pid, std::size_t limit, const std::string& proc = "/proc");

/// The inode number of this process's pid namespace (namespaces(7)); 0 where it cannot be told. A
/// pid in a record means something only within the same one.
std::uint64_t pid_namespace();

/// The name of a user for people to read, or the number where it has none. May ask a directory
/// service (getpwuid(3)): never call it while others wait.
std::string user_name(uid_t uid);

/// Reads a small file, at most `limit` bytes of it, by one read(2), in which a file of proc(5)
/// comes whole; nothing where it cannot be opened.
std::optional<std::string> read_small_file(const std::string& path, std::size_t limit);

}  // namespace gpu_gate
