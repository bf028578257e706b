#include "cli/board_text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cli/test_text.h"
#include "cli/text.h"
#include "report/test_board.h"

namespace gpu_gate {
namespace {

constexpr std::int64_t kNow = 1'000'000;

std::string plain(const Board& board) { return board_text(board, {.colour = false, .now = kNow}); }

std::string coloured(const Board& board) {
  return board_text(board, {.colour = true, .now = kNow});
}

Board board_of(std::vector<BoardRow> rows, std::vector<BoardWaiter> waiters = {}) {
  return {.rows = std::move(rows), .waiters = std::move(waiters), .holders = {}};
}

Device named(int index, const std::string& name, std::int64_t free_mib = 40000) {
  Device device = card(index, free_mib);
  device.name = name;
  device.memory_used_mib = 0;  // but what the driver keeps for itself
  return device;
}

Device unhealthy(Health health, const std::string& error = "") {
  Device device = named(0, "A");
  device.health = health;
  device.error = error;
  return device;
}

/// What the last column of the table says of the only GPU, an entry for each line.
std::vector<std::string> users_of(const BoardRow& row) {
  const std::vector<std::string> lines = lines_of(plain(board_of({row})));
  const std::size_t column = lines.at(0).find("used by");
  std::vector<std::string> users;
  for (std::size_t i = 1; i < lines.size(); ++i) users.push_back(lines[i].substr(column));
  return users;
}

/// The cells of a line, which two spaces or more keep apart.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  for (std::size_t at = line.find_first_not_of(' '); at != std::string::npos;) {
    const std::size_t end = line.find("  ", at);
    cells.push_back(line.substr(at, end == std::string::npos ? end : end - at));
    at = end == std::string::npos ? end : line.find_first_not_of(' ', end);
  }
  return cells;
}

std::string waiter_line(const BoardWaiter& waiter) {
  return lines_of(plain(board_of({board_row(card(0))}, {waiter}))).back();
}

using Texts = std::vector<std::string>;

// The GPUs.

TEST(BoardText, SaysWhatClaimAProcessStraysFrom) {
  BoardClaim claim = board_claim(5, claimant("alice", job(1, "sweep", kNow)));
  BoardProcess stray{.described = seen_process(9, "alice", "python"), .claimed = false};
  stray.strays = Claim{.ticket = 5, .uuid = "GPU-0"};
  Board board = board_of({board_row(card(0), {claim}), board_row(card(1), {}, {stray})});
  EXPECT_EQ(cells_of(lines_of(plain(board))[2]).back(), "alice: python (pid 9) strays from GPU 0");
  board.rows.erase(board.rows.begin());
  EXPECT_EQ(cells_of(lines_of(plain(board))[1]).back(),
            "alice: python (pid 9) strays from its claim on GPU-0");
}

TEST(BoardText, MarksAnIdleClaim) {
  BoardClaim claim = board_claim(5, claimant("alice", job(1, "sweep", kNow - 43200)));
  claim.idle = true;
  EXPECT_EQ(users_of(board_row(card(0), {claim})), Texts{"alice: sweep (pid 1, 12h, idle)"});
}

TEST(BoardText, SaysWhoseTheMemoryOfAGpuThatNobodyHoldsIs) {
  Device device = card(0, 36000);
  device.memory_used_mib = 9000;
  BoardRow row = board_row(device);
  EXPECT_EQ(users_of(row), Texts{"9000 MiB in use by no visible process"});
  row.freeing = true;
  EXPECT_EQ(users_of(row), Texts{"its memory is being freed"});
  row.freeing = false;
  row.claims = {board_claim(5, claimant("alice", job(1, "sweep", kNow)))};
  EXPECT_EQ(users_of(row), Texts{"alice: sweep (pid 1, 0s)"});
}

TEST(BoardText, LeavesOutAProcessThatHasEnded) {
  BoardProcess process{.described = seen_process(9, "eve", "x")};
  process.described.ended = true;
  BoardRow row = board_row(card(0), {}, {process});
  row.freeing = true;
  EXPECT_EQ(users_of(row), Texts{"its memory is being freed"});
}

