#include "gate/lock_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "gate/test_files.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

class LockDirTest : public testing::Test {
 protected:
  /// Makes a folder of this mode.
  std::string make(const char* name, mode_t mode) {
    const std::string path = folder_ / name;
    EXPECT_EQ(::mkdir(path.c_str(), 0700), 0) << path;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0) << path;
    return path;
  }
  /// A lock directory that lies elsewhere, behind a link of this path.
  void link_from(const std::string& path) {
    LockDir::open({.chosen = folder_ / "elsewhere"}).value();
    ASSERT_EQ(::symlink((folder_ / "elsewhere").c_str(), path.c_str()), 0);
  }
  LockDirPaths chosen() const { return {.chosen = folder_ / "locks"}; }
  static Error error_of(const LockDirPaths& paths) {
    const Result<LockDir> dir = LockDir::open(paths);
    EXPECT_FALSE(dir) << "there is no error";
    return dir ? Error{} : dir.error();
  }
  TestFolder folder_;
  LockDirPaths paths_{.chosen = std::nullopt,
                      .administered = folder_ / "administered",
                      .shared = {folder_ / "first", folder_ / "second"}};
};

bool contains(const Error& error, const std::string& words) {
  return error.text.find(words) != std::string::npos;
}

TEST_F(LockDirTest, TheOneThatTheUserChoseComesFirst) {
  make("administered", 01777);
  paths_.chosen = folder_ / "chosen";
  EXPECT_EQ(LockDir::open(paths_)->path(), folder_ / "chosen");
}

TEST_F(LockDirTest, TheAdministeredOneIsUsedWhereItExists) {
  make("administered", 01777);
  make("first", 01777);
  EXPECT_EQ(LockDir::open(paths_)->path(), folder_ / "administered");
}

TEST_F(LockDirTest, TheAdministeredOneIsNeverMade) {
  make("first", 01777);
  EXPECT_EQ(LockDir::open(paths_)->path(), folder_ / "first/gpu-gate");
  EXPECT_FALSE(exists(paths_.administered));
}

TEST_F(LockDirTest, OfTheSharedFoldersTheFirstThatAllMayWriteToIsUsed) {
  make("first", 0755);
  make("second", 01777);
  EXPECT_EQ(LockDir::open(paths_)->path(), folder_ / "second/gpu-gate");
}

TEST_F(LockDirTest, OnlyTheLastOfTheSharedFoldersIsTheLastResort) {
  make("second", 01777);
  EXPECT_TRUE(LockDir::open(paths_)->is_last_resort());
  EXPECT_TRUE(LockDir::open_existing(paths_)->is_last_resort());
  make("first", 01777);
  EXPECT_FALSE(LockDir::open(paths_)->is_last_resort());
  paths_.chosen = folder_ / "second/gpu-gate";
  EXPECT_FALSE(LockDir::open(paths_)->is_last_resort());
}

TEST_F(LockDirTest, ASharedFolderThatIsAFileIsPassedBy) {
  write_text(folder_ / "first", "");
  ::chmod((folder_ / "first").c_str(), 0666);
  make("second", 01777);
  EXPECT_EQ(LockDir::open(paths_)->path(), folder_ / "second/gpu-gate");
}

TEST_F(LockDirTest, WithoutAnyPlaceTheErrorSaysHowToChooseOne) {
  const Error error = error_of(paths_);
  EXPECT_EQ(error.kind, ErrorKind::lock_dir);
  EXPECT_TRUE(contains(error, paths_.administered)) << error.text;
  EXPECT_TRUE(contains(error, "GPU_GATE_LOCK_DIR")) << error.text;
}

TEST_F(LockDirTest, EverybodyMayWriteToItWhateverTheUmask) {
  const StrictUmask umask;
  const LockDir dir = LockDir::open(chosen()).value();
  for (const char* part : {"", "/queue", "/claims"}) {
    EXPECT_EQ(mode_of(dir.path() + part), 01777U) << part;
  }
}

TEST_F(LockDirTest, OneThatIsThereKeepsItsMode) {
  make("locks", 0755);
  const LockDir dir = LockDir::open(chosen()).value();
  EXPECT_EQ(mode_of(dir.path()), 0755U);
}

