#include "cli/watch_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <regex>

#include "cli/columns.h"
#include "cli/test_text.h"
#include "report/test_board.h"

namespace gpu_gate {
namespace {

using Picture = std::vector<std::string>;

constexpr std::int64_t kWatchNow = 1'000'000;
constexpr uid_t kAlice = 1001;
constexpr uid_t kBob = 1002;

/// In a locale with UTF-8 as long as a test runs.
class Frame : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr); }
  void TearDown() override { std::setlocale(LC_CTYPE, "C"); }
};

BoardClaim claim_by(Ticket ticket, const std::string& user, uid_t uid, const std::string& command) {
  BoardClaim claim = board_claim(ticket, claimant(user, job(4242, command, kWatchNow - 7980)));
  claim.claimant.uid = uid;
  return claim;
}

BoardWaiter in_line(Ticket ticket, const std::string& user, uid_t uid, int count,
                    const std::string& command = "python sweep.py") {
  BoardWaiter waiter = board_waiter(
      user, job(static_cast<pid_t>(6000 + ticket), command, kWatchNow - 720), wish(count));
  waiter.place.ticket = ticket;
  waiter.record.owner.uid = uid;
  return waiter;
}

Device l40s_with(int index, std::int64_t free_mib, int busy_pct) {
  Device device = card(index, free_mib);
  device.name = "NVIDIA L40S";
  device.utilization_pct = busy_pct;
  return device;
}

/// The machine of the sketch: two GPUs of one job, one kept, one of bob's.
Board lab() {
  Board board{
      .rows =
          {board_row(l40s_with(0, 25468, 90),
                     {claim_by(5, "alice", kAlice, "torchrun --standalone --nproc 2 train.py")}),
           board_row(l40s_with(1, 45468, 0)),
           board_row(l40s_with(2, 25468, 90),
                     {claim_by(5, "alice", kAlice, "torchrun --standalone --nproc 2 train.py")}),
           board_row(l40s_with(3, 468, 0), {claim_by(6, "bob", kBob, "jupyter-lab --no-browser")})},
      .waiters = {in_line(1, "carol", 1003, 2, "python pretrain.py"),
                  in_line(2, "bob", kBob, 1, "python sweep.py --seed 1"),
                  in_line(3, "bob", kBob, 1, "python sweep.py --seed 2"),
                  in_line(4, "bob", kBob, 1, "python sweep.py --seed 3")},
      .holders = {}};
  board.rows[1].kept_for = 1;
  return board;
}

struct Shot {
  std::size_t width = 80;
  std::size_t height = 24;
  WatchChoice choice = {};
  bool colour = false;
  bool utf8 = true;
  std::vector<std::string> troubles = {};
  const Trends* trends = nullptr;
};

WatchFrame frame_of(const Board& board, const Shot& shot) {
  return watch_frame(
      {.scene = {.board = board,
                 .trends = shot.trends,
                 .now = kWatchNow,
                 .me = kAlice,
                 .style = {.colour = shot.colour, .utf8 = shot.utf8, .width = shot.width}},
       .choice = shot.choice,
       .height = shot.height,
       .host = "lab-4",
       .clock = "14:03:27",
       .troubles = shot.troubles});
}

Picture picture(const Board& board, const Shot& shot = {}) { return frame_of(board, shot).lines; }

std::string whole_picture(const Board& board, const Shot& shot = {}) {
  std::string text;
  for (const std::string& line : picture(board, shot)) text += line + "\n";
  return text;
}

/// Without colours.
std::string bare(const std::string& line) {
  static const std::regex colour("\x1b\\[[0-9]*m");
  return std::regex_replace(line, colour, "");
}

/// The first line from this one on that begins with this word.
std::string line_from(Picture::const_iterator from, const Picture& lines, const std::string& word) {
  const auto found = std::find_if(from, lines.end(), [&](const std::string& line) {
    return std::regex_search(line, std::regex("^ *" + word + " "));
  });
  return found == lines.end() ? "" : *found;
}
std::string gpu_row(const Picture& lines, int index) {
  return line_from(lines.begin(), lines, std::to_string(index));
}
std::string line_row(const Picture& lines, const std::string& place) {
  const auto head = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
    return line.starts_with(" line ") || line.starts_with("  line ");
  });
  return line_from(head, lines, place);
}

