#include "gate/policy_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate/test_lock_dir.h"

namespace gpu_gate {
namespace {

class PolicyFileTest : public testing::Test {
 protected:
  std::string path() const { return box_.dir.path() + "/policy"; }
  void write(const std::string& text, mode_t mode = 0644) const {
    write_text(path(), text);
    ASSERT_EQ(::chmod(path().c_str(), mode), 0);
  }
  std::optional<int> limit() const { return read_line_policy(box_.dir).max_per_user; }

  TestLockDir box_;
};

TEST_F(PolicyFileTest, WithoutOneNothingIsWished) {
  EXPECT_FALSE(limit());
  EXPECT_EQ(read_line_policy(box_.dir).order, LineOrder::turns);
}

TEST_F(PolicyFileTest, IsReadAsItIsNow) {
  write("max-per-user = 2\n");
  EXPECT_EQ(limit(), 2);
  write("max-per-user = 3\n");
  EXPECT_EQ(limit(), 3);
  ::unlink(path().c_str());
  EXPECT_FALSE(limit());
}

TEST_F(PolicyFileTest, CountsOnlyWhereNobodyElseMayWriteIt) {
  write("max-per-user = 2\n", 0664);
  EXPECT_FALSE(limit());
  write("max-per-user = 2\n", 0646);
  EXPECT_FALSE(limit());
  write("max-per-user = 2\n", 0400);
  EXPECT_EQ(limit(), 2);
}

TEST_F(PolicyFileTest, CountsOfTheOwnerOfTheDirectoryAndOfRootOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  write("max-per-user = 2\n");
  ASSERT_EQ(::chown(path().c_str(), 1000, gid_t(-1)), 0);
  EXPECT_FALSE(limit());
  ASSERT_EQ(::chown(box_.dir.path().c_str(), 1000, gid_t(-1)), 0);
  EXPECT_EQ(limit(), 2);
  ASSERT_EQ(::chown(path().c_str(), 0, gid_t(-1)), 0);
  EXPECT_EQ(limit(), 2);
}

TEST_F(PolicyFileTest, IsNoLinkAndNoPipe) {
  write_text(box_.dir.path() + "/elsewhere", "max-per-user = 2\n");
  ASSERT_EQ(::symlink("elsewhere", path().c_str()), 0);
  EXPECT_FALSE(limit());
  ASSERT_EQ(::unlink(path().c_str()), 0);
  ASSERT_EQ(::mkfifo(path().c_str(), 0644), 0);
  EXPECT_FALSE(limit());
}

TEST_F(PolicyFileTest, OfOneWithoutEndOnlyTheBeginningIsRead) {
  write("max-per-user = 2\n" + std::string(1 << 20, '#') + "\nmax-per-user = 3\n");
  EXPECT_EQ(limit(), 2);
}

}  // namespace
}  // namespace gpu_gate
