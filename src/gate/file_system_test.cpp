#include "gate/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "gate/test_files.h"

namespace gpu_gate {
namespace {

constexpr const char* kMountinfo =
    "21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"
    "30 21 0:25 / /run rw shared:5 master:2 - tmpfs tmpfs rw,mode=755\n"
    "31 21 0:26 / /a\\040-\\040b rw - fuse.sshfs me@host:/ rw,user_id=0\n"
    "32 21 0:126 / /c rw - fuseblk /dev/sdb1 rw\n"
    "33 21 0:27 /\n";

class MountedType : public testing::Test {
 protected:
  std::string type(unsigned number, unsigned part) const {
    return mounted_as(makedev(number, part), mountinfo_).type;
  }
  TestFolder folder_;
  std::string mountinfo_ = folder_.write("mountinfo", kMountinfo);
};

TEST_F(MountedType, IsThatOfTheMountWithTheDeviceNumber) {
  EXPECT_EQ(type(254, 1), "ext4");
  EXPECT_EQ(type(0, 25), "tmpfs");
  EXPECT_EQ(type(0, 26), "fuse.sshfs");
  EXPECT_EQ(type(0, 126), "fuseblk");
}

TEST_F(MountedType, IsUnknownWhereNoWholeLineTellsIt) {
  EXPECT_EQ(type(0, 2), "");
  EXPECT_EQ(type(0, 27), "");
  EXPECT_EQ(mounted_as(makedev(0, 25), folder_ / "gone").type, "");
}

TEST_F(MountedType, ComesWithTheOptionsOfTheFileSystem) {
  EXPECT_EQ(mounted_as(makedev(0, 25), mountinfo_).options, "rw,mode=755");
  EXPECT_EQ(mounted_as(makedev(0, 2), mountinfo_).options, "");
}

TEST_F(MountedType, OfAFileHereIsInTheKernelsOwnTable) {
  struct stat proc{};
  ASSERT_EQ(::stat("/proc", &proc), 0);
  EXPECT_EQ(mounted_as(proc.st_dev).type, "proc");
}

TEST(LocalFuse, IsOnlyWhatIsKnownToBelongToOneMachine) {
  for (const char* name : {"fuseblk", "fuseblk.ntfs", "fuse.fuse-overlayfs"}) {
    EXPECT_TRUE(is_local_fuse(name)) << name;
  }
  for (const char* name : {"", "fuse", "fuse.sshfs", "fuse.glusterfs", "fuse.juicefs", "virtiofs",
                           "fuse.s3fs", "fuse.ceph", "fuse.fuse-overlayfs2", "fuse.fuseblk"}) {
    EXPECT_FALSE(is_local_fuse(name)) << name;
  }
}

TEST(NetworkType, IsToldByTheNumber) {
  for (const std::uint32_t type : {0x6969U, 0xFE534D42U, 0x01021997U, 0x20030528U, 0x786F4256U}) {
    EXPECT_TRUE(is_network_type(type)) << std::hex << type;
  }
  for (const std::uint32_t type : {0xEF53U, 0x01021994U, 0x58465342U, 0x9123683EU, 0x794C7630U}) {
    EXPECT_FALSE(is_network_type(type)) << std::hex << type;
  }
}

TEST(NetworkFileSystem, AFolderInMemoryIsNone) {
  const TestFolder folder;
  EXPECT_EQ(network_file_system(folder.fd()).value(), std::nullopt);
}

TEST(NetworkFileSystem, ADescriptorThatIsClosedIsAnError) {
  EXPECT_EQ(network_file_system(-1).error().kind, ErrorKind::lock_file);
}

}  // namespace
}  // namespace gpu_gate
