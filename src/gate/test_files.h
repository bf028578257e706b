#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "base/test_folder.h"

// Files and the limits of a process for unit tests.
namespace gpu_gate {

inline void write_text(const std::string& path, std::string_view text) {
  std::ofstream(path) << text;
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Is there anything of that name, were it a link that leads nowhere?
inline bool exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

inline mode_t mode_of(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

/// Lowers a limit of this process for its own lifetime.
class Limit {
 public:
  Limit(__rlimit_resource_t resource, rlim_t most) : resource_(resource) {
    ::getrlimit(resource_, &before_);
    struct rlimit lower = before_;
    lower.rlim_cur = most;
    ::setrlimit(resource_, &lower);
    // A file that grows beyond its limit is to be an error and not the end of the process.
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;
  ~Limit() {
    ::setrlimit(resource_, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  __rlimit_resource_t resource_;
  struct rlimit before_{};
  void (*handler_)(int) = nullptr;
};

/// As if the machine had no descriptor left for this process.
class NoDescriptors : public Limit {
 public:
  NoDescriptors() : Limit(RLIMIT_NOFILE, 0) {}
};

/// As if the file system had room for so many bytes in each file.
class FullFileSystem : public Limit {
 public:
  explicit FullFileSystem(rlim_t bytes) : Limit(RLIMIT_FSIZE, bytes) {}
};

/// Gives new files as few rights as it can for its own lifetime.
class StrictUmask {
 public:
  StrictUmask() : before_(::umask(0777)) {}
  StrictUmask(const StrictUmask&) = delete;
  StrictUmask& operator=(const StrictUmask&) = delete;
  ~StrictUmask() { ::umask(before_); }

 private:
  mode_t before_;
};

}  // namespace gpu_gate
