#include "base/folder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_folder.h"

namespace gpu_gate {
namespace {

TEST(Folder, NamesAreAllButThoseWithADot) {
  const TestFolder folder;
  folder.write("b", "");
  folder.write("a", "");
  folder.write(".hidden", "");
  std::vector<std::string> names = names_in_folder(folder.path());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
}

TEST(Folder, NumbersAreWholeOnesAndAscend) {
  const TestFolder folder;
  for (const char* name : {"10", "9", "self", "7a", "-3", "+3", "99999999999999999999", "0"}) {
    folder.write(name, "");
  }
  EXPECT_EQ(numbers_in_folder(folder.path()), (std::vector<std::uint64_t>{0, 9, 10}));
}

TEST(Folder, OneThatCannotBeReadHasNone) {
  const TestFolder folder;
  EXPECT_TRUE(names_in_folder(folder.path() + "/gone").empty());
  EXPECT_TRUE(numbers_in_folder(folder.path() + "/gone").empty());
}

}  // namespace
}  // namespace gpu_gate