TEST_F(LockDirTest, ItsPartsAreWhatTheirNamesSay) {
  const LockDir dir = LockDir::open(chosen()).value();
  write_text(dir.path() + "/queue/a", "");
  write_text(dir.path() + "/claims/b", "");
  write_text(dir.path() + "/c", "");
  EXPECT_EQ(::faccessat(dir.queue(), "a", F_OK, 0), 0);
  EXPECT_EQ(::faccessat(dir.claims(), "b", F_OK, 0), 0);
  EXPECT_EQ(::faccessat(dir.root(), "c", F_OK, 0), 0);
}

TEST_F(LockDirTest, PartsOfRootsDirectoryThatAnotherUserMadeBecomeRootsWithRootsFirstRun) {
  NEEDS_ROOT();
  make("locks", 01777);
  Child other([&](const Child::Self& self) {
    become_nobody();
    const LockDir dir = LockDir::open(chosen()).value();
    self.tell(::chmod((dir.path() + "/queue").c_str(), 0777) == 0 ? 1 : 0);
  });
  ASSERT_EQ(other.hear(), 1U);
  const auto owner = [&](const char* part) {
    struct stat info{};
    EXPECT_EQ(::stat((folder_ / "locks" + part).c_str(), &info), 0);
    return info.st_uid;
  };
  EXPECT_GE(LockDir::open_existing(chosen())->claims(), 0);
  EXPECT_NE(owner("/queue"), 0U);
  LockDir::open(chosen()).value();
  for (const char* part : {"/queue", "/claims"}) {
    EXPECT_EQ(owner(part), 0U) << part;
    EXPECT_EQ(mode_of(folder_ / "locks" + part), 01777U) << part;
  }
}

TEST_F(LockDirTest, WhatIsInAnotherUsersDirectoryStaysHis) {
  NEEDS_ROOT();
  make("parent", 01777);
  const LockDirPaths paths{.chosen = folder_ / "parent/locks"};
  Child other([&](const Child::Self& self) {
    become_nobody();
    self.tell(LockDir::open(paths) ? 1 : 0);
  });
  ASSERT_EQ(other.hear(), 1U);
  const LockDir dir = LockDir::open(paths).value();
  struct stat info{};
  ASSERT_EQ(::fstat(dir.queue(), &info), 0);
  EXPECT_NE(info.st_uid, 0U);
}

TEST_F(LockDirTest, LookingForOneMakesNone) {
  EXPECT_EQ(LockDir::open_existing(chosen())->claims(), -1);
  EXPECT_FALSE(exists(folder_ / "locks"));
  make("locks", 01777);
  EXPECT_EQ(LockDir::open_existing(chosen())->claims(), -1);
  EXPECT_FALSE(exists(folder_ / "locks/queue"));
}

TEST_F(LockDirTest, LookingForOneFindsWhatAnotherMade) {
  LockDir::open(chosen()).value();
  const LockDir found = LockDir::open_existing(chosen()).value();
  EXPECT_GE(found.claims(), 0);
  EXPECT_TRUE(found.is_current());
}

TEST_F(LockDirTest, ALinkIsFollowedWhereTheUserOrTheAdministratorNamedIt) {
  link_from(folder_ / "administered");
  EXPECT_TRUE(LockDir::open(paths_));
  paths_.chosen = folder_ / "administered";
  EXPECT_TRUE(LockDir::open(paths_));
}

TEST_F(LockDirTest, ALinkThatSomebodyPlantedInASharedFolderIsNotFollowed) {
  link_from(make("first", 01777) + "/gpu-gate");
  EXPECT_EQ(error_of(paths_).kind, ErrorKind::lock_dir);
}

TEST_F(LockDirTest, ALinkInItIsNeverFollowed) {
  link_from(make("locks", 01777) + "/queue");
  EXPECT_EQ(error_of(chosen()).kind, ErrorKind::lock_dir);
}

TEST_F(LockDirTest, AFileInItsPlaceIsNamedInTheError) {
  write_text(folder_ / "locks", "");
  const Error error = error_of(chosen());
  EXPECT_EQ(error.kind, ErrorKind::lock_dir);
  EXPECT_EQ(error.errnum, ENOTDIR);
  EXPECT_TRUE(contains(error, folder_ / "locks")) << error.text;
}