constexpr std::array<std::pair<std::size_t, std::size_t>, 8> kSizes{
    {{40, 10}, {80, 24}, {100, 30}, {200, 60}, {20, 3}, {1, 1}, {300, 2}, {61, 11}}};

/// A board on which all that is shown is hostile, wide, or too much.
Board crowded() {
  const std::string hostile =
      "\x1b[2J\x1b]0;title\x07\r\n\tA\xff\xe2\x80\xae训练训练训练 e\u0301e\u0301e\u0301";
  Board board{.rows = {}, .waiters = {}, .holders = {}};
  for (int i = 0; i < 20; ++i) {
    Device device = l40s_with(i, 25468 - i * 1000, 5 * i);
    device.name = hostile;
    BoardRow row = board_row(device);
    for (int k = 0; k < i % 4; ++k) {
      row.claims.push_back(claim_by(static_cast<Ticket>(100 + i * 4 + k), hostile, kBob,
                                    hostile + std::string(300, 'x')));
      row.claims.back().claimant.share_mib = 8000;
    }
    if (i % 5 == 0) row.processes = {{.described = seen_process(8, hostile, hostile)}};
    if (i == 7) row.device.health = Health::lost;
    if (i == 7) row.device.error = hostile;
    if (i == 11) row.device.accessible = false;
    board.rows.push_back(row);
  }
  for (Ticket i = 1; i < 60; ++i) {
    board.waiters.push_back(
        in_line(i, hostile, static_cast<uid_t>(i), static_cast<int>(i % 3) + 1, hostile));
  }
  board.rows[19].kept_for = 3;
  return board;
}

bool all_of_bytes(const std::string& text, bool (*holds)(unsigned char)) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return holds(static_cast<unsigned char>(c)); });
}

TEST_F(Frame, FillsTheTerminalAndNoMoreWhateverIsShown) {
  const Board busy = crowded();
  for (const Board& board : {busy, lab(), Board{}}) {
    for (const auto& [width, height] : kSizes) {
      // All choices, or each of them with some of the others.
      for (int choices = 0; choices < 32; choices += GPU_GATE_SEEDS_IN_TEN < 10 ? 3 : 1) {
        const Shot shot{.width = width,
                        .height = height,
                        .choice = {.mine = (choices & 1) != 0,
                                   .whole = (choices & 2) != 0,
                                   .frozen = (choices & 4) != 0,
                                   .legend = (choices & 24) == 24,
                                   .from = (choices & 8) != 0 ? std::size_t{7} : std::size_t{0}},
                        .colour = (choices & 16) != 0,
                        .utf8 = (choices & 1) == 0,
                        .troubles = {"the driver is away\x1b[2J"}};
        const Picture lines = picture(board, shot);
        ASSERT_EQ(lines.size(), height);
        for (const std::string& line : lines) {
          const std::string text = bare(line);
          ASSERT_LE(columns(text), width) << text;
          ASSERT_TRUE(all_of_bytes(text, [](unsigned char c) { return c >= 0x20; })) << text;
          if (!shot.colour) {
            ASSERT_EQ(text, line);
          }
          if (shot.utf8) continue;
          ASSERT_TRUE(all_of_bytes(text, [](unsigned char c) { return c < 0x7F; })) << text;
        }
      }
    }
  }
}

