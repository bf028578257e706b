#include "cli/exit_code.h"

#include <gtest/gtest.h>

namespace gpu_gate {
namespace {

TEST(ExitCode, IsThatOfTheManualForEachKind) {
  const std::vector<std::pair<ErrorKind, int>> codes{
      {ErrorKind::usage, 2},       {ErrorKind::impossible, 3},       {ErrorKind::gpu_state, 4},
      {ErrorKind::lock_dir, 5},    {ErrorKind::lock_file, 5},        {ErrorKind::replaced, 5},
      {ErrorKind::timed_out, 124}, {ErrorKind::system, 125},         {ErrorKind::output, 125},
      {ErrorKind::not_found, 127}, {ErrorKind::not_executable, 126}, {ErrorKind::unhealthy, 1},
      {ErrorKind::not_done, 1},
  };
  for (const auto& [kind, code] : codes) EXPECT_EQ(exit_code(kind), code);
}

TEST(ExitCode, OfAnErrorIsNeverSuccessNorTakenForASignal) {
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::not_found) + 1; ++kind) {
    EXPECT_GT(exit_code(static_cast<ErrorKind>(kind)), 0) << kind;
    EXPECT_LE(exit_code(static_cast<ErrorKind>(kind)), 128) << kind;
  }
}

}  // namespace
}  // namespace gpu_gate
