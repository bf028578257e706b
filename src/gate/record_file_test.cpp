#include "gate/record_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "gate/record.h"
#include "gate/test_files.h"
#include "gate/test_process.h"

namespace gpu_gate {
namespace {

class RecordFiles : public testing::Test {
 protected:
  std::optional<RecordFile> read(const char* name, std::optional<uid_t> owner = std::nullopt) {
    return read_record_file(folder_.fd(), name, owner);
  }
  Status write(const char* name, const std::string& text) {
    return write_record_file(folder_.fd(), name, text);
  }
  Status replace(const std::string& text) {
    return replace_record_file(folder_.fd(), "1.json", "1.new", text);
  }
  TestFolder folder_;
};

TEST_F(RecordFiles, ARecordComesBackWithItsOwner) {
  ASSERT_TRUE(write("1.json", "text"));
  const auto file = read("1.json");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->text, "text");
  EXPECT_EQ(file->uid, ::geteuid());
}

TEST_F(RecordFiles, EverybodyMayReadThemWhateverTheUmask) {
  const StrictUmask umask;
  ASSERT_TRUE(write("1.json", "text"));
  EXPECT_EQ(mode_of(folder_ / "1.json"), 01644U);
}

TEST_F(RecordFiles, ATakenNameIsToldByErrnoAndLeftAsItIs) {
  ASSERT_TRUE(write("1.json", "first"));
  EXPECT_EQ(write("1.json", "second").error().errnum, EEXIST);
  EXPECT_EQ(read("1.json")->text, "first");
}

TEST_F(RecordFiles, ARecordOfSomebodyElseThanAskedForIsNothing) {
  ASSERT_TRUE(write("1.json", "text"));
  EXPECT_TRUE(read("1.json", ::geteuid()));
  EXPECT_FALSE(read("1.json", ::geteuid() + 1));
}

TEST_F(RecordFiles, WhatIsNoRegularFileIsNothingAndKeepsNobodyWaiting) {
  ASSERT_TRUE(write("file", "text"));
  ASSERT_EQ(::symlinkat("file", folder_.fd(), "link"), 0);
  ASSERT_EQ(::mkfifoat(folder_.fd(), "fifo", 0644), 0);
  ASSERT_EQ(::mkdirat(folder_.fd(), "folder", 0755), 0);
  for (const char* name : {"link", "fifo", "folder", "gone"}) EXPECT_FALSE(read(name)) << name;
}

TEST_F(RecordFiles, AnEmptyOneAndOneTooLargeAreNothing) {
  ASSERT_TRUE(write("empty", ""));
  ASSERT_TRUE(write("full", std::string(kMaxRecordBytes, 'x')));
  ASSERT_TRUE(write("large", std::string(kMaxRecordBytes + 1, 'x')));
  EXPECT_FALSE(read("empty"));
  EXPECT_TRUE(read("full"));
  EXPECT_FALSE(read("large"));
}

TEST_F(RecordFiles, NothingIsLeftOfOneThatDoesNotFit) {
  const FullFileSystem full(10);
  EXPECT_EQ(write("1.json", std::string(100, 'x')).error().kind, ErrorKind::system);
  EXPECT_FALSE(exists(folder_ / "1.json"));
}

TEST_F(RecordFiles, AReplacedRecordIsTheNewOneAndNothingElse) {
  ASSERT_TRUE(write("1.json", "a long old text"));
  ASSERT_TRUE(replace("new"));
  EXPECT_EQ(read("1.json")->text, "new");
  EXPECT_FALSE(exists(folder_ / "1.new"));
}

TEST_F(RecordFiles, WhoReadsWhileARecordIsReplacedReadsOneOfTheTwo) {
  ASSERT_TRUE(write("1.json", "old"));
  std::ifstream reader(folder_ / "1.json");
  ASSERT_TRUE(replace("new"));
  std::string text;
  reader >> text;
  EXPECT_EQ(text, "old");
}

TEST_F(RecordFiles, WhatAKilledWriterLeftDoesNotHinderTheNextReplacement) {
  ASSERT_TRUE(write("1.json", "old"));
  ASSERT_TRUE(write("1.new", "half of a te"));
  ASSERT_TRUE(replace("new"));
  EXPECT_EQ(read("1.json")->text, "new");
}

TEST_F(RecordFiles, AReplacementThatDoesNotFitLeavesTheOldRecord) {
  ASSERT_TRUE(write("1.json", "old"));
  const FullFileSystem full(10);
  EXPECT_FALSE(replace(std::string(100, 'x')));
  EXPECT_EQ(read("1.json")->text, "old");
}

TEST_F(RecordFiles, ADirectoryThatVanishedIsAReplacedOne) {
  ASSERT_EQ(::rmdir(folder_.path().c_str()), 0);
  const Status written = write("1.json", "text");
  ASSERT_FALSE(written);
  EXPECT_EQ(creation_error(written.error()).kind, ErrorKind::replaced);
}

TEST_F(RecordFiles, AnyOtherErrorOfCreationStaysWhatItIs) {
  const Error denied{.kind = ErrorKind::lock_file, .text = "text", .errnum = EACCES};
  EXPECT_EQ(creation_error(denied).kind, ErrorKind::lock_file);
}

TEST_F(RecordFiles, TheNamesInADirectoryAreThoseWithoutADot) {
  for (const char* name : {"b", ".hidden", "a"}) ASSERT_TRUE(write(name, "text"));
  std::vector<std::string> names = names_in(folder_.fd()).value();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
}

TEST_F(RecordFiles, NamesCanBeReadAgainAndAgain) {
  ASSERT_TRUE(write("a", "text"));
  EXPECT_EQ(names_in(folder_.fd()).value().size(), 1U);
  ASSERT_TRUE(write("b", "text"));
  EXPECT_EQ(names_in(folder_.fd()).value().size(), 2U);
}

TEST_F(RecordFiles, NamesThatCannotBeReadAreAnErrorAndNotNone) {
  const UniqueFd file(::openat(folder_.fd(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(names_in(file.get()).error().errnum, ENOTDIR);
  EXPECT_EQ(names_in(-1).error().kind, ErrorKind::lock_file);
}

TEST_F(RecordFiles, OnlyOwnFilesMayBeRemovedExceptByRoot) {
  EXPECT_TRUE(may_remove(::geteuid()));
  EXPECT_EQ(may_remove(::geteuid() + 1), ::geteuid() == 0);
}

}  // namespace
}  // namespace gpu_gate
