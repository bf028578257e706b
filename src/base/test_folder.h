#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace gpu_gate {

/// A folder for one test, removed with all that is in it.
class TestFolder {
 public:
  TestFolder() : path_(testing::TempDir() + "gpu-gate-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "mkdtemp: " << path_;
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
};

}  // namespace gpu_gate