TEST_F(Frame, SaysAllThatTheSketchSays) {
  const Picture lines = picture(lab());
  EXPECT_EQ(lines[0],
            " lab-4   4 x NVIDIA L40S 45 GiB   0 free   4 waiting                   14:03:27");
  EXPECT_EQ(lines[2], " GPU  memory      used/GiB  util  state  since  who     pid  command");
  EXPECT_EQ(lines[3],
            "   0  ████░░░░░░      19.5   90%  held   2h13m  alice  4242  torchrun --standal…");
  EXPECT_EQ(lines[4], "   1  ░░░░░░░░░░       0.0    0%  kept          for place 1");
  EXPECT_EQ(lines[5], "   2  ████░░░░░░      19.5   90%  held   2h13m  alice  4242  = GPU 0");
  EXPECT_EQ(lines[8], " line  who    wants           waited   pid  command");
  EXPECT_EQ(lines[9], "    1  carol  2 GPUs, 1 kept     12m  6001  python pretrain.py");
  EXPECT_EQ(lines[10], "  2-4  bob    1 GPU each         12m  6002  python sweep.py --seed 1 (+2)");
  EXPECT_EQ(lines[23], " q quit   m mine   ↑↓ scroll   space freeze   w whole commands   ? legend");
}

TEST_F(Frame, BeginsARowWithTheIndexAndHasTheStateWordAtEachSize) {
  for (const auto& [width, height] : {std::pair{40, 10}, {80, 24}, {100, 30}, {200, 60}}) {
    const Picture lines = picture(lab(), {.width = static_cast<std::size_t>(width),
                                          .height = static_cast<std::size_t>(height)});
    EXPECT_TRUE(has(gpu_row(lines, 0), " held ")) << width;
    EXPECT_TRUE(has(gpu_row(lines, 1), "kept") && has(gpu_row(lines, 1), "for place 1")) << width;
    EXPECT_TRUE(has(gpu_row(lines, 3), " bob")) << width;
  }
}

TEST_F(Frame, CountsWhatDoesNotFit) {
  Board board = lab();
  for (int i = 4; i < 16; ++i) board.rows.push_back(board_row(l40s_with(i, 45468, 0)));
  board.waiters.push_back(in_line(5, "dave", 1004, 1));
  const std::string text = whole_picture(board, {.width = 40, .height = 10});
  EXPECT_TRUE(has(text, "... 13 more GPUs\n")) << text;
  EXPECT_TRUE(has(text, "... 4 more requests in line\n")) << "a group counts as all its requests";
  EXPECT_FALSE(has(whole_picture(board), "more"));
}

TEST_F(Frame, ScrollsThroughTheGpusAndThenTheLine) {
  Board board = lab();
  for (int i = 4; i < 16; ++i) board.rows.push_back(board_row(l40s_with(i, 45468, 0)));
  Shot shot{.width = 40, .height = 10};
  const std::size_t last = frame_of(board, shot).last;
  shot.choice.from = 1;
  EXPECT_TRUE(has(whole_picture(board, shot), "... 13 more GPUs, 1 of them above"));
  shot.choice.from = last;
  const std::string text = whole_picture(board, shot);
  EXPECT_TRUE(has(text, "\n  15 ") && has(text, "more GPUs above") && has(text, "2-4  bob"))
      << text;
}

TEST_F(Frame, GivesEmptyLinesUpFirst) {
  Board board = lab();
  EXPECT_EQ(picture(board, {.height = 24})[1], "");
  EXPECT_TRUE(has(picture(board, {.height = 10})[1], "GPU"));
}

TEST_F(Frame, HidesEveryRowAndNameOfOthers) {
  Board board = lab();
  board.rows[0].claims.push_back(claim_by(7, "bob", kBob, "beside alice"));
  board.rows.push_back(
      board_row(l40s_with(4, 20000, 0), {}, {{.described = seen_process(8, "mallory", "x")}}));
  const std::string text = whole_picture(board, {.choice = {.mine = true}});
  for (const char* other : {"bob", "carol", "mallory", "jupyter", "sweep", "beside", "pretrain"}) {
    EXPECT_FALSE(has(text, other)) << other;
  }
  EXPECT_TRUE(has(text, "alice") && has(text, "mine only") && has(text, "m all"));
  EXPECT_FALSE(has(text, "\n   3 ") || has(text, "\n   4 "));
}

