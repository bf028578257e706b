#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gpu_gate {

/// The file that execvp(3) would run for this name: itself if it has a slash, else the first match
/// in PATH. Errors: not_found, or not_executable where there is one that cannot be executed.
Result<std::string> find_command(const std::string& name, const char* path);

/// Makes room in the table of descriptors for the numbers that hand_over gives to `count` of them.
/// To be called before the driver's library is loaded: in a process with threads, and NVML starts
/// one, a table that grows waits for an RCU grace period (expand_fdtable in fs/file.c of the
/// kernel; 11 to 18 ms beside an H200). A limit that leaves no room is no error here.
void reserve_descriptors(std::size_t count);

/// Makes the claim's descriptors inheritable under numbers >= 720, out of the way of those that
/// shells, scripts and programs use; under the highest (never 0-2) where the limit on open files
/// leaves none.
Status hand_over(std::vector<UniqueFd>& held);

/// The words as execve(2) takes them, which must outlive it.
std::vector<char*> argument_list(const std::vector<std::string>& words);

/// Becomes the command: returns only on failure (not_executable, not_found). `file` is what
/// find_command found. A script without an interpreter line is given to /bin/sh, as execvp(3) does.
Error exec_command(const std::string& file, const std::vector<std::string>& words,
                   const std::vector<std::string>& environment);

}  // namespace gpu_gate
