#include "cli/notices.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>

#include "base/process.h"
#include "cli/test_streams.h"
#include "cli/test_text.h"
#include "report/test_board.h"
#include "report/test_shared_dir.h"

namespace gpu_gate {
namespace {

Standing at_place(std::size_t position, std::vector<uid_t> overtaking = {}, bool hold_less = true) {
  return {.position = position, .overtaking = std::move(overtaking), .hold_less = hold_less};
}

/// A wait for one GPU on a machine of two, as its observer is told of it.
class Notice : public testing::Test {
 public:
  static void SetUpTestSuite() { shared = std::make_unique<SharedDir>(); }
  static void TearDownTestSuite() { shared.reset(); }

 protected:
  /// What is told after a look that found `fits_` and `claims_`.
  std::string look(Notices& notices) {
    return told([&] { notices.looked(report()); });
  }

  WaitReport report() {
    occupancy_.resize(snapshot_.devices.size());
    return {.snapshot = snapshot_,
            .request = request_,
            .fits = fits_,
            .occupancy = occupancy_,
            .claims = claims_,
            .records = records_};
  }

  // One for all, since a claim ends with the test that made it.
  static inline std::unique_ptr<SharedDir> shared;
  Snapshot snapshot_ = idle_machine(2);
  Request request_ = wish(1);
  std::vector<Fit> fits_{Fit::memory_held, Fit::busy};
  std::vector<Occupancy> occupancy_;
  std::vector<Claim> claims_;
  Claims records_ = shared->claims();
};

Granted granted_on(std::vector<Device> devices) {
  Granted granted;
  granted.devices = std::move(devices);
  return granted;
}

Device named_card(int index, const std::string& name, std::int64_t free_mib = 40000) {
  Device device = card(index, free_mib);
  device.name = name;
  return device;
}

TEST_F(Notice, ADriverThatGoesAwayIsOneLineAndNotOneForEachGpu) {
  Notices notices(false, false, {.count = 1});
  look(notices);
  const Error error{.kind = ErrorKind::gpu_state, .text = "nvmlInit: gone"};
  EXPECT_EQ(
      told([&] { notices.driver_failed(error); }),
      "gpu-gate: the GPUs cannot be read; keeping the place and trying again: nvmlInit: gone\n");
  fits_ = {Fit::unhealthy, Fit::unhealthy};
  EXPECT_EQ(look(notices), "");
  EXPECT_EQ(told([&] { notices.driver_returned(); }), "gpu-gate: the GPUs can be read again\n");
  fits_ = {Fit::memory_held, Fit::claimed};
  EXPECT_EQ(lines_of(look(notices)).size(), 1U);  // what has changed since
}

TEST_F(Notice, AQuietOneSaysNothingOfTheDriver) {
  Notices notices(true, false, {.count = 1});
  EXPECT_EQ(told([&] { notices.driver_failed({.kind = ErrorKind::gpu_state, .text = "gone"}); }),
            "");
  EXPECT_EQ(told([&] { notices.driver_returned(); }), "");
}

TEST_F(Notice, OfTheFirstLookTellsWhyEachGpuWillNotDo) {
  Notices notices(false, false, {.count = 1});
  const std::vector<std::string> lines = lines_of(look(notices));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(has(lines[0], "waiting")) << lines[0];
  EXPECT_TRUE(lines[1].starts_with("gpu-gate:   GPU 0: ")) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("gpu-gate:   GPU 1: ")) << lines[2];
}

TEST_F(Notice, SaysForHowManyGpusItWaits) {
  Notices one(false, false, {.count = 1});
  EXPECT_TRUE(has(lines_of(look(one)).at(0), "a free GPU"));
  Notices many(false, false, {.count = 3});
  EXPECT_TRUE(has(lines_of(look(many)).at(0), "3 free GPUs"));
}

TEST_F(Notice, OfOneTryDoesNotSayThatItWaits) {
  Notices notices(false, true, {.count = 1});
  const std::vector<std::string> lines = lines_of(look(notices));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(has(lines[0], "GPU 0: ") && has(lines[1], "GPU 1: "));
}

TEST_F(Notice, IsNotRepeatedWhereNothingChanged) {
  Notices notices(false, false, {.count = 1});
  look(notices);
  EXPECT_EQ(look(notices), "");
  snapshot_.devices[0].memory_used_mib += 5;
  EXPECT_EQ(look(notices), "") << "a number that changes all the time is no news";
}

TEST_F(Notice, AfterwardsTellsOnlyOfTheGpuThatChanged) {
  Notices notices(false, false, {.count = 1});
  look(notices);
  fits_[1] = Fit::reserved;
  const std::vector<std::string> lines = lines_of(look(notices));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(has(lines[0], "GPU 1: ")) << lines[0];
}

TEST_F(Notice, ComesAgainWhereAnOldReasonReturns) {
  Notices notices(false, false, {.count = 1});
  look(notices);
  fits_[1] = Fit::reserved;
  look(notices);
  fits_[1] = Fit::busy;
  EXPECT_TRUE(has(look(notices), "GPU 1: "));
}

TEST_F(Notice, TellsOfAGpuThatTurnsUpLater) {
  Notices notices(false, false, {.count = 1});
  look(notices);
  snapshot_.devices.push_back(card(2));
  fits_.push_back(Fit::busy);
  const std::vector<std::string> lines = lines_of(look(notices));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(has(lines[0], "GPU 2: ")) << lines[0];
}

TEST_F(Notice, NamesWhoHoldsAGpuAndTellsOfTheNext) {
  NewClaim held = shared->claim({"GPU-1"}, unseen_job("train.py"));
  claims_ = shared->live();
  fits_[1] = Fit::claimed;
  Notices notices(false, false, {.count = 1});
  const std::string first = look(notices);
  EXPECT_TRUE(has(first, user_name(::geteuid()) + ": train.py (pid ")) << first;
  EXPECT_EQ(look(notices), "");

  held = shared->claim({"GPU-1"}, unseen_job("eval.py"));
  claims_ = shared->live();
  const std::string second = look(notices);
  EXPECT_TRUE(has(second, "GPU 1: ") && has(second, "eval.py")) << second;
  EXPECT_FALSE(has(second, "GPU 0: ")) << second;
}

TEST_F(Notice, InsideAClaimDoesNotBlameItsOwnJob) {
  const NewClaim outer = shared->claim({"GPU-1"}, unseen_job("the-sweep"));
  const NewClaim inner = shared->claim({"GPU-1"}, unseen_job("the-part"));
  claims_ = shared->live();
  fits_[1] = Fit::claimed;
  request_.within = outer.ticket;
  Notices notices(false, false, {.count = 1});
  const std::string text = look(notices);
  EXPECT_TRUE(has(text, "the-part") && !has(text, "the-sweep")) << text;
}

TEST_F(Notice, TellsWhyAGpuIsBarred) {
  Notices notices(false, false, {.count = 1});
  notices.set_barred({Barred::no, Barred::excluded}, idle_machine(2));
  fits_[1] = Fit::not_allowed;
  EXPECT_TRUE(has(lines_of(look(notices)).at(2), "--exclude"));
}

TEST_F(Notice, LetsNoCommandOfOthersWriteToTheTerminal) {
  const NewClaim held = shared->claim({"GPU-1"}, unseen_job("\x1b[2J\nGPU 9: free"));
  claims_ = shared->live();
  fits_[1] = Fit::claimed;
  Notices notices(false, false, {.count = 1});
  const std::string text = look(notices);
  EXPECT_EQ(lines_of(text).size(), 3U) << text;
  EXPECT_FALSE(has(text, "\x1b")) << text;
}

TEST_F(Notice, OfThePlaceInLineComesOnceForEachPlace) {
  Notices notices(false, false, {.count = 1});
  EXPECT_EQ(told([&] { notices.positioned(at_place(2)); }), "gpu-gate: 2nd in line\n");
  EXPECT_EQ(told([&] { notices.positioned(at_place(2)); }), "");
  EXPECT_EQ(told([&] { notices.positioned(at_place(1)); }), "gpu-gate: 1st in line\n");
}

TEST_F(Notice, OfThePlaceInLineTellsWhoCameForwardAndWhy) {
  Notices notices(false, false, {.count = 1});
  const auto tells = [&](std::vector<uid_t> users, bool hold_less, const std::string& text) {
    EXPECT_EQ(told([&] { notices.positioned(at_place(3, std::move(users), hold_less)); }),
              "gpu-gate: 3rd in line " + text + "\n");
  };
  // Numbers that have no name.
  tells({4000001}, true, "(4000001 holds fewer GPUs than you)");
  tells({4000001, 4000002}, true, "(4000001 and 4000002 hold fewer GPUs than you)");
  tells({4000001}, false, "(4000001 has a turn in between)");
  tells({4000001, 4000002, 4000003}, false, "(4000001, 4000002 and 4000003 have turns in between)");
  tells({4000001, 4000002, 4000003, 4000004}, true,
        "(4000001, 4000002 and 2 others hold fewer GPUs than you)");
}

TEST_F(Notice, SpellsEveryPlaceInLine) {
  const std::vector<std::pair<std::size_t, std::string>> places{
      {1, "1st"},     {2, "2nd"},     {3, "3rd"},     {4, "4th"},      {10, "10th"}, {11, "11th"},
      {12, "12th"},   {13, "13th"},   {21, "21st"},   {22, "22nd"},    {23, "23rd"}, {101, "101st"},
      {111, "111th"}, {112, "112th"}, {113, "113th"}, {1011, "1011th"}};
  Notices notices(false, false, {.count = 1});
  for (const auto& [position, word] : places) {
    EXPECT_TRUE(has(told([&] { notices.positioned(at_place(position)); }), " " + word + " "))
        << word;
  }
}

TEST_F(Notice, OfAStuckMutexComesOnceAndNamesWhoHoldsIt) {
  Notices notices(false, false, {.count = 1});
  const std::string text = told([&] { notices.mutex_delayed(::getpid()); });
  EXPECT_EQ(lines_of(text).size(), 1U) << text;
  EXPECT_TRUE(has(text, user_name(::geteuid()) + ": ")) << text;
  EXPECT_TRUE(has(text, "(pid " + std::to_string(::getpid()) + ")")) << text;
  EXPECT_TRUE(has(text, "mutex")) << text;
  EXPECT_EQ(told([&] { notices.mutex_delayed(::getppid()); }), "");
}

TEST_F(Notice, OfAStuckMutexComesAlsoWhereTheHolderCannotBeTold) {
  Notices unknown(false, false, {.count = 1});
  EXPECT_TRUE(has(told([&] { unknown.mutex_delayed(std::nullopt); }), "mutex"));
  Notices hidden(false, false, {.count = 1});
  constexpr pid_t kNobody = 2'000'000'000;
  EXPECT_TRUE(has(told([&] { hidden.mutex_delayed(kNobody); }), "pid 2000000000"));
}

TEST_F(Notice, OfTheEndNamesTheGpuAndItsMemory) {
  Notices notices(false, false, {.count = 1});
  EXPECT_EQ(told([&] { notices.granted(granted_on({named_card(3, "NVIDIA L40S", 44211)})); }),
            "gpu-gate: using GPU 3 (NVIDIA L40S, 44211 MiB free)\n");
}

TEST_F(Notice, OfTheEndNamesEachOfSeveralGpus) {
  Notices notices(false, false, {.count = 2});
  EXPECT_EQ(
      told([&] { notices.granted(granted_on({named_card(0, "A", 1), named_card(2, "B\n", 2)})); }),
      "gpu-gate: using GPUs 0 (A, 1 MiB free), 2 (B\\n, 2 MiB free)\n");
}

TEST_F(Notice, OfTheEndSaysHowLongItTookOnlyAfterAWait) {
  Granted granted = granted_on({named_card(0, "A")});
  granted.duration = std::chrono::minutes(12);
  Notices notices(false, false, {.count = 1});
  EXPECT_FALSE(has(told([&] { notices.granted(granted); }), "after"));
  granted.waited = true;
  EXPECT_TRUE(has(told([&] { notices.granted(granted); }), " after 12m\n"));
}

TEST_F(Notice, OfTheEndSaysWhereAnInheritedVariableNarrowedTheChoice) {
  Notices notices(false, false, {.count = 1});
  notices.set_barred({Barred::no, Barred::excluded}, idle_machine(2));
  notices.set_visible({{"CUDA_VISIBLE_DEVICES", "0"}});
  const auto text = [&] {
    return told([&] { notices.granted(granted_on({named_card(0, "A")})); });
  };
  EXPECT_FALSE(has(text(), "CUDA_VISIBLE_DEVICES")) << "that was the user's own --exclude";
  notices.set_barred({Barred::no, Barred::not_visible}, idle_machine(2));
  EXPECT_TRUE(has(text(), ", within the inherited CUDA_VISIBLE_DEVICES=0\n"));
}

TEST_F(Notice, IsNeverGivenWhereItIsToBeQuiet) {
  Notices notices(true, false, {.count = 1});
  EXPECT_FALSE(notices.wants_position());
  EXPECT_EQ(told([&] {
              notices.looked(report());
              notices.ticked();
              notices.mutex_delayed(::getpid());
              notices.granted(granted_on({named_card(0, "A")}));
              notices.clear();
            }),
            "");
}

TEST_F(Notice, AsksForThePlaceInLine) {
  EXPECT_TRUE(Notices(false, false, {.count = 1}).wants_position());
}

TEST_F(Notice, HasNoTickWhereTheLineIsNotRewritten) {
  told([] {
    Notices notices(false, false, {.count = 1});
    EXPECT_EQ(notices.tick().count(), 0);
  });
  Notices notices(false, false, {.count = 1});
  EXPECT_EQ(told([&] { notices.ticked(); }), "");
}

// On a terminal.

class NoticeOnTerminal : public Notice {
 protected:
  /// What is shown by a process in the terminal's foreground, or by one of another session.
  template <class Call>
  static std::string shown(const Call& call, bool foreground = true) {
    Terminal terminal(200);
    const pid_t child = ::fork();
    if (child == 0) {
      if (foreground) terminal.be_foreground();
      const Redirected redirected(STDERR_FILENO, terminal.fd());
      {
        Notices notices(false, false, {.count = 1});
        call(notices);
      }
      ::_exit(0);
    }
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    return terminal.text();
  }