TEST_F(Frame, ShowsWholeCommandsBelow) {
  Board board = lab();
  board.rows[0].claims[0].claimant.job->command = "python " + std::string(150, 'a') + " end";
  EXPECT_FALSE(has(whole_picture(board), "aaa end"));
  const Picture lines = picture(board, {.choice = {.whole = true}});
  EXPECT_EQ(lines[3], "   0  ████░░░░░░      19.5   90%  held   2h13m  alice  4242");
  EXPECT_EQ(lines[4] + lines[5].substr(6) + lines[6].substr(6),
            "      " + board.rows[0].claims[0].claimant.job->command);
}

TEST_F(Frame, ShowsAllWhoShareAGpuWhileThereIsRoomAndElseHowMany) {
  Board board = lab();
  board.rows[3].claims = {claim_by(6, "bob", kBob, "a"), claim_by(7, "carol", 1003, "b"),
                          claim_by(8, "dave", 1004, "c")};
  for (BoardClaim& claim : board.rows[3].claims) claim.claimant.share_mib = 8192;
  board.rows[3].claims[0].used_mib = 9216;
  const std::string text = whole_picture(board, {.width = 100});
  EXPECT_TRUE(has(text, "a (8 GiB, but uses 9)") && has(text, "b (8 GiB, uses 0)") &&
              has(text, "dave"));
  const Picture small = picture(board, {.height = 10});
  EXPECT_TRUE(has(gpu_row(small, 3), "a (+2)")) << gpu_row(small, 3);
}

TEST_F(Frame, TellsEqualRequestsOfOthersBetweenFromThoseInARow) {
  Board board = lab();
  board.waiters = {in_line(1, "bob", kBob, 1), in_line(2, "carol", 1003, 1),
                   in_line(3, "bob", kBob, 1), in_line(4, "carol", 1003, 1)};
  const Picture lines = picture(board);
  EXPECT_TRUE(has(line_row(lines, "1…3"), "bob"));
  EXPECT_TRUE(has(line_row(lines, "2…4"), "carol"));
}

TEST_F(Frame, KeepsUnequalRequestsOfOneUserApart) {
  Board board = lab();
  board.waiters = {in_line(1, "bob", kBob, 1), in_line(2, "bob", kBob, 2),
                   in_line(3, "bob", kBob, 1)};
  board.waiters[2].record.request.criteria.min_free_mib = 24576;
  const Picture lines = picture(board);
  EXPECT_TRUE(has(line_row(lines, "1"), "1 GPU") &&
              has(line_row(lines, "3"), "1 GPU, 24 GiB free"));
  EXPECT_TRUE(has(line_row(lines, "2"), "2 GPUs"));
}

TEST_F(Frame, TellsWhyAGpuIsNotToBeHad) {
  Board board = lab();
  board.rows[0].claims.clear();
  board.rows[0].device = l40s_with(0, 36468, 0);
  board.rows[1].device.accessible = false;
  board.rows[1].kept_for = 0;
  board.rows[2].claims.clear();
  board.rows[2].device.health = Health::prohibited;
  board.rows[3] = board_row(l40s_with(3, 20000, 0), {},
                            {{.described = seen_process(77, "mallory", "python x.py")}});
  const Picture lines = picture(board, {.width = 100});
  EXPECT_TRUE(has(gpu_row(lines, 0), "other") &&
              has(gpu_row(lines, 0), "9000 MiB in use by no visible process"));
  EXPECT_TRUE(has(gpu_row(lines, 1), "other") && has(gpu_row(lines, 1), "closed to you"));
  EXPECT_TRUE(has(gpu_row(lines, 2), "broken") && has(gpu_row(lines, 2), "PROHIBITED"));
  EXPECT_TRUE(has(gpu_row(lines, 3), "other") && has(gpu_row(lines, 3), "mallory") &&
              has(gpu_row(lines, 3), "python x.py (no claim)"));
}

