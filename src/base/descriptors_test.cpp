#include "base/descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/test_child.h"

namespace gpu_gate {
namespace {

/// A descriptor with at least this number.
int opened_from(int number) { return ::fcntl(STDIN_FILENO, F_DUPFD, number); }

/// Of these, those that are open, after all but `kept` were closed.
std::string left(const std::vector<int>& kept, const std::vector<int>& descriptors) {
  close_others(kept);
  std::string text;
  for (const int fd : descriptors) {
    if (::fcntl(fd, F_GETFD) >= 0) text += " " + std::to_string(fd);
  }
  return text;
}

TEST(CloseOthers, KeepsTheStandardOnesAndThoseThatAreNamed) {
  const ChildEnd end = in_child([] {
    for (const int fd : {3, 10, 11, 12, 200, 999}) {
      ::close(fd);
      opened_from(fd);
    }
    return left({11, 200, 0, 11}, {0, 1, 2, 3, 10, 11, 12, 200, 999});
  });
  EXPECT_EQ(end.said, " 0 1 2 11 200");
}

TEST(CloseOthers, OfNoneClosesAllButTheStandardOnes) {
  const ChildEnd end = in_child([] {
    const int fd = opened_from(3);
    return left({-1}, {0, 1, 2, 3, fd});
  });
  EXPECT_EQ(end.said, " 0 1 2");
}

}  // namespace
}  // namespace gpu_gate
