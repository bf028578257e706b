#include "base/umask.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/test_folder.h"
#include "base/unique_fd.h"

namespace gpu_gate {
namespace {

mode_t mode_of(const std::string& file) {
  struct stat info{};
  EXPECT_EQ(::stat(file.c_str(), &info), 0);
  return info.st_mode & 07777;
}

mode_t current_umask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

TEST(NoUmask, WhatIsMadeMeanwhileHasTheModeThatIsAskedFor) {
  const TestFolder folder;
  const mode_t before = ::umask(077);
  {
    const NoUmask none;
    EXPECT_EQ(::mkfifo(folder.path("bell").c_str(), 0622), 0);
    EXPECT_TRUE(UniqueFd(::open(folder.path("file").c_str(), O_CREAT | O_WRONLY | O_EXCL, 0666)));
    EXPECT_EQ(::mkdir(folder.path("folder").c_str(), 01777), 0);
  }
  EXPECT_EQ(::mkfifo(folder.path("after").c_str(), 0622), 0);
  ::umask(before);
  EXPECT_EQ(mode_of(folder.path("bell")), 0622U);
  EXPECT_EQ(mode_of(folder.path("file")), 0666U);
  EXPECT_EQ(mode_of(folder.path("folder")), 01777U);
  EXPECT_EQ(mode_of(folder.path("after")), 0600U);
}

TEST(NoUmask, PutsBackWhateverWasThere) {
  const mode_t before = current_umask();
  for (const mode_t mask : {0U, 022U, 027U, 0777U}) {
    ::umask(mask);
    {
      const NoUmask outer;
      {
        const NoUmask inner;
      }
      EXPECT_EQ(current_umask(), 0U);
    }
    EXPECT_EQ(current_umask(), mask);
  }
  ::umask(before);
}

}  // namespace
}  // namespace gpu_gate