TEST(BoardText, OfAMachineWithoutGpusSaysSo) {
  EXPECT_EQ(plain({}), "no GPU on this machine\n");
  EXPECT_EQ(coloured({}), plain({}));
}

TEST(BoardText, HasAColumnForEachFact) {
  Device device = named(3, "NVIDIA L40S", 44211);
  device.utilization_pct = 7;
  const Texts lines = lines_of(plain(board_of({board_row(device)})));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(cells_of(lines[0]), (Texts{"idx", "name", "free", "total", "util", "used by"}));
  EXPECT_EQ(cells_of(lines[1]), (Texts{"3", "NVIDIA L40S", "44211 MiB", "46068 MiB", "7%", "-"}));
}

TEST(BoardText, ShowsADashForWhatTheDriverCannotTell) {
  Device device;
  const Texts lines = lines_of(plain(board_of({board_row(device)})));
  EXPECT_EQ(cells_of(lines.at(1)), (Texts{"0", "?", "-", "-", "-", "-"}));
}

TEST(BoardText, TellsAnIdleGpuFromOneOfUnknownUtilisation) {
  Device device = named(0, "A");
  device.utilization_pct = 0;
  EXPECT_EQ(cells_of(lines_of(plain(board_of({board_row(device)}))).at(1)).at(4), "0%");
  device.utilization_pct.reset();
  EXPECT_EQ(cells_of(lines_of(plain(board_of({board_row(device)}))).at(1)).at(4), "-");
}

TEST(BoardText, ShowsAFullGpuAsZeroFreeAndNotAsUnknown) {
  EXPECT_EQ(cells_of(lines_of(plain(board_of({board_row(named(0, "A", 0))}))).at(1)).at(2),
            "0 MiB");
}

TEST(BoardText, AlignsNumbersToTheRightAndWordsToTheLeft) {
  Device small = named(9, "A", 1);
  small.utilization_pct = 100;
  const Texts lines =
      lines_of(plain(board_of({board_row(small), board_row(named(10, "Long", 44444))})));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "  idx  name       free      total  util  used by");
  EXPECT_EQ(lines[1], "    9  A         1 MiB  46068 MiB  100%  -");
  EXPECT_EQ(lines[2], "   10  Long  44444 MiB  46068 MiB    0%  -");
}

TEST(BoardText, AlignsByCharactersAndNotByBytes) {
  const Texts lines =
      lines_of(plain(board_of({board_row(named(0, "Größe µ")), board_row(named(1, "Groesse"))})));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1].substr(lines[1].find("Größe µ") + std::string("Größe µ").size()),
            lines[2].substr(lines[2].find("Groesse") + std::string("Groesse").size()));
}

TEST(BoardText, LeavesNoSpaceAtTheEndOfALine) {
  const Board board = board_of(
      {board_row(card(0), {board_claim(1, claimant("a"))}), board_row(named(1, "a name"), {}, {})},
      {board_waiter("bob", job(5, "x"), wish(1))});
  for (const std::string& line : lines_of(plain(board))) EXPECT_NE(line.back(), ' ') << line;
}

TEST(BoardText, KeepsTheOrderOfTheGpus) {
  const Texts lines =
      lines_of(plain(board_of({board_row(card(0)), board_row(card(1)), board_row(card(12))})));
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(cells_of(lines[1])[0], "0");
  EXPECT_EQ(cells_of(lines[2])[0], "1");
  EXPECT_EQ(cells_of(lines[3])[0], "12");
}

TEST(BoardText, CutsNoLongText) {
  const std::string command(3000, 'x');
  const std::string name(200, 'n');
  const BoardRow row =
      board_row(named(0, name), {board_claim(1, claimant("alice", job(7, command, kNow)))});
  EXPECT_TRUE(has(plain(board_of({row})), command));
  EXPECT_TRUE(has(plain(board_of({row})), name));
}

