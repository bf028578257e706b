#include "report/recorded.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "report/test_shared_dir.h"

namespace gpu_gate {
namespace {

/// A child that waits for its end; a zombie after that, until this is gone.
class Sleeper {
 public:
  explicit Sleeper(std::vector<std::string> words) : pid_(::fork()) {
    if (pid_ != 0) return;
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv("/bin/sleep", argv.data());
    ::_exit(1);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  Owner owner() const { return other_process(pid_).value(); }
  /// Waits for exec.
  void runs(const std::string& command) const {
    while (process_command(pid_, 100) != command) ::usleep(1000);
  }
  void end() const {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

 private:
  pid_t pid_;
};

TEST(RecordedProcess, LivesOrHasEnded) {
  Owner owner;
  {
    const Sleeper child({"sleep", "1000"});
    owner = child.owner();
    EXPECT_EQ(recorded_process(owner), Seen::lives);
    Owner another = owner;
    another.start_ticks += 1;
    EXPECT_EQ(recorded_process(another), Seen::ended) << "its number was given out again";
    Owner elsewhere = owner;
    elsewhere.pid_namespace += 1;
    EXPECT_EQ(recorded_process(elsewhere), Seen::unknown);
    child.end();
    EXPECT_EQ(recorded_process(owner), Seen::ended) << "a zombie";
  }
  EXPECT_EQ(recorded_process(owner), Seen::ended);
}

TEST(RecordedProcess, ThatIsHiddenIsUnknown) {
  const ScratchProc hidden;
  EXPECT_EQ(recorded_process(this_process({"x"}), hidden.path()), Seen::unknown);
}

TEST(CommandOf, IsTheCommandLineNowOrTheRecordedName) {
  const Sleeper child({"sleep", "1000"});
  child.runs("sleep 1000");
  Owner owner = child.owner();
  owner.command = "recorded";
  EXPECT_EQ(command_of(owner), "sleep 1000");
  child.end();
  EXPECT_EQ(command_of(owner), "recorded");
}

TEST(CommandOf, AGpuGateThatWaitsIsTheCommandThatItWaitsFor) {
  const ScratchProc proc;
  Owner owner = this_process({"python"});
  const std::string folder = proc.path() + "/" + std::to_string(owner.pid);
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/stat") << owner.pid
                                  << " (gpu-gate) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 "
                                  << owner.start_ticks << " 0";
  const auto command = [&](const std::string& cmdline) {
    std::ofstream(folder + "/cmdline") << cmdline;
    return command_of(owner, proc.path());
  };
  using namespace std::string_literals;
  EXPECT_EQ(command("/usr/bin/gpu-gate\0run\0-n\0002\0--\0python\0x.py\0--\0y\0"s),
            "python x.py -- y");
  EXPECT_EQ(command("gpu-gate\0run\0-n\0002\0"s), "python") << "cut off before the command";
  EXPECT_EQ(command("gpu-gate\0wait\0-n\0002\0"s), "gpu-gate wait -n 2");
  EXPECT_EQ(command("env\0run\0--\0x\0"s), "env run -- x");
  EXPECT_EQ(command(""), "python");
  EXPECT_EQ(command("x\0"s + std::string(1000, 'y')).size(), kMaxCommandBytes);
}

class HolderOf : public testing::Test {
 protected:
  std::optional<pid_t> holder() const { return holder_of(shared.claims(), claim); }

  SharedDir shared;
  NewClaim held = shared.claim({"GPU-0"}, this_process({"x"}));
  Claim claim = shared.live().at(0);
};

TEST_F(HolderOf, IsTheProcessThatHasTheFifoOpenForWriting) {
  EXPECT_EQ(holder(), ::getpid());
  const UniqueFd watched(
      ::open(shared.claim_path("GPU-0", held.ticket).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  held.held.clear();
  EXPECT_EQ(holder(), std::nullopt) << "who watches it does not hold it";
}

TEST_F(HolderOf, IsNoneThatHoldsTheSameNameElsewhere) {
  SharedDir other;
  const std::string same_name = other.claim_path("GPU-0", held.ticket);
  ASSERT_EQ(::mkfifo(same_name.c_str(), 0644), 0);
  const UniqueFd there(::open(same_name.c_str(), O_RDWR | O_CLOEXEC));
  held.held.clear();
  EXPECT_EQ(holder(), std::nullopt);
}

}  // namespace
}  // namespace gpu_gate