  const EnvironmentVariable term_{"TERM", "xterm"};
  const std::string rewrite_ = "\r\x1b[K";
};

TEST_F(NoticeOnTerminal, ShowsTimeAndPlaceInALineThatIsRewritten) {
  const std::string text = shown([](Notices& notices) {
    notices.positioned(at_place(3));
    notices.ticked();
  });
  EXPECT_TRUE(text.starts_with(rewrite_ + "gpu-gate: waited 0s, 3rd in line")) << text;
  EXPECT_FALSE(has(text, "\n")) << text;
}

TEST_F(NoticeOnTerminal, WritesNothingWhereTheLineIsTheSame) {
  const std::string text = shown([](Notices& notices) {
    for (int i = 0; i < 3; ++i) notices.ticked();
  });
  EXPECT_EQ(text.find("waited"), text.rfind("waited")) << text;
}

TEST_F(NoticeOnTerminal, ShowsANewPlaceAtOnceInTheLineThatIsRewritten) {
  const std::string text = shown([](Notices& notices) {
    notices.positioned(at_place(3));
    notices.ticked();
    notices.positioned(at_place(2));
  });
  EXPECT_TRUE(has(text, "3rd in line") && has(text, rewrite_ + "gpu-gate: waited 0s, 2nd in line"))
      << text;
}

TEST_F(NoticeOnTerminal, TicksTheLessOftenTheLongerTheLineIs) {
  shown([](Notices& notices) {
    EXPECT_EQ(notices.tick(), std::chrono::seconds(1));
    notices.positioned(at_place(160));
    EXPECT_EQ(notices.tick(), std::chrono::seconds(11));
  });
}

TEST_F(NoticeOnTerminal, ShowsNoPlaceThatItDoesNotKnow) {
  const std::string text = shown([](Notices& notices) { notices.ticked(); });
  EXPECT_TRUE(has(text, "waited 0s") && !has(text, "in line")) << text;
}

TEST_F(NoticeOnTerminal, NamesCtrlCOnlyWhereThatEndsTheWait) {
  const auto tick = [](Notices& notices) { notices.ticked(); };
  EXPECT_FALSE(has(shown(tick), "Ctrl-C")) << "the terminal is raw";
  const auto cooked_tick = [](Notices& notices) {
    struct termios mode{};
    ::tcgetattr(STDERR_FILENO, &mode);
    mode.c_lflag |= ISIG;
    ::tcsetattr(STDERR_FILENO, TCSANOW, &mode);
    notices.ticked();
  };
  EXPECT_TRUE(has(shown(cooked_tick), "(Ctrl-C gives up)"));
  struct sigaction before{};
  struct sigaction ignored{};
  ignored.sa_handler = SIG_IGN;
  ::sigaction(SIGINT, &ignored, &before);
  const std::string text = shown(cooked_tick);
  ::sigaction(SIGINT, &before, nullptr);
  EXPECT_TRUE(has(text, "waited") && !has(text, "Ctrl-C")) << text;
}

TEST_F(NoticeOnTerminal, TellsThePlaceInALineOfItsOwnWhereItIsNotInTheForeground) {
  const std::string text = shown(
      [](Notices& notices) {
        notices.positioned(at_place(3));
        notices.ticked();
        notices.positioned(at_place(3));
      },
      false);
  EXPECT_EQ(text, "gpu-gate: 3rd in line\n");
}

TEST_F(NoticeOnTerminal, TicksEverySecond) {
  const auto tick = [](bool quiet) {
    std::chrono::milliseconds time{};
    told_on_terminal(80, [&] { time = Notices(quiet, false, {.count = 1}).tick(); });
    return time;
  };
  EXPECT_EQ(tick(false), std::chrono::seconds(1));
  EXPECT_EQ(tick(true).count(), 0) << "quiet";
}

TEST_F(NoticeOnTerminal, TakesTheLineAwayBeforeItSaysAnythingElse) {
  const std::string text = shown([&](Notices& notices) {
    notices.ticked();
    notices.looked(report());
  });
  const std::size_t line = text.find("waited");
  EXPECT_NE(line, std::string::npos);
  EXPECT_TRUE(has(text.substr(line), rewrite_ + "gpu-gate: waiting")) << text;
}

TEST_F(NoticeOnTerminal, LeavesNoLineBehind) {
  EXPECT_TRUE(shown([](Notices& notices) { notices.ticked(); }).ends_with(rewrite_));
  EXPECT_EQ(shown([](Notices&) {}), "");
}

TEST(HoldingText, SaysWhatIsHeldAndWhatEndsIt) {
  Granted granted;
  granted.devices.push_back(card(0, 40000));
  granted.devices.back().name = "A";
  const std::string held = "holding GPU 0 (A, 40000 MiB free)";
  const std::chrono::hours two(2);
  EXPECT_EQ(holding_text(granted, {.holder = 9, .pid = 7}),
            held + " until process 7 ends; kill 9 ends it sooner\n");
  EXPECT_EQ(holding_text(granted, {.holder = 9, .pid = 7, .at_most = two}),
            held + " for 2h, or until process 7 ends; kill 9 ends it sooner\n");
  EXPECT_EQ(holding_text(granted, {.holder = 9, .at_most = two, .interruptible = true}),
            held + " for 2h; Ctrl-C ends it sooner\n");
  EXPECT_EQ(holding_text(granted, {.holder = 9, .keyboard = true, .interruptible = true}),
            held + "; Ctrl-D or Ctrl-C ends it\n");
  EXPECT_EQ(holding_text(granted, {.holder = 9, .keyboard = true}),
            held + "; Ctrl-D or kill 9 ends it\n");
  EXPECT_EQ(holding_text(granted, {.holder = 9}),
            held + " until standard input ends; kill 9 ends it sooner\n");
  granted.share_mib = 8000;
  granted.devices.push_back(granted.devices.front());
  EXPECT_TRUE(has(holding_text(granted, {.holder = 9, .pid = 7}),
                  "holding 8000 MiB on each of GPUs 0 (A, 40000 MiB free), 0 (A"));
}

}  // namespace
}  // namespace gpu_gate