TEST_F(Frame, NamesTheGpusWhereTheyDiffer) {
  Board board = lab();
  board.rows[3].device.name = "NVIDIA A100";
  board.rows[3].device.memory_total_mib = 81920;
  const Picture lines = picture(board, {.width = 120});
  EXPECT_TRUE(has(lines[0], "3 x NVIDIA L40S 45 GiB, 1 x NVIDIA A100 80 GiB"));
  EXPECT_TRUE(has(gpu_row(lines, 3), "NVIDIA A100") && has(gpu_row(lines, 3), "/80"))
      << gpu_row(lines, 3);
}

TEST_F(Frame, GraphsTheLastMinutesWhereThereIsRoom) {
  const Board board = lab();
  Trends trends(std::chrono::seconds(5));
  trends.note(board, Clock::time_point(std::chrono::seconds(100)));
  const Picture wide = picture(board, {.width = 200, .height = 60, .trends = &trends});
  EXPECT_TRUE(has(wide[2], "util, ") && has(wide[2], "memory, "));
  EXPECT_TRUE(has(wide[3], " ▇ ") || has(wide[3], " █ ")) << wide[3];
  EXPECT_EQ(picture(board, {.trends = &trends}), picture(board));
  const Picture ascii =
      picture(board, {.width = 200, .height = 60, .utf8 = false, .trends = &trends});
  EXPECT_TRUE(has(ascii[3], " * ") || has(ascii[3], " # ")) << ascii[3];
}

TEST_F(Frame, ColoursTheStateAlone) {
  const Picture lines = picture(lab(), {.colour = true});
  EXPECT_TRUE(has(lines[3], "  \x1b[33mheld \x1b[0m  2h13m")) << lines[3];
  EXPECT_EQ(times(lines[3], "\x1b"), 2);
  EXPECT_FALSE(has(lines[0] + lines[23], "\x1b"));
}

TEST_F(Frame, TellsTroublesAboveAllElse) {
  const Picture lines = picture(lab(), {.troubles = {"cannot read the GPUs: no driver"}});
  EXPECT_EQ(lines[1], " cannot read the GPUs: no driver");
}

TEST_F(Frame, TellsWholeTroublesWhereThereIsRoomAndNoOldNumbers) {
  Board board = lab();
  for (BoardRow& row : board.rows) row.device.health = Health::unreadable;
  const std::string trouble =
      "the driver " + std::string(60, 'x') + " " + std::string(60, 'y') + " end";
  const Picture lines = picture(board, {.troubles = {trouble}});
  EXPECT_TRUE(has(lines[1], "the driver") && has(lines[2] + lines[3], " end"));
  EXPECT_FALSE(has(whole_picture(board, {.height = 10, .troubles = {trouble}}), " end"));
  EXPECT_TRUE(has(gpu_row(lines, 0), "  -     -  held") && has(gpu_row(lines, 0), "alice"));
  EXPECT_FALSE(has(whole_picture(board), "90%") || has(whole_picture(board), "█"));
}

TEST_F(Frame, SaysThatItIsFrozenAndHowToGoOn) {
  const Picture lines = picture(lab(), {.choice = {.frozen = true}});
  EXPECT_TRUE(lines[0].ends_with("frozen 14:03:27"));
  EXPECT_TRUE(has(lines[23], "space go on"));
}

TEST_F(Frame, ExplainsEachStateWord) {
  const std::string text =
      whole_picture(lab(), {.width = 40, .height = 10, .choice = {.legend = true}});
  for (const char* word : {"free ", "kept ", "held ", "idle ", "other ", "broken "}) {
    EXPECT_TRUE(has(text, std::string("\n ") + word)) << word;
  }
  EXPECT_FALSE(has(text, "alice"));
}

TEST_F(Frame, OfAMachineWithoutGpusSaysSo) {
  EXPECT_TRUE(has(whole_picture({}), " no GPU on this machine"));
}

TEST(Gib, IsShortAndTrue) {
  EXPECT_EQ(gib(0), "0");
  EXPECT_EQ(gib(512), "0.5");
  EXPECT_EQ(gib(7680), "7.5");
  EXPECT_EQ(gib(8192), "8");
  EXPECT_EQ(gib(46068), "45");
  EXPECT_EQ(gib(81559), "80");
}

}  // namespace
}  // namespace gpu_gate