TEST(BoardText, NeverLetsAStrangersTextReachTheTerminal) {
  const std::string hostile = "\x1b[2J\r\n\t\x07\x7f\xff\xe2\x80\xae\xc2\x9b";
  const BoardRow row =
      board_row(named(0, hostile), {board_claim(1, claimant(hostile, job(7, hostile, kNow)))},
                {{.described = seen_process(8, hostile, hostile), .claimed = false}});
  Device lost = unhealthy(Health::lost, hostile);
  const std::string text =
      plain(board_of({row, board_row(lost)}, {board_waiter(hostile, job(9, hostile), wish(1))}));
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c == '\n' || (c >= 0x20 && c < 0x7F);
  })) << text;
  EXPECT_EQ(lines_of(text).size(), 6U) << "a line break of a name made another line";
  EXPECT_TRUE(has(text, "\\x1b[2J")) << text;
}

// Who is on a GPU.

TEST(BoardText, NamesTheJobOfAClaimAndSinceWhen) {
  const BoardRow row = board_row(
      card(0), {board_claim(5, claimant("alice", job(4242, "python train.py", kNow - 7980)))});
  EXPECT_EQ(users_of(row), Texts{"alice: python train.py (pid 4242, 2h13m)"});
}

TEST(BoardText, NamesTheUserOfAClaimThatHasNoRecord) {
  const Texts users = users_of(board_row(card(0), {board_claim(5, claimant("alice"))}));
  ASSERT_EQ(users.size(), 1U);
  EXPECT_TRUE(users[0].starts_with("alice")) << users[0];
  EXPECT_TRUE(has(users[0], "without a record")) << users[0];
}

TEST(BoardText, TellsOfAShareHowMuchItIsAndHowMuchIsUsed) {
  BoardRow row = board_row(card(0), {board_claim(5, claimant("alice", job(1, "serve", kNow))),
                                     board_claim(6, claimant("bob", job(2, "eval", kNow)))});
  row.claims[0].claimant.share_mib = 8000;
  row.claims[0].used_mib = 7410;
  row.claims[1].claimant.share_mib = 4000;
  row.claims[1].used_mib = 4001;
  EXPECT_EQ(users_of(row), (Texts{"alice: serve (pid 1, 0s, shares 8000 MiB, uses 7410)",
                                  "bob: eval (pid 2, 0s, shares 4000 MiB but uses 4001)"}));
}

TEST(BoardText, PutsClaimsInsideAClaimUnderIt) {
  BoardRow row = board_row(card(0), {board_claim(5, claimant("alice", job(1, "sweep", kNow))),
                                     board_claim(6, claimant("alice", job(2, "one", kNow))),
                                     board_claim(7, claimant("alice", job(3, "two", kNow)))});
  row.claims[1].inside = row.claims[2].inside = true;
  EXPECT_EQ(users_of(row), (Texts{"alice: sweep (pid 1, 0s)", "  inside it, alice: one (pid 2, 0s)",
                                  "  inside it, alice: two (pid 3, 0s)"}));
}

TEST(BoardText, NamesEveryProcessThatHasNoClaim) {
  DeviceProcess large = seen_process(7, "bob", "julia");
  large.process.memory_mib = 300;
  const BoardRow row = board_row(card(0), {},
                                 {{.described = large, .claimed = false},
                                  {.described = seen_process(8, "eve", "./x"), .claimed = false}});
  EXPECT_EQ(users_of(row),
            (Texts{"bob: julia (pid 7, 300 MiB) (no claim)", "eve: ./x (pid 8) (no claim)"}));
}

TEST(BoardText, LeavesOutTheProcessesOfAClaim) {
  const BoardRow row =
      board_row(card(0), {board_claim(5, claimant("alice", job(1, "sweep", kNow)))},
                {{.described = seen_process(1, "alice", "sweep"), .claimed = true},
                 {.described = seen_process(9, "eve", "./x"), .claimed = false}});
  EXPECT_EQ(users_of(row), (Texts{"alice: sweep (pid 1, 0s)", "eve: ./x (pid 9) (no claim)"}));
}

