#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace gpu_gate {

/// Where folders are made: in memory if possible, which is ten times as fast as a busy disk.
inline std::string test_parent() {
  const bool in_memory =
      std::getenv("TEST_TMPDIR") == nullptr && ::access("/dev/shm", W_OK | X_OK) == 0;
  return in_memory ? "/dev/shm/" : testing::TempDir();
}

/// A folder for one test that every user may enter, removed with all that is in it.
class TestFolder {
 public:
  TestFolder() : path_(test_parent() + "gpu-gate-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "mkdtemp: " << path_;
    ::chmod(path_.c_str(), 0755);
    fd_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    std::error_code problem;
    std::filesystem::remove_all(path_, problem);
    EXPECT_FALSE(problem) << problem.message();
  }

  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  int fd() const { return fd_.get(); }

  /// Makes a file of exactly this mode, with the folders above it.
  std::string write(std::string_view name, std::string_view content, mode_t mode = 0644) const {
    std::string file = path(name);
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file, std::ios::binary) << content;
    EXPECT_EQ(::chmod(file.c_str(), mode), 0);
    return file;
  }

  std::string make_folder(std::string_view name) const {
    std::string folder = path(name);
    std::filesystem::create_directories(folder);
    return folder;
  }

 private:
  std::string path_;
  UniqueFd fd_;
};

inline std::string operator/(const TestFolder& folder, std::string_view name) {
  return folder.path(name);
}

}  // namespace gpu_gate
