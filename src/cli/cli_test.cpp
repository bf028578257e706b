#include "cli/cli.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include "base/env.h"
#include "cli/acquire.h"
#include "cli/test_streams.h"
#include "cli/test_text.h"
#include "report/test_board.h"
#include "report/test_shared_dir.h"

namespace gpu_gate {
namespace {

using Words = std::vector<std::string>;

/// What a call of the program comes to.
struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

Outcome called(const Words& words) {
  Outcome outcome;
  outcome.err = told(
      [&] { outcome.out = written_to(STDOUT_FILENO, [&] { outcome.code = run_cli(words); }); });
  return outcome;
}

/// A machine on which no GPU can be read, with a lock directory of its own.
class WithoutDriver : public testing::Test {
 protected:
  std::string lock_dir() const { return folder_.path() + "/locks"; }

  const TestFolder folder_;
  const EnvironmentVariable library_{env::kNvml, folder_.path() + "/libnone.so"};
  const EnvironmentVariable lock_dir_{env::kLockDir, lock_dir()};
};

Granted granted_on(std::vector<Device> devices, Ticket claim) {
  Granted granted;
  granted.devices = std::move(devices);
  granted.claim = claim;
  return granted;
}

std::string printed(const Options& options, const Granted& granted) {
  return written_to(STDOUT_FILENO,
                    [&] { EXPECT_TRUE(print_devices(options, granted)) << "not printed"; });
}

TEST(RunCli, PrintsTheVersionToStdout) {
  const Outcome outcome = called({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.out.starts_with("gpu-gate ")) << outcome.out;
  EXPECT_EQ(lines_of(outcome.out).size(), 1U);
  EXPECT_EQ(outcome.err, "");
}

TEST(RunCli, PrintsHelpToStdout) {
  const Outcome outcome = called({"wait", "--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, help_text("wait"));
  EXPECT_EQ(outcome.err, "");
}

TEST(RunCli, SaysOnStderrWhatIsWrongWithTheCall) {
  for (const Words& words : {Words{}, Words{"bogus"}, Words{"wait", "-n", "0"}, Words{"run"}}) {
    const Outcome outcome = called(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(outcome.err.starts_with("gpu-gate: ")) << outcome.err;
    EXPECT_EQ(lines_of(outcome.err).size(), 1U) << outcome.err;
  }
}

TEST(RunCli, FailsWhereItCannotPrint) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  int code = -1;
  const std::string text = told([&] {
    const Redirected redirected(STDOUT_FILENO, full.get());
    code = run_cli({"--version"});
  });
  EXPECT_EQ(code, 125);
  EXPECT_TRUE(has(text, "standard output")) << text;
}

TEST(RunCli, LetsNoFileOfItsOwnBecomeAStandardDescriptor) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(fd);
    const int code = run_cli({"--version"});  // nobody can read it
    const int opened = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::_exit(opened > STDERR_FILENO ? code : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 125);
}

TEST(PrintDevices, NamesThemByIndexOrByUuid) {
  Options options;
  EXPECT_EQ(printed(options, granted_on({card(0), card(2)}, 0)), "0,2\n");
  options.ids = Ids::uuid;
  EXPECT_EQ(printed(options, granted_on({card(0), card(2)}, 0)), "GPU-0,GPU-2\n");
}

TEST(PrintDevices, HasTheSameNamesInItsJson) {
  Options options;
  options.json = true;
  options.ids = Ids::uuid;
  const auto json = nlohmann::json::parse(printed(options, granted_on({card(0), card(2)}, 7)));
  EXPECT_EQ(json["cuda_visible_devices"], "GPU-0,GPU-2");
  EXPECT_EQ(json["claim"], "7");
}

TEST(PrintDevices, HasWhatRunWouldSetInTheLineForEval) {
  const EnvironmentVariable order("CUDA_DEVICE_ORDER", std::nullopt);
  Options options;
  options.export_line = true;
  EXPECT_EQ(printed(options, granted_on({card(0), card(2)}, 7)),
            "export CUDA_VISIBLE_DEVICES='0,2' CUDA_DEVICE_ORDER='PCI_BUS_ID' "
            "GPU_GATE_INDICES='0,2' GPU_GATE_UUIDS='GPU-0,GPU-2' GPU_GATE_CLAIM='7'\n");
}

TEST(PrintDevices, FailsWhereItCannotPrint) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const Redirected redirected(STDOUT_FILENO, full.get());
  const Status status = print_devices({}, granted_on({card(0)}, 0));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::output);
}

TEST_F(WithoutDriver, EverySubcommandSaysThatTheGpusCannotBeRead) {
  for (const Words& words :
       {Words{"run", "--", "true"}, Words{"wait"}, Words{"hold", "--for", "1"}, Words{"status"}}) {
    const Outcome outcome = called(words);
    EXPECT_EQ(outcome.code, 4) << words[0] << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "") << words[0];
    EXPECT_TRUE(has(outcome.err, "libnone.so")) << words[0] << ": " << outcome.err;
  }
}

TEST_F(WithoutDriver, StatusMakesNoLockDirectory) {
  called({"status"});
  EXPECT_FALSE(std::filesystem::exists(lock_dir()));
}

TEST_F(WithoutDriver, ACommandThatIsNotFoundIsSaidBeforeAnythingElse) {
  const Outcome outcome = called({"run", "--", folder_.path() + "/no-such-command"});
  EXPECT_EQ(outcome.code, 127);
  EXPECT_TRUE(has(outcome.err, "no-such-command")) << outcome.err;
}

TEST_F(WithoutDriver, AcquireFailsAndLeavesNobodyInLine) {
  Result<Granted> granted = fail(ErrorKind::usage, "");
  told([&] { granted = acquire({}, {.owner = this_process({"x"})}); });
  ASSERT_FALSE(granted);
  EXPECT_EQ(granted.error().kind, ErrorKind::gpu_state);
  EXPECT_TRUE(!std::filesystem::exists(lock_dir() + "/queue") ||
              std::filesystem::is_empty(lock_dir() + "/queue"));
}

TEST(LockDirPaths, AreTheUsersChoiceOnlyWhereOneIsMade) {
  {
    const EnvironmentVariable variable(env::kLockDir, "/some/where");
    EXPECT_EQ(lock_dir_paths().chosen, "/some/where");
  }
  for (const std::optional<std::string>& none :
       {std::optional<std::string>(), std::optional<std::string>("")}) {
    const EnvironmentVariable variable(env::kLockDir, none);
    EXPECT_FALSE(lock_dir_paths().chosen);
  }
}

TEST(GpuSourceOfEnvironment, ReadsTheLibraryThatTheUserNames) {
  const EnvironmentVariable variable(env::kNvml, "/dev/null/libelsewhere.so");
  const Result<Snapshot> snapshot = (*gpu_source_for({}))->read();
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(snapshot.error().kind, ErrorKind::gpu_state);
  EXPECT_TRUE(has(snapshot.error().text, "/dev/null/libelsewhere.so")) << snapshot.error().text;
}

}  // namespace
}  // namespace gpu_gate