TEST(BoardText, MarksGraphicsAndBlamesItForNothing) {
  DeviceProcess server = seen_process(7, "root", "Xorg");
  server.process.graphics = true;
  const Texts users = users_of(board_row(card(0), {}, {{.described = server, .claimed = false}}));
  EXPECT_EQ(users, Texts{"root: Xorg (pid 7) (graphics)"});
}

TEST(BoardText, MarksAnMpsServerAndBlamesItForNothing) {
  DeviceProcess server = seen_process(7, "root", "nvidia-cuda-mps-server");
  server.process.mps_server = true;
  const BoardRow row = board_row(card(0), {}, {{.described = server, .claimed = false}});
  EXPECT_EQ(users_of(row), Texts{"root: nvidia-cuda-mps-server (pid 7) (MPS server)"});
  EXPECT_TRUE(has(coloured(board_of({row})), "\x1b[32m"));
}

TEST(BoardText, NamesAProcessThatCannotBeSeenByItsPid) {
  const Texts users =
      users_of(board_row(card(0), {}, {{.described = hidden_process(77), .claimed = false}}));
  EXPECT_EQ(users, Texts{"pid 77 (no claim)"});
}

TEST(BoardText, SaysWhyAGpuCannotBeUsedAheadOfWhoIsOnIt) {
  for (const Health health : {Health::lost, Health::reset_required, Health::prohibited, Health::mig,
                              Health::unreadable}) {
    const Device device = unhealthy(health);
    const Texts users =
        users_of(board_row(device, {board_claim(5, claimant("alice", job(1, "x", kNow)))}));
    EXPECT_EQ(users, (Texts{health_text(device), "alice: x (pid 1, 0s)"}));
  }
}

TEST(BoardText, SaysWhatAGpuWaitsForAheadOfWhoIsOnIt) {
  Device device = card(0);
  for (const Repair repair :
       {Repair::remap_pending, Repair::retire_pending, Repair::remap_failed}) {
    device.repair = repair;
    const Texts users =
        users_of(board_row(device, {board_claim(5, claimant("alice", job(1, "x", kNow)))}));
    EXPECT_EQ(users, (Texts{repair_text(device), "alice: x (pid 1, 0s)"}));
  }
}

TEST(BoardText, ShowsTheDriversOwnWordsForALostGpu) {
  const Texts users = users_of(board_row(unhealthy(Health::lost, "GPU is lost (15)")));
  ASSERT_EQ(users.size(), 1U);
  EXPECT_TRUE(has(users[0], "GPU is lost (15)")) << users[0];
}

TEST(BoardText, ShowsTheFactsOfAGpuOnlyOnItsFirstLine) {
  const BoardRow row = board_row(named(3, "L40S"), {board_claim(5, claimant("alice"))},
                                 {{.described = seen_process(9, "eve", "./x"), .claimed = false}});
  const Texts lines = lines_of(plain(board_of({row})));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(cells_of(lines[2]), Texts{"eve: ./x (pid 9) (no claim)"});
  EXPECT_EQ(lines[2].find("eve"), lines[0].find("used by"));
}

// Colours.

TEST(BoardText, HasColoursOnlyWhereTheyAreAskedFor) {
  const Board board = board_of({board_row(card(0))});
  EXPECT_FALSE(has(plain(board), "\x1b"));
  EXPECT_TRUE(has(coloured(board), "\x1b[32m"));
}

