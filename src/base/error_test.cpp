#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/result.h"

namespace gpu_gate {
namespace {

TEST(SystemError, IsTheCallThePathAndTheReason) {
  const Error error = system_error(ErrorKind::lock_dir, "open", "/run/lock", EACCES);
  EXPECT_EQ(error.text, "open(/run/lock): Permission denied");
  EXPECT_EQ(error.errnum, EACCES);
}

TEST(SystemError, MayBeOfNoPath) {
  EXPECT_EQ(system_error(ErrorKind::system, "fork", "", EAGAIN).text,
            "fork(): Resource temporarily unavailable");
}

TEST(SystemError, APathIsSafeForATerminal) {
  EXPECT_EQ(system_error(ErrorKind::lock_dir, "stat", "a\n\x1b[2J", ENOENT).text,
            "stat(a\\n\\x1b[2J): No such file or directory");
}

TEST(SystemError, AMachineThatHasTooLittleIsToBlameWhateverWasBeingDone) {
  for (const ErrorKind kind : {ErrorKind::lock_dir, ErrorKind::lock_file, ErrorKind::output,
                               ErrorKind::gpu_state, ErrorKind::system}) {
    for (const int errnum : {EMFILE, ENFILE, ENOMEM}) {
      const Error error = system_error(kind, "open", "/x", errnum);
      EXPECT_EQ(error.kind, ErrorKind::system) << errnum;
      EXPECT_EQ(error.errnum, errnum);
    }
  }
}

TEST(SystemError, ATooLittleIsToldWithItsRemedy) {
  const auto text = [](int errnum) {
    return system_error(ErrorKind::lock_dir, "open", "/x", errnum).text;
  };
  EXPECT_EQ(text(EMFILE),
            "open(/x): Too many open files; raise the limit on open files (ulimit -n)");
  EXPECT_EQ(text(ENFILE),
            "open(/x): Too many open files in system; raise the limit on open files (ulimit -n)");
  EXPECT_EQ(text(ENOMEM), "open(/x): Cannot allocate memory; there is no memory left");
}

TEST(SystemError, EveryOtherReasonKeepsTheKindItWasGiven) {
  for (const int errnum : {EACCES, ENOENT, EIO, ENOSPC, EDQUOT, EROFS, EAGAIN, ELOOP}) {
    EXPECT_EQ(system_error(ErrorKind::lock_file, "open", "/x", errnum).kind, ErrorKind::lock_file)
        << errnum;
  }
}

Result<std::string> word(bool good) {
  if (!good) return fail(ErrorKind::not_found, "no word", ENOENT);
  return std::string("word");
}

TEST(Result, IsAValueOrTheErrorThatPreventedIt) {
  EXPECT_EQ(word(true).value(), "word");
  const Result<std::string> none = word(false);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::not_found);
  EXPECT_EQ(none.error().text, "no word");
  EXPECT_EQ(none.error().errnum, ENOENT);
}

TEST(Result, AnErrorPassesUnchangedToAResultOfAnotherType) {
  const auto passed_on = []() -> Status { return fail(word(false).error()); };
  const Status status = passed_on();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().text, "no word");
  EXPECT_EQ(status.error().errnum, ENOENT);
}

TEST(Result, AStatusIsGoodByDefaultAndAnErrorHasNoErrnoByDefault) {
  EXPECT_TRUE(Status());
  const auto failed = []() -> Status { return fail(ErrorKind::usage, "no"); };
  EXPECT_EQ(failed().error().errnum, 0);
}

}  // namespace
}  // namespace gpu_gate