TEST_F(LockDirTest, ARelativePathIsABadInvocationAndNothingIsMade) {
  for (const char* path : {"locks", "./locks", "../locks", "~/locks", "locks\x1b[2J"}) {
    const Error error = error_of({.chosen = path});
    EXPECT_EQ(error.kind, ErrorKind::usage) << path;
    EXPECT_TRUE(contains(error, "not an absolute path")) << error.text;
    EXPECT_FALSE(contains(error, "\x1b"));
    EXPECT_FALSE(exists(path));
    EXPECT_EQ(LockDir::open_existing({.chosen = path}).error().kind, ErrorKind::usage);
  }
}

TEST_F(LockDirTest, WithoutAParentItIsNotMade) {
  const Error error = error_of({.chosen = folder_ / "gone/locks"});
  EXPECT_EQ(error.errnum, ENOENT);
  EXPECT_TRUE(contains(error, "make its parent directory first")) << error.text;
}

TEST_F(LockDirTest, OneThatIsClosedToThisUserNamesItsOwner) {
  NEEDS_ROOT();
  make("locks", 0700);
  Child other([&](const Child::Self& self) {
    become_nobody();
    const Error error = error_of(chosen());
    self.tell(error.kind == ErrorKind::lock_dir ? 1 : 0);
    self.tell(contains(error, "it belongs to root") ? 1 : 0);
  });
  EXPECT_EQ(other.hear(), 1U);
  EXPECT_EQ(other.hear(), 1U);
}

TEST_F(LockDirTest, OneInWhichNothingMayBeMadeIsNamedAndNotWhatIsMissingInIt) {
  NEEDS_ROOT();
  make("locks", 0755);
  Child other([&](const Child::Self& self) {
    become_nobody();
    const Error error = error_of(chosen());
    self.tell(error.kind == ErrorKind::lock_dir ? 1 : 0);
    self.tell(contains(error, "locks: mkdir(") && contains(error, "it belongs to root") ? 1 : 0);
  });
  EXPECT_EQ(other.hear(), 1U);
  EXPECT_EQ(other.hear(), 1U);
}

TEST_F(LockDirTest, ALackOfDescriptorsIsNotTheDirectorysFault) {
  LockDir::open(chosen()).value();
  const NoDescriptors none;
  EXPECT_EQ(error_of(chosen()).kind, ErrorKind::system);
}

TEST_F(LockDirTest, IsCurrentUntilItIsRemovedOrReplaced) {
  const LockDir dir = LockDir::open(chosen()).value();
  EXPECT_TRUE(dir.is_current());
  ASSERT_EQ(::rename(dir.path().c_str(), (folder_ / "away").c_str()), 0);
  EXPECT_FALSE(dir.is_current());
  const LockDir other = LockDir::open(chosen()).value();
  EXPECT_FALSE(dir.is_current());
  EXPECT_TRUE(other.is_current());
}

TEST_F(LockDirTest, IsCurrentUntilThereIsOneInAPlaceThatComesBefore) {
  make("second", 01777);
  const LockDir dir = LockDir::open(paths_).value();
  EXPECT_TRUE(dir.is_current());
  make("first", 01777);
  EXPECT_FALSE(dir.is_current());
  const LockDir first = LockDir::open(paths_).value();
  EXPECT_TRUE(first.is_current());
  make("administered", 01777);
  EXPECT_FALSE(first.is_current());
}

/// The claims of the other default places that can be opened.
std::size_t other_claims(const LockDir& dir) {
  std::size_t found = 0;
  for (std::size_t place = 0; place < dir.other_places(); ++place) {
    if (dir.open_other_claims(place).value()) ++found;
  }
  return found;
}

TEST_F(LockDirTest, ClaimsInAllOtherDefaultPlacesCanBeRead) {
  make("second", 01777);
  EXPECT_EQ(other_claims(LockDir::open(paths_).value()), 0U);
  make("first", 01777);
  EXPECT_EQ(other_claims(LockDir::open(paths_).value()), 1U);
  make("administered", 01777);
  EXPECT_EQ(other_claims(LockDir::open(paths_).value()), 2U);
  paths_.chosen = folder_ / "administered";
  EXPECT_EQ(LockDir::open(paths_)->other_places(), 0U);
}