TEST(BoardText, ColoursAGpuByItsState) {
  constexpr const char* kRed = "\x1b[31m";
  constexpr const char* kGreen = "\x1b[32m";
  constexpr const char* kYellow = "\x1b[33m";
  constexpr const char* kMagenta = "\x1b[35m";
  DeviceProcess server = seen_process(7, "root", "Xorg");
  server.process.graphics = true;
  const BoardClaim claim = board_claim(5, claimant("alice"));
  const BoardProcess compute{.described = seen_process(9, "eve", "x"), .claimed = false};
  const BoardProcess graphics{.described = server, .claimed = false};
  const std::vector<std::pair<BoardRow, const char*>> expected{
      {board_row(card(0)), kGreen},
      {board_row(card(0), {}, {graphics}), kGreen},
      {board_row(card(0), {}, {graphics, compute}), kMagenta},
      {board_row(card(0), {claim}, {compute}), kYellow},
      {board_row(unhealthy(Health::lost), {claim}, {compute}), kRed},
      {board_row(unhealthy(Health::mig)), "\x1b[2m"},
  };
  for (const auto& [row, colour] : expected) {
    const Texts lines = lines_of(coloured(board_of({row})));
    for (std::size_t i = 1; i < lines.size(); ++i) {
      EXPECT_TRUE(lines[i].starts_with(colour)) << i << ": " << lines[i];
      EXPECT_TRUE(lines[i].ends_with("\x1b[0m")) << "the colour runs on: " << lines[i];
    }
  }
}

TEST(BoardText, LeavesTheHeadAndTheWaitersWithoutAColour) {
  const Texts lines = lines_of(
      coloured(board_of({board_row(card(0))}, {board_waiter("bob", job(5, "x", kNow), wish(1))})));
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_FALSE(has(lines[0], "\x1b"));
  EXPECT_FALSE(has(lines[2] + lines[3], "\x1b"));
}

TEST(BoardText, DrawsAsMuchOfTheBarAsMemoryIsTaken) {
  const std::vector<std::pair<std::int64_t, int>> cells{{1000, 0}, {951, 0}, {950, 1}, {501, 5},
                                                        {500, 5},  {450, 6}, {50, 10}, {0, 10}};
  for (const auto& [free_mib, taken] : cells) {
    Device device = card(0, free_mib);
    device.memory_total_mib = 1000;
    const std::string text = coloured(board_of({board_row(device)}));
    EXPECT_EQ(times(text, "█"), taken) << free_mib;
    EXPECT_EQ(times(text, "░"), 10 - taken) << free_mib;
  }
}

