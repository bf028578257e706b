#include "base/folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "base/test_folder.h"

namespace gpu_gate {
namespace {

TEST(Folder, NamesAreAllButThoseWithADot) {
  const TestFolder folder;
  folder.write("b", "");
  folder.write("a", "");
  folder.write(".hidden", "");
  FolderNames found = names_in_folder(folder.path());
  std::sort(found.names.begin(), found.names.end());
  EXPECT_EQ(found.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(found.errnum, 0);
}

TEST(Folder, NumbersAreWholeOnesAndAscend) {
  const TestFolder folder;
  for (const char* name : {"10", "9", "self", "7a", "-3", "+3", "99999999999999999999", "0"}) {
    folder.write(name, "");
  }
  EXPECT_EQ(numbers_in_folder(folder.path()).numbers, (std::vector<std::uint64_t>{0, 9, 10}));
}

TEST(Folder, OneThatCannotBeReadSaysWhy) {
  const TestFolder folder;
  EXPECT_EQ(names_in_folder(folder.path() + "/gone").errnum, ENOENT);
  EXPECT_EQ(numbers_in_folder(folder.write("a", "")).errnum, ENOTDIR);
}

}  // namespace
}  // namespace gpu_gate
