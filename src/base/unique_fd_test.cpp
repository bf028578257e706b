#include "base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <type_traits>

namespace gpu_gate {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

int open_one() { return ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

TEST(UniqueFd, ClosesItsDescriptorAtItsEnd) {
  const int fd = open_one();
  {
    const UniqueFd owner(fd);
    EXPECT_EQ(owner.get(), fd);
    EXPECT_TRUE(owner);
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(UniqueFd, IsNoneByDefault) {
  const UniqueFd none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.get(), -1);
}

TEST(UniqueFd, NumberNoughtIsADescriptor) {
  UniqueFd standard_input(0);
  EXPECT_TRUE(standard_input);
  EXPECT_EQ(standard_input.release(), 0);
}

TEST(UniqueFd, AMoveLeavesTheOtherWithNone) {
  const int fd = open_one();
  UniqueFd from(fd);
  const UniqueFd to(std::move(from));
  EXPECT_FALSE(from);
  EXPECT_EQ(to.get(), fd);
  EXPECT_TRUE(is_open(fd));
}

TEST(UniqueFd, AnAssignmentClosesWhatWasThere) {
  const int before = open_one();
  const int after = open_one();
  UniqueFd target(before);
  UniqueFd source(after);
  target = std::move(source);
  EXPECT_FALSE(is_open(before));
  EXPECT_TRUE(is_open(after));
  EXPECT_EQ(target.get(), after);
  target = UniqueFd();
  EXPECT_FALSE(is_open(after));
}

TEST(UniqueFd, AMoveToItselfKeepsTheDescriptor) {
  const int fd = open_one();
  UniqueFd owner(fd);
  UniqueFd& same = owner;
  owner = std::move(same);
  EXPECT_EQ(owner.get(), fd);
  EXPECT_TRUE(is_open(fd));
}

TEST(UniqueFd, WhatIsReleasedStaysOpen) {
  const int fd = open_one();
  {
    UniqueFd owner(fd);
    EXPECT_EQ(owner.release(), fd);
    EXPECT_FALSE(owner);
  }
  EXPECT_TRUE(is_open(fd));
  ::close(fd);
}

TEST(UniqueFd, AResetClosesAndMayTakeAnother) {
  const int before = open_one();
  const int after = open_one();
  UniqueFd owner(before);
  owner.reset(after);
  EXPECT_FALSE(is_open(before));
  EXPECT_EQ(owner.get(), after);
  owner.reset();
  EXPECT_FALSE(is_open(after));
  EXPECT_FALSE(owner);
}

TEST(UniqueFd, HasOneOwnerOnly) {
  EXPECT_FALSE(std::is_copy_constructible_v<UniqueFd>);
  EXPECT_FALSE(std::is_copy_assignable_v<UniqueFd>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<UniqueFd>);  // or a vector could not grow
}

}  // namespace
}  // namespace gpu_gate