TEST_F(LockDirTest, WhatIsNoDirectoryOfAnotherPlaceHasNoClaims) {
  link_from(make("first", 01777) + "/gpu-gate");
  LockDir::open({.chosen = make("second", 01777) + "/gpu-gate"}).value();
  make("administered", 01777);
  const LockDir dir = LockDir::open(paths_).value();
  EXPECT_EQ(other_claims(dir), 1U);
  ASSERT_EQ(::rename((folder_ / "second/gpu-gate/claims").c_str(), (folder_ / "away").c_str()), 0);
  ASSERT_EQ(::symlink((folder_ / "away").c_str(), (folder_ / "second/gpu-gate/claims").c_str()), 0);
  EXPECT_EQ(other_claims(dir), 0U);
}

TEST_F(LockDirTest, AnotherPlaceThatIsThisDirectoryHasNoClaimsOfItsOwn) {
  make("first", 01777);
  LockDir::open(paths_).value();
  ASSERT_EQ(::symlink((folder_ / "first/gpu-gate").c_str(), paths_.administered.c_str()), 0);
  EXPECT_EQ(other_claims(LockDir::open(paths_).value()), 0U);
}

/// A failed call on a file of the lock directory, explained.
Error explained(int errnum, const std::string& path = "/nonexistent") {
  return explain_lock_error({.kind = ErrorKind::lock_file, .text = "open(x)", .errnum = errnum},
                            path);
}

TEST(ExplainLockError, NamesTheDirectoryAndWhatFailed) {
  const Error error = explained(EIO);
  EXPECT_EQ(error.kind, ErrorKind::lock_dir);
  EXPECT_EQ(error.errnum, EIO);
  EXPECT_TRUE(contains(error, "cannot use the lock directory /nonexistent: open(x)")) << error.text;
}

TEST(ExplainLockError, SaysWhatHelps) {
  EXPECT_TRUE(contains(explained(EROFS), "it is mounted read-only"));
  EXPECT_TRUE(contains(explained(ENOSPC), "free some space"));
  EXPECT_TRUE(contains(explained(EDQUOT), "free some space"));
  EXPECT_TRUE(contains(explained(ENOENT), "parent directory"));
  for (const int errnum : {EACCES, EROFS, ENOSPC, EIO, 0}) {
    EXPECT_TRUE(contains(explained(errnum), "set GPU_GATE_LOCK_DIR to a local directory"))
        << errnum;
  }
}

TEST(ExplainLockError, AModeIsOnlyTheRemedyWhereTheModeIsWhatKeepsUsersOut) {
  EXPECT_TRUE(contains(explained(EACCES, "/"), "chmod 1777"));
  EXPECT_FALSE(contains(explained(EACCES), "chmod"));
  EXPECT_FALSE(contains(explained(EROFS, "/"), "chmod"));
  const TestFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 01777), 0);
  for (const int errnum : {EACCES, EPERM}) {
    EXPECT_FALSE(contains(explained(errnum, folder.path()), "chmod"));
  }
}

TEST(ExplainLockError, TellsTheOwnerOnlyWhereThereIsOne) {
  EXPECT_TRUE(contains(explained(EACCES, "/"), "it belongs to "));
  EXPECT_FALSE(contains(explained(EACCES), "it belongs to "));
}

TEST(ExplainLockError, ShowsAPathThatCannotHarmATerminal) {
  EXPECT_FALSE(contains(explained(EIO, "/tmp/\x1b[2J"), "\x1b"));
}

TEST(ExplainLockError, LeavesEveryOtherErrorAsItIs) {
  for (const ErrorKind kind : {ErrorKind::system, ErrorKind::lock_dir, ErrorKind::gpu_state}) {
    const Error error = explain_lock_error({.kind = kind, .text = "text", .errnum = EACCES}, "/");
    EXPECT_EQ(error.kind, kind);
    EXPECT_EQ(error.text, "text");
  }
}

}  // namespace
}  // namespace gpu_gate