TEST(BoardText, KeepsTheColumnsUnderEachOtherBesideTheBar) {
  Device unknown = named(1, "A");
  unknown.memory_total_mib = 0;
  const Texts lines = lines_of(coloured(board_of({board_row(named(0, "A")), board_row(unknown)})));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(has(lines[0], "memory"));
  EXPECT_EQ(times(lines[2], "█") + times(lines[2], "░"), 0) << lines[2];
  const auto column_of_users = [](const std::string& line) {
    const std::string before = line.substr(0, line.rfind("-"));
    return std::count_if(before.begin(), before.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  };
  EXPECT_EQ(column_of_users(lines[1]), column_of_users(lines[2]));
}

TEST(BoardText, SaysThatAGpuIsClosedAndWhoHoldsItAllTheSame) {
  Device closed = card(0);
  closed.accessible = false;
  EXPECT_EQ(users_of(board_row(closed)), Texts{"closed to you"});
  EXPECT_EQ(users_of(board_row(closed, {board_claim(5, claimant("a", job(1, "x", kNow)))})),
            (Texts{"closed to you", "a: x (pid 1, 0s)"}));
  closed.health = Health::unreadable;
  closed.error = "nvmlDeviceGetHandleByIndex: Insufficient Permissions (NVML 4)";
  EXPECT_EQ(users_of(board_row(closed)), Texts{"closed to you"});
  closed.health = Health::mig;
  EXPECT_EQ(users_of(board_row(closed)).size(), 2U);
}

TEST(BoardText, ShowsWhatIsClaimedByUuidWhereTheDriverCannotBeRead) {
  Device device;
  device.index = -1;
  device.uuid = "GPU-3f2a";
  device.health = Health::unreadable;
  device.error = "no driver";
  Board board = board_of({board_row(device, {board_claim(5, claimant("a", job(1, "x", kNow)))})});
  board.devices_read = false;
  EXPECT_EQ(cells_of(lines_of(plain(board)).at(1)),
            (Texts{"?", "GPU-3f2a", "-", "-", "-", "a: x (pid 1, 0s)"}));
  board.rows.clear();
  EXPECT_EQ(plain(board), "");
}

// Who waits.

TEST(BoardText, SaysNothingOfALineInWhichNobodyStands) {
  EXPECT_FALSE(has(plain(board_of({board_row(card(0))})), "waiting"));
}

TEST(BoardText, CountsAndNumbersThoseWhoWait) {
  std::vector<BoardWaiter> waiters(11, board_waiter("bob", job(5, "x", kNow), wish(1)));
  const Texts lines = lines_of(plain(board_of({board_row(card(0))}, waiters)));
  ASSERT_EQ(lines.size(), 14U);
  EXPECT_TRUE(has(lines[2], "waiting: 11")) << lines[2];
  EXPECT_EQ(cells_of(lines[3])[0], "1");
  EXPECT_EQ(cells_of(lines[13])[0], "11");
  EXPECT_EQ(lines[3].find("bob"), lines[13].find("bob"));
}

TEST(BoardText, ShowsAWaiterWithWhatItWantsAndForHowLong) {
  Request request = wish(2);
  request.criteria.min_free_mib = 8000;
  EXPECT_EQ(cells_of(waiter_line(
                board_waiter("bob", job(5151, "python eval.py", kNow - 12 * 60), request))),
            (Texts{"1", "bob", "2 GPUs, 8000 MiB free", "12m", "python eval.py (pid 5151)"}));
}

TEST(BoardText, ShowsANoteBesideTheUserOfAWaiter) {
  Owner owner = job(5151, "x", kNow);
  owner.note = "bert\n";
  EXPECT_EQ(cells_of(waiter_line(board_waiter("bob", owner, wish(1)))).at(1), "bob (bert\\n)");
}

TEST(BoardText, CutsANoteWhereThereIsNoRoomAndNeverTheUserNorThePid) {
  Owner owner = job(4194304, "python train.py --config large.yaml", kNow - 3600);
  owner.note = std::string(64, 'n');
  const Board board = board_of(
      {board_row(named(0, "NVIDIA L40S"), {board_claim(5, claimant("maximilian", owner))})},
      {board_waiter("maximilian", owner, wish(2))});
  for (const std::size_t width : {80U, 100U, 120U, 200U}) {
    const Texts lines =
        lines_of(board_text(board, {.colour = false, .utf8 = false, .width = width, .now = kNow}));
    int named_with_pid = 0;
    for (const std::string& line : lines) {
      EXPECT_LE(line.size(), width) << line;
      named_with_pid += has(line, "maximilian (nnn") && has(line, "4194304") && has(line, "1h");
    }
    EXPECT_EQ(named_with_pid, 2) << width << lines.at(1);
  }
  const std::string wide =
      board_text(board, {.colour = false, .utf8 = true, .width = 250, .now = kNow});
  EXPECT_EQ(times(wide, "(" + owner.note + ")"), 2) << wide;
}

TEST(BoardText, PutsEachCriterionIntoWords) {
  const auto wanted = [](const Request& request) {
    return cells_of(waiter_line(board_waiter("bob", job(5, "x"), request))).at(2);
  };
  Request request = wish(1);
  EXPECT_EQ(wanted(request), "1 GPU");
  request.criteria.max_util_pct = 0;
  EXPECT_EQ(wanted(request), "1 GPU, at most 0% busy");
  request.criteria.min_free_mib = 0;
  EXPECT_EQ(wanted(request), "1 GPU, 0 MiB free, at most 0% busy");
}

TEST(BoardText, MarksAWaiterThatIsStopped) {
  BoardWaiter waiter = board_waiter("bob", job(5, "x", kNow), wish(1));
  waiter.stopped = true;
  EXPECT_TRUE(waiter_line(waiter).ends_with("x (pid 5, stopped)"));
}

TEST(BoardText, GivesThoseInsideAClaimNoPlaceInTheLineOfAll) {
  Request nested = wish(1);
  nested.within = 4;
  const Texts lines =
      lines_of(plain(board_of({board_row(card(0))}, {board_waiter("a", job(5, "x"), wish(1)),
                                                     board_waiter("b", job(6, "x"), nested),
                                                     board_waiter("c", job(7, "x"), wish(1))})));
  ASSERT_EQ(lines.size(), 6U);
  EXPECT_EQ(cells_of(lines[3]).at(0), "1");
  EXPECT_EQ(cells_of(lines[4]).at(0), "-");
  EXPECT_TRUE(has(cells_of(lines[4]).at(2), "inside")) << lines[4];
  EXPECT_EQ(cells_of(lines[5]).at(0), "2");
}

TEST(BoardText, SaysInOneLineThatTheFirstInLineKeepsTheDriverOpen) {
  Board board = board_of({board_row(card(0))}, {board_waiter("a", job(5, "x"), wish(1))});
  EXPECT_FALSE(has(plain(board), "persistence"));
  board.driver_kept_open = true;
  const Texts lines = lines_of(plain(board));
  ASSERT_EQ(lines.size(), 5U);
  EXPECT_TRUE(has(lines[4], "persistence mode is off")) << lines[4];
}

TEST(QueueText, HasTheLinesOfTheBoardBelowAHeading) {
  EXPECT_EQ(queue_text({}, {}), "nobody waits\n");
  const Board board = board_of(
      {board_row(card(0))}, {board_waiter("bob", job(5151, "python eval.py", kNow - 720), wish(2)),
                             board_waiter("carolina", job(7, "x", kNow), wish(1))});
  const Texts lines = lines_of(queue_text(board, {.now = kNow}));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(cells_of(lines[0]), (Texts{"place", "user", "wants", "waited", "command"}));
  EXPECT_EQ(cells_of(lines[1]), (Texts{"1", "bob", "2 GPUs", "12m", "python eval.py (pid 5151)"}));
  EXPECT_EQ(lines[0].find("command"), lines[2].find("x (pid 7)"));
}

TEST(QueueText, IsNoWiderThanTheTerminal) {
  const Board board =
      board_of({}, {board_waiter("bob", job(5151, std::string(200, 'x'), kNow), wish(2))});
  for (const std::string& line : lines_of(queue_text(board, {.width = 60, .now = kNow}))) {
    EXPECT_LE(line.size(), 62U) << line;  // an ellipsis has three bytes
  }
}

TEST(WaitingReason, NamesEachGpuThatIsNotToBeHad) {
  const Board board =
      board_of({board_row(card(0), {board_claim(5, claimant("alice", job(1, "x", kNow)))}),
                board_row(card(1)), board_row(card(2)), board_row(card(3))});
  BoardWaiter waiter = board_waiter("bob", job(5, "x", kNow), wish(2));
  EXPECT_EQ(waiting_reason(waiter, board, kNow), "");
  waiter.fits = std::vector<Fit>{Fit::claimed, Fit::not_allowed, Fit::not_allowed, Fit::over_limit};
  EXPECT_EQ(waiting_reason(waiter, board, kNow),
            "GPU 0: claimed by alice: x (pid 1, 0s); GPUs 1-2: not among those that it may have; "
            "GPU 3: free, but its user would hold more than one may (max-per-user)");
  waiter.its_turn = true;
  EXPECT_EQ(waiting_reason(waiter, board, kNow), "it is its turn");
  waiter.stopped = true;
  EXPECT_TRUE(has(waiting_reason(waiter, board, kNow), "stopped"));
}

TEST(BoardText, ShowsNoNegativeTimeWhereAClockWasWrong) {
  EXPECT_EQ(cells_of(waiter_line(board_waiter("bob", job(5, "x", kNow + 100), wish(1)))).at(3),
            "0s");
  const BoardRow row = board_row(card(0), {board_claim(5, claimant("a", job(1, "x", kNow + 100)))});
  EXPECT_EQ(users_of(row), Texts{"a: x (pid 1, 0s)"});
}

}  // namespace
}  // namespace gpu_gate
