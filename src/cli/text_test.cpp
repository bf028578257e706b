#include "cli/text.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "cli/test_text.h"
#include "report/test_board.h"

namespace gpu_gate {
namespace {

using std::chrono::seconds;

constexpr std::int64_t kNow = 1'000'000;
constexpr Fit kFits[] = {Fit::usable,     Fit::not_allowed, Fit::mig,      Fit::too_small,
                         Fit::unhealthy,  Fit::claimed,     Fit::occupied, Fit::memory_held,
                         Fit::memory_low, Fit::busy,        Fit::reserved, Fit::settling};
constexpr Barred kBars[] = {Barred::not_in_only, Barred::excluded,      Barred::not_visible,
                            Barred::no_access,   Barred::outside_claim, Barred::not_named};
constexpr Health kIllnesses[] = {Health::lost, Health::reset_required, Health::prohibited,
                                 Health::mig, Health::unreadable};

Request asking(std::int64_t min_free_mib, int max_util_pct = 100) {
  Request request = wish(1);
  request.criteria.min_free_mib = min_free_mib;
  request.criteria.max_util_pct = max_util_pct;
  return request;
}

Device ill(Health health) {
  Device device = card(0);
  device.health = health;
  return device;
}

/// The reason why a card will not do.
std::string why(const Device& device, Fit fit, const Request& request = wish(1),
                const DeviceUse& use = {}) {
  return reason({.device = device, .fit = fit, .barred = Barred::no, .use = use}, request, kNow);
}

std::string why_barred(Barred barred) {
  const Device device = card(0);
  return reason({.device = device, .fit = Fit::not_allowed, .barred = barred, .use = {}}, wish(1),
                kNow);
}

TEST(Reason, TellsThatAnExclusiveGpuAdmitsNoSecondProcess) {
  Device device = card(0);
  device.exclusive = true;
  const DeviceProcess process = hidden_process(5);
  Unfit unfit{.device = device,
              .fit = Fit::occupied,
              .barred = Barred::no,
              .use = {.claimants = {}, .processes = {process}}};
  EXPECT_EQ(reason(unfit, wish(1), kNow),
            "in use without gpu-gate by pid 5; compute mode EXCLUSIVE_PROCESS admits no second "
            "process");
  Request request = wish(1);
  request.within = 7;
  EXPECT_TRUE(reason(unfit, request, kNow).starts_with("in use by pid 5; "));
}

TEST(UnknownSizeText, TellsWhyTheSizeIsNotKnown) {
  Device device = card(0);
  EXPECT_EQ(unknown_size_text(device), "how much memory it has is not known");
  device.health = Health::lost;
  EXPECT_EQ(unknown_size_text(device),
            "lost; it needs a reset or a reboot; how much memory it has is not known");
}

TEST(ReasonKey, IsThatOfTheOccupantsInAnyOrder) {
  Device device = card(0);
  device.processes = {{.pid = 5, .graphics = false, .memory_mib = {}},
                      {.pid = 7, .graphics = false, .memory_mib = {}}};
  const std::string before = reason_key(device, Fit::occupied, {}, 0);
  device.processes = {{.pid = 7, .graphics = false, .memory_mib = {}},
                      {.pid = 6, .graphics = true, .memory_mib = {}},
                      {.pid = 5, .graphics = false, .memory_mib = {}}};
  EXPECT_EQ(reason_key(device, Fit::occupied, {}, 0), before);
  device.processes.pop_back();
  EXPECT_NE(reason_key(device, Fit::occupied, {}, 0), before);
}

TEST(ReasonKey, IsThatOfTheOutermostClaim) {
  const Claim outer{.ticket = 5, .uuid = "GPU-0"};
  const Claim inner{.ticket = 6, .uuid = "GPU-0"};
  const Claim other{.ticket = 7, .uuid = "GPU-0"};
  EXPECT_EQ(reason_key(card(0), Fit::claimed, {outer}, 0),
            reason_key(card(0), Fit::claimed, {outer, inner}, 0));
  EXPECT_NE(reason_key(card(0), Fit::claimed, {outer, inner}, 5),
            reason_key(card(0), Fit::claimed, {outer, other}, 5));
}

TEST(HumanDuration, IsShort) {
  EXPECT_EQ(human_duration(seconds(-3)), "0s");
  EXPECT_EQ(human_duration(seconds(59)), "59s");
  EXPECT_EQ(human_duration(seconds(60)), "1m");
  EXPECT_EQ(human_duration(seconds(3599)), "59m");
  EXPECT_EQ(human_duration(seconds(7980)), "2h13m");
  EXPECT_EQ(human_duration(seconds(7200)), "2h");
  EXPECT_EQ(human_duration(seconds(86400 * 3 + 4 * 3600)), "3d4h");
}

TEST(HumanDuration, ChangesItsUnitAtTheFullOne) {
  EXPECT_EQ(human_duration(seconds(0)), "0s");
  EXPECT_EQ(human_duration(seconds(3600)), "1h");
  EXPECT_EQ(human_duration(seconds(3659)), "1h");
  EXPECT_EQ(human_duration(seconds(3660)), "1h1m");
  EXPECT_EQ(human_duration(seconds(86399)), "23h59m");
  EXPECT_EQ(human_duration(seconds(86400)), "1d");
  EXPECT_EQ(human_duration(seconds(86400 + 3599)), "1d");
  EXPECT_EQ(human_duration(seconds(2 * 86400 - 1)), "1d23h");
}

TEST(HumanDuration, TakesTheLongestAndTheMostNegative) {
  EXPECT_EQ(human_duration(seconds(86400LL * 100000)), "100000d");
  EXPECT_EQ(human_duration(seconds(std::numeric_limits<std::int64_t>::min())), "0s");
  EXPECT_TRUE(human_duration(seconds(std::numeric_limits<std::int64_t>::max())).ends_with("h"));
}

TEST(Gpus, AreOneOrMany) {
  EXPECT_EQ(gpus(1), "1 GPU");
  EXPECT_EQ(gpus(0), "0 GPUs");
  EXPECT_EQ(gpus(2), "2 GPUs");
  EXPECT_EQ(gpus(kEveryDevice), "all GPUs");
}

TEST(ClaimantText, NamesUserJobAndTime) {
  EXPECT_EQ(claimant_text(claimant("alice", job(4242, "python train.py", kNow - 7980)), kNow),
            "alice: python train.py (pid 4242, 2h13m)");
}

TEST(ClaimantText, HasTheNoteBesideTheUser) {
  Owner owner = job(4242, "python train.py");
  owner.note = "bert\n";
  EXPECT_EQ(claimant_text(claimant("alice", owner), 60),
            "alice (bert\\n): python train.py (pid 4242, 1m)");
}

TEST(ClaimantText, IsTheUserAloneWithoutARecord) {
  EXPECT_EQ(claimant_text(claimant("alice"), kNow), "alice");
}

TEST(ClaimantText, ShowsNoNegativeTime) {
  EXPECT_TRUE(has(claimant_text(claimant("alice", job(1, "x", kNow + 1)), kNow), "0s"));
  EXPECT_TRUE(has(
      claimant_text(claimant("alice", job(1, "x", std::numeric_limits<std::int64_t>::max())), 0),
      "0s"));
}

TEST(ClaimantText, IsSafeForATerminal) {
  EXPECT_EQ(claimant_text(claimant("a\nb", job(1, "x\x1b[2J\xff", kNow)), kNow),
            "a\\nb: x\\x1b[2J\\xff (pid 1, 0s)");
}

TEST(ProcessText, NamesUserCommandAndMemory) {
  DeviceProcess process = seen_process(4242, "alice", "python x.py");
  EXPECT_EQ(process_text(process), "alice: python x.py (pid 4242)");
  process.process.memory_mib = 300;
  EXPECT_EQ(process_text(process), "alice: python x.py (pid 4242, 300 MiB)");
  process.process.memory_mib = 0;
  EXPECT_EQ(process_text(process), "alice: python x.py (pid 4242, 0 MiB)");
}

TEST(ProcessText, IsThePidOfAProcessThatCannotBeSeen) {
  DeviceProcess process = hidden_process(77);
  EXPECT_EQ(process_text(process), "pid 77");
  process.process.memory_mib = 300;
  EXPECT_EQ(process_text(process), "pid 77, 300 MiB");
}

TEST(ProcessText, IsSafeForATerminal) {
  EXPECT_EQ(process_text(seen_process(1, "a\tb", "\x1b]0;x\x07")), "a\\tb: \\x1b]0;x\\x07 (pid 1)");
}

TEST(HealthText, IsAnotherForEachHealth) {
  std::set<std::string> texts;
  for (const Health health : kIllnesses) texts.insert(health_text(ill(health)));
  EXPECT_EQ(texts.size(), std::size(kIllnesses));
  EXPECT_FALSE(texts.contains(""));
  EXPECT_EQ(health_text(card(0)), "ok");
}

TEST(HealthText, SaysWhatHelps) {
  EXPECT_TRUE(has(health_text(ill(Health::prohibited)), "nvidia-smi -c 0"));
  EXPECT_TRUE(has(health_text(ill(Health::lost)), "reset"));
  EXPECT_TRUE(has(health_text(ill(Health::mig)), "MIG"));
}

TEST(HealthText, EndsWithTheDriversOwnWords) {
  for (const Health health : {Health::lost, Health::reset_required, Health::unreadable}) {
    Device device = ill(health);
    device.error = "Unknown\nError";
    EXPECT_TRUE(health_text(device).ends_with(": Unknown\\nError")) << health_text(device);
  }
}

TEST(Reason, IsThereForEveryFit) {
  DeviceUse use;
  use.claimants = {claimant("alice", job(1, "x", kNow))};
  use.processes = {seen_process(2, "eve", "y")};
  std::set<std::string> reasons;
  for (const Fit fit : kFits) {
    if (fit == Fit::not_allowed) continue;  // Barred tells why
    const Health health = fit == Fit::mig         ? Health::mig
                          : fit == Fit::unhealthy ? Health::lost
                                                  : Health::ok;
    const std::string text = why(ill(health), fit, asking(50000), use);
    EXPECT_NE(text, "") << static_cast<int>(fit);
    EXPECT_TRUE(reasons.insert(text).second) << "the same as of another fit: " << text;
  }
}

TEST(Reason, IsThereForEveryBar) {
  std::set<std::string> reasons;
  for (const Barred barred : kBars) {
    const std::string text = why_barred(barred);
    EXPECT_NE(text, "") << static_cast<int>(barred);
    EXPECT_TRUE(reasons.insert(text).second) << "the same as of another: " << text;
  }
}

TEST(Reason, OfABarredGpuNamesTheOptionOrTheVariable) {
  EXPECT_TRUE(has(why_barred(Barred::not_in_only), "--only"));
  EXPECT_TRUE(has(why_barred(Barred::excluded), "--exclude"));
  EXPECT_TRUE(has(why_barred(Barred::not_visible), "CUDA_VISIBLE_DEVICES"));
}

TEST(Reason, ThatLastsComesBeforeOneThatPasses) {
  const Device device = card(0);
  DeviceUse use;
  use.claimants = {claimant("alice")};
  const std::string text =
      reason({.device = device, .fit = Fit::claimed, .barred = Barred::excluded, .use = use},
             wish(1), kNow);
  EXPECT_TRUE(has(text, "--exclude")) << text;
  EXPECT_FALSE(has(text, "alice")) << text;
}

TEST(Reason, OfAFreeGpuSaysHowManyAreStillMissingForSeveral) {
  EXPECT_EQ(why(card(0), Fit::usable, wish(1)), "free");
  const std::string text = why(card(0), Fit::usable, wish(4));
  EXPECT_TRUE(text.starts_with("free") && has(text, "4")) << text;
}

TEST(Reason, OfAClaimedGpuNamesTheOutermostClaimant) {
  DeviceUse use;
  use.claimants = {claimant("alice", job(1, "sweep", kNow - 60)), claimant("alice", job(2, "one"))};
  const std::string text = why(card(0), Fit::claimed, wish(1), use);
  EXPECT_TRUE(has(text, "alice: sweep (pid 1, 1m)")) << text;
  EXPECT_FALSE(has(text, "pid 2")) << text;
}

TEST(Reason, OfAClaimThatHasEndedMeanwhileNamesNobody) {
  EXPECT_EQ(why(card(0), Fit::claimed), "claimed");
}

TEST(Reason, OfAnOccupiedGpuNamesAllThatAreOnIt) {
  DeviceUse use;
  use.processes = {seen_process(1, "eve", "x"), hidden_process(77), seen_process(3, "bob", "y")};
  const std::string text = why(card(0), Fit::occupied, wish(1), use);
  EXPECT_TRUE(has(text, "eve: x (pid 1); pid 77; bob: y (pid 3)")) << text;
}

TEST(Reason, OfTooLittleMemoryHasBothNumbers) {
  EXPECT_EQ(why(card(0, 812), Fit::memory_low, asking(8000)), "812 MiB free, 8000 MiB asked for");
  const std::string held = why(card(0, 40000), Fit::memory_held);
  EXPECT_TRUE(has(held, std::to_string(card(0, 40000).memory_used_mib) + " MiB")) << held;
}

TEST(Reason, OfABusyGpuHasBothNumbers) {
  Device device = card(0);
  device.utilization_pct = 97;
  const std::string text = why(device, Fit::busy, asking(0, 10));
  EXPECT_TRUE(has(text, "97%") && has(text, "10%")) << text;
}

TEST(Reason, OfASmallGpuCountsOnlyWhatAJobCanGet) {
  Device device = card(0);
  device.memory_reserved_mib = 68;
  const std::string text = why(device, Fit::too_small, asking(50000));
  EXPECT_TRUE(has(text, "46000 MiB") && has(text, "50000 MiB")) << text;
}

TEST(NeverReason, IsEmptyWhereTimeMayHelp) {
  for (const Fit fit : kFits) {
    const bool never = fit == Fit::mig || fit == Fit::too_small;
    EXPECT_EQ(never_reason(ill(Health::mig), Barred::no, fit, asking(50000)).empty(), !never)
        << static_cast<int>(fit);
  }
}

TEST(NeverReason, NamesABarWhateverTheStateOfTheGpu) {
  for (const Barred barred : kBars) {
    std::set<std::string> texts;
    for (const Fit fit : kFits) texts.insert(never_reason(card(0), barred, fit, asking(50000)));
    EXPECT_EQ(texts.size(), 1U) << *texts.begin();
  }
}

// What makes a reason another one.

TEST(ReasonKey, IsAnotherForEachFit) {
  std::set<std::string> keys;
  for (const Fit fit : kFits) keys.insert(reason_key(card(0), fit, {}, 0));
  EXPECT_EQ(keys.size(), std::size(kFits));
}

TEST(ReasonKey, IsAnotherForEachHealth) {
  std::set<std::string> keys;
  for (const Health health : kIllnesses)
    keys.insert(reason_key(ill(health), Fit::unhealthy, {}, 0));
  EXPECT_EQ(keys.size(), std::size(kIllnesses));
}

TEST(ReasonKey, StaysTheSameWhileOnlyNumbersChange) {
  Device other = card(0, 1);
  other.utilization_pct = 99;
  other.memory_used_mib = 2;
  other.error = "other words";
  for (const Fit fit : kFits) {
    EXPECT_EQ(reason_key(card(0), fit, {}, 0), reason_key(other, fit, {}, 0))
        << static_cast<int>(fit);
  }
}

TEST(ReasonKey, IsAnotherForAnotherClaimOnTheGpu) {
  const auto key = [](const std::vector<Claim>& claims) {
    return reason_key(card(0), Fit::claimed, claims, 0);
  };
  const Claim first{.ticket = 5, .uuid = "GPU-0"};
  const Claim second{.ticket = 6, .uuid = "GPU-0"};
  const Claim elsewhere{.ticket = 7, .uuid = "GPU-1"};
  EXPECT_NE(key({first}), key({second}));
  EXPECT_EQ(key({first}), key({first, elsewhere}));
}

TEST(ReasonKey, IsAnotherForAnotherProcessOnTheGpu) {
  Device device = card(0);
  device.processes = {{.pid = 5, .graphics = false, .memory_mib = 100}};
  const std::string before = reason_key(device, Fit::occupied, {}, 0);
  device.processes[0].memory_mib = 200;
  EXPECT_EQ(reason_key(device, Fit::occupied, {}, 0), before);
  device.processes[0].pid = 6;
  EXPECT_NE(reason_key(device, Fit::occupied, {}, 0), before);
}

TEST(ReasonKey, TellsTwoNumbersFromOneThatIsLonger) {
  const auto key = [](const std::vector<Ticket>& tickets) {
    std::vector<Claim> claims;
    for (const Ticket ticket : tickets) claims.push_back({.ticket = ticket, .uuid = "GPU-0"});
    return reason_key(card(0), Fit::claimed, claims, 0);
  };
  EXPECT_NE(key({1, 23}), key({12, 3}));
}

TEST(ReasonKey, HeedsClaimsAndProcessesOnlyWhereTheReasonNamesThem) {
  Device with_process = card(0);
  with_process.processes = {{.pid = 5, .graphics = false, .memory_mib = {}}};
  const std::vector<Claim> claims{{.ticket = 5, .uuid = "GPU-0"}};
  for (const Fit fit : kFits) {
    if (fit == Fit::claimed || fit == Fit::occupied) continue;
    EXPECT_EQ(reason_key(card(0), fit, {}, 0), reason_key(with_process, fit, claims, 0))
        << static_cast<int>(fit);
  }
}

/// Remarks on these cards, each its index and what is said of it.
std::string lines_of(const std::vector<std::pair<int, std::string>>& said) {
  std::vector<Device> devices;
  for (const auto& [index, text] : said) devices.push_back(card(index));
  std::vector<Remark> remarks;
  for (std::size_t i = 0; i < said.size(); ++i) {
    remarks.push_back({.device = devices[i], .text = said[i].second});
  }
  return remark_lines(remarks);
}

TEST(RemarkLines, NameTheGpusOfWhichTheSameIsToBeSaid) {
  EXPECT_EQ(lines_of({{3, "a"}}), "  GPU 3: a\n");
  EXPECT_EQ(lines_of({{0, "a"}, {1, "b"}, {2, "a"}, {3, "a"}, {4, "a"}, {7, "a"}, {8, "b"}}),
            "  GPUs 0, 2-4, 7: a\n  GPUs 1, 8: b\n");
  EXPECT_EQ(remark_lines({}), "");
}

TEST(RemarkLines, NameTheInstancesOfACardInOneGo) {
  std::vector<Device> devices{card(0), card(1), card(1), card(1), card(2), card(2)};
  for (std::size_t i = 1; i < devices.size(); ++i) devices[i].instance = i < 4 ? i - 1 : i + 1;
  std::vector<Remark> remarks;
  for (const Device& device : devices) remarks.push_back({.device = device, .text = "a"});
  EXPECT_EQ(remark_lines(remarks), "  GPUs 0, 1:0 to 1:2, 2:5 to 2:6: a\n");
  devices[2].instance = 3;
  EXPECT_EQ(remark_lines(remarks), "  GPUs 0, 1:0, 1:3, 1:2, 2:5 to 2:6: a\n");
}

std::vector<VisibleList> cuda_list(const char* value) { return {{"CUDA_VISIBLE_DEVICES", value}}; }

TEST(VisibleAdvice, NamesEveryVariableThatLimits) {
  EXPECT_EQ(visible_advice({{"ROCR_VISIBLE_DEVICES", "0,1"}, {"HIP_VISIBLE_DEVICES", "2"}}),
            "ROCR_VISIBLE_DEVICES is '0,1' and HIP_VISIBLE_DEVICES is '2': unset them to choose "
            "among all GPUs");
  EXPECT_EQ(lists_text({{"A", "0"}, {"B", "\n"}}), "A=0 and B=\\n");
}

TEST(VisibleAdvice, QuotesTheValueAndFitsIt) {
  EXPECT_EQ(visible_advice(cuda_list("7")),
            "CUDA_VISIBLE_DEVICES is '7': unset it to choose among all GPUs");
  for (const char* value : {"", "-1", "NoDevFiles"}) {
    EXPECT_TRUE(has(visible_advice(cuda_list(value)), "which means no GPU")) << value;
  }
  EXPECT_FALSE(has(visible_advice(cuda_list("\x1b[2J")), "\x1b"));
}

TEST(WishText, SaysHowMany) {
  EXPECT_EQ(wish_text({.count = 1}), "1 GPU");
  EXPECT_EQ(wish_text({.count = 2}), "2 GPUs");
  EXPECT_EQ(wish_text({.count = 1, .share_mib = 8000}), "8000 MiB of a GPU");
  EXPECT_EQ(wish_text({.count = 3, .share_mib = 8000}), "8000 MiB on each of 3 GPUs");
}

TEST(Reason, OfTooLittleRoomHasBothNumbers) {
  const Device device = card(0);
  Unfit unfit{.device = device, .fit = Fit::room_low, .use = {}, .room_mib = 5000};
  EXPECT_EQ(reason(unfit, share_wish(8000), 0), "5000 MiB left to share, 8000 MiB asked for");
  unfit.room_mib = -5;
  EXPECT_EQ(reason(unfit, share_wish(8000), 0), "0 MiB left to share, 8000 MiB asked for");
}

TEST(Reason, OfASharedGpuNamesTheFirstAndCountsTheOthers) {
  const Device device = card(0);
  Claimant alice = claimant("alice", job(7, "serve", 0));
  alice.share_mib = 8000;
  Unfit unfit{
      .device = device, .fit = Fit::claimed, .use = {.claimants = {alice}, .processes = {}}};
  EXPECT_EQ(reason(unfit, wish(1), 60), "shared by alice: serve (pid 7, 1m, shares 8000 MiB)");
  unfit.use.claimants.push_back(alice);
  EXPECT_TRUE(reason(unfit, wish(1), 60).ends_with("8000 MiB) and 1 other"));
  unfit.use.claimants.push_back(alice);
  EXPECT_TRUE(reason(unfit, wish(1), 60).ends_with("8000 MiB) and 2 others"));
}

TEST(Reason, OfASharedGpuThatAdmitsOneProcessSaysSoToAShare) {
  Device device = card(0);
  device.exclusive = true;
  Claimant alice = claimant("alice", job(7, "serve", 0));
  alice.share_mib = 8000;
  const Unfit unfit{
      .device = device, .fit = Fit::claimed, .use = {.claimants = {alice}, .processes = {}}};
  EXPECT_EQ(reason(unfit, share_wish(8000), 60),
            "shared by alice: serve (pid 7, 1m, shares 8000 MiB); compute mode EXCLUSIVE_PROCESS "
            "admits no second process");
  EXPECT_EQ(reason(unfit, wish(1), 60), "shared by alice: serve (pid 7, 1m, shares 8000 MiB)");
}

TEST(Reason, OfAShareThatIsTooLargeSaysWhatThereIs) {
  Request request = share_wish(50000);
  EXPECT_EQ(never_reason(card(0), Barred::no, Fit::too_small, request),
            "45468 MiB in all, 50000 MiB asked for");
  request.outer_share_mib = 8000;
  EXPECT_EQ(never_reason(card(0), Barred::no, Fit::too_small, request),
            "8000 MiB in the share of this job, 50000 MiB asked for");
}

}  // namespace
}  // namespace gpu_gate
