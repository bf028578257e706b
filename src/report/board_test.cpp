#include "report/board.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <ctime>

#include "base/process.h"
#include "report/test_board.h"
#include "report/test_shared_dir.h"

namespace gpu_gate {
namespace {

using Texts = std::vector<std::string>;

Board board_of(const Snapshot& snapshot, const SharedDir& shared) {
  return make_board(snapshot, shared.dir()).value();
}

/// As long as nobody has made one.
LockDir no_lock_dir() {
  const TestFolder folder;
  return LockDir::open_existing({.chosen = folder.path("gone")}).value();
}

Texts commands_of(const std::vector<BoardWaiter>& waiters) {
  Texts commands;
  for (const BoardWaiter& waiter : waiters) commands.push_back(waiter.record.owner.command);
  return commands;
}

/// A job that this process is, since so many seconds.
Owner own_job(std::int64_t since) {
  Owner owner = this_process({"sweep"});
  owner.since = std::time(nullptr) - since;
  return owner;
}

Snapshot machine_with_own_process_on(std::size_t device) {
  Snapshot snapshot = idle_machine(2);
  snapshot.devices[device].processes = {{.pid = ::getpid(), .graphics = false, .memory_mib = 100}};
  return snapshot;
}

// The board.

TEST(Board, HasEveryGpuAlsoWithoutALockDirectory) {
  const Board board = make_board(idle_machine(3), no_lock_dir()).value();
  ASSERT_EQ(board.rows.size(), 3U);
  EXPECT_EQ(board.rows[2].device.uuid, "GPU-2");
  EXPECT_TRUE(board.rows[0].claims.empty());
  EXPECT_TRUE(board.waiters.empty());
}

TEST(Board, NamesProcessesAlsoWithoutALockDirectory) {
  Snapshot snapshot = idle_machine(1);
  snapshot.devices[0].processes = {{.pid = ::getpid(), .graphics = false, .memory_mib = 100}};
  const Board board = make_board(snapshot, no_lock_dir()).value();
  ASSERT_EQ(board.rows.at(0).processes.size(), 1U);
  EXPECT_EQ(board.rows[0].processes[0].described.uid, ::geteuid());
  EXPECT_FALSE(board.rows[0].processes[0].claimed);
}

TEST(Board, OfAnEmptyLockDirectoryHasNoClaimsAndNoWaiters) {
  const SharedDir shared;
  const Board board = board_of(idle_machine(2), shared);
  ASSERT_EQ(board.rows.size(), 2U);
  EXPECT_TRUE(board.rows[0].claims.empty() && board.rows[1].claims.empty());
  EXPECT_TRUE(board.waiters.empty());
}

TEST(Board, PutsAClaimOnEachOfItsGpus) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0", "GPU-2"}, unseen_job("python"));
  const NewClaim inside = shared.claim({"GPU-2"}, unseen_job("part"));
  const Board board = board_of(idle_machine(3), shared);
  EXPECT_TRUE(board.rows.at(1).claims.empty());
  for (const std::size_t i : {0U, 2U}) {
    const BoardClaim& claim = board.rows[i].claims.at(0);
    EXPECT_EQ(claim.ticket, held.ticket);
    EXPECT_EQ(claim.claimant.job->command, "python");
    EXPECT_EQ(claim.devices, (Texts{"GPU-0", "GPU-2"}));
  }
  EXPECT_EQ(board.rows[2].claims.at(1).devices, Texts{"GPU-2"});
}

TEST(Board, ShowsNoClaimThatHasEnded) {
  SharedDir shared;
  NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  EXPECT_EQ(board_of(idle_machine(1), shared).rows[0].claims.size(), 1U);
  held.held.clear();
  EXPECT_TRUE(board_of(idle_machine(1), shared).rows[0].claims.empty());
}

TEST(Board, HasTheOutermostClaimFirst) {
  SharedDir shared;
  const NewClaim outer = shared.claim({"GPU-0", "GPU-1"}, unseen_job("outer"));
  const NewClaim first = shared.claim({"GPU-1"}, unseen_job("first"));
  const NewClaim second = shared.claim({"GPU-1"}, unseen_job("second"));
  const std::vector<BoardClaim> claims = board_of(idle_machine(2), shared).rows.at(1).claims;
  ASSERT_EQ(claims.size(), 3U);
  EXPECT_EQ(claims[0].claimant.job->command, "outer");
  EXPECT_EQ(claims[1].claimant.job->command, "first");
  EXPECT_EQ(claims[2].claimant.job->command, "second");
}

TEST(Board, HasThePartsOfAShareBehindIt) {
  SharedDir shared;
  std::vector<NewClaim> held;
  const auto claim_share = [&](const std::string& name, Ticket within) {
    held.push_back(shared.claim(
        {.owner = unseen_job(name), .devices = {"GPU-0"}, .within = within, .share_mib = 1000}));
    return held.back().ticket;
  };
  const Ticket alice = claim_share("alice", 0);
  const Ticket bob = claim_share("bob", 0);
  const Ticket part = claim_share("part", alice);
  claim_share("part of bob", bob);
  claim_share("second part", alice);
  claim_share("part of the part", part);
  std::vector<std::string> told;
  const Board board = board_of(idle_machine(1), shared);
  for (const BoardClaim& claim : board.rows.at(0).claims) {
    told.push_back((claim.inside ? "inside: " : "") + claim.claimant.job->command);
  }
  EXPECT_EQ(told, (Texts{"alice", "inside: part", "inside: part of the part", "inside: second part",
                         "bob", "inside: part of bob"}));
}

TEST(Board, MarksTheProcessesOfAClaimOnItsGpuOnly) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  Snapshot snapshot = idle_machine(2);
  for (Device& device : snapshot.devices) {
    device.processes = {{.pid = ::getpid(), .graphics = false, .memory_mib = {}}};
  }
  const Board board = board_of(snapshot, shared);
  EXPECT_TRUE(board.rows[0].processes.at(0).claimed);
  EXPECT_FALSE(board.rows[1].processes.at(0).claimed);
}

TEST(Board, SaysOfAProcessOnAnotherGpuWhichClaimItStraysFrom) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, own_job(0));
  const BoardProcess stray = board_of(machine_with_own_process_on(1), shared).rows[1].processes[0];
  EXPECT_FALSE(stray.claimed);
  ASSERT_TRUE(stray.strays);
  EXPECT_EQ(stray.strays->ticket, held.ticket);
  EXPECT_FALSE(board_of(machine_with_own_process_on(0), shared).rows[0].processes[0].strays);
}

TEST(Board, AClaimIsIdleWhenItsJobHasLeftTheGpuForTenMinutesOrMore) {
  const auto is_idle = [](std::int64_t since, const Snapshot& machine) {
    SharedDir shared;
    const NewClaim held = shared.claim({"GPU-0"}, own_job(since));
    return board_of(machine, shared).rows[0].claims.at(0).idle;
  };
  EXPECT_TRUE(is_idle(601, idle_machine(1)));
  EXPECT_TRUE(is_idle(601, machine_with_own_process_on(1))) << "it strays";
  EXPECT_FALSE(is_idle(590, idle_machine(1)));
  EXPECT_FALSE(is_idle(601, machine_with_own_process_on(0)));
  Snapshot hidden = idle_machine(1);
  hidden.devices[0].memory_used_mib = 9000;
  EXPECT_FALSE(is_idle(601, hidden)) << "in another pid namespace";
  Snapshot unknown = idle_machine(1);
  unknown.devices[0].processes = {{.pid = 999999999, .graphics = false, .memory_mib = {}}};
  EXPECT_FALSE(is_idle(601, unknown));
  Snapshot lost = idle_machine(1);
  lost.devices[0].health = Health::unreadable;
  EXPECT_FALSE(is_idle(601, lost));
}

TEST(Board, AClaimIsNotIdleWhileAPartOfItWorks) {
  SharedDir shared;
  const NewClaim outer = shared.claim(
      {.owner = own_job(3600), .devices = {"GPU-0"}, .within = 0, .share_mib = std::nullopt});
  const NewClaim part = shared.claim({.owner = own_job(0),
                                      .devices = {"GPU-0"},
                                      .within = outer.ticket,
                                      .share_mib = std::nullopt});
  const Board board = board_of(machine_with_own_process_on(0), shared);
  for (const BoardClaim& claim : board.rows[0].claims) {
    EXPECT_FALSE(claim.idle) << claim.ticket;
  }
}

TEST(Board, SaysThatMemoryIsBeingFreedForAMomentAfterAClaim) {
  SharedDir shared;
  Snapshot machine = idle_machine(2);
  machine.devices[0].memory_used_mib = 9000;
  NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  EXPECT_FALSE(board_of(machine, shared).rows[0].freeing) << "it is held";
  held.held.clear();
  EXPECT_TRUE(board_of(machine, shared).rows[0].freeing);
  EXPECT_FALSE(board_of(machine, shared).rows[1].freeing) << "nothing is in use";
  shared.age_claims(3600);
  EXPECT_TRUE(board_of(machine, shared).rows[0].freeing) << "nobody has cleared its claim away";
  std::filesystem::remove(shared.claim_path("GPU-0", held.ticket));
  shared.age_claims(3600);
  EXPECT_FALSE(board_of(machine, shared).rows[0].freeing);
}

TEST(Board, AProcessThatHasEndedUsesNothing) {
  const SharedDir shared;
  const pid_t zombie = ::fork();
  if (zombie == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT), 0);
  Snapshot machine = idle_machine(1);
  machine.devices[0].processes = {{.pid = zombie, .graphics = false, .memory_mib = 9000}};
  const BoardRow row = board_of(machine, shared).rows[0];
  EXPECT_TRUE(row.processes[0].described.ended);
  EXPECT_TRUE(row.freeing);
  ::waitpid(zombie, nullptr, 0);
  EXPECT_FALSE(board_of(machine, shared).rows[0].freeing) << "a pid that is nobody's here";
}

TEST(Board, ShowsTheClaimOfACardOnEachOfItsInstances) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  Snapshot snapshot = idle_machine(2);
  for (Device& device : snapshot.devices) {
    device.uuid = "MIG-" + std::to_string(device.index);
    device.card_uuid = "GPU-" + std::to_string(device.index);
  }
  const Board board = board_of(snapshot, shared);
  EXPECT_EQ(board.rows[0].claims.size(), 1U);
  EXPECT_TRUE(board.rows[1].claims.empty());
}

TEST(Board, HasThoseWhoWaitInTheOrderOfTheLine) {
  SharedDir shared;
  std::vector<OwnPlace> places;
  Texts names;
  for (int i = 0; i < 12; ++i) {
    names.push_back("job " + std::to_string(i));
    places.push_back(shared.join(unseen_job(names.back()), wish(i + 1)));
  }
  const Board board = board_of(idle_machine(1), shared);
  EXPECT_EQ(commands_of(board.waiters), names);
  EXPECT_EQ(board.waiters.at(4).record.request.criteria.count, 5);
  EXPECT_EQ(board.waiters[4].user, user_name(::geteuid()));
  EXPECT_EQ(board.waiters[4].place, places[4].place);
}

TEST(Board, LeavesOutWhoHasLeftTheLine) {
  SharedDir shared;
  const OwnPlace first = shared.join(unseen_job("first"), wish(1));
  OwnPlace second = shared.join(unseen_job("second"), wish(1));
  const OwnPlace third = shared.join(unseen_job("third"), wish(1));
  second.held.reset();
  EXPECT_EQ(commands_of(board_of(idle_machine(1), shared).waiters), (Texts{"first", "third"}));
}

TEST(Board, KnowsWhoWaitsInsideAClaim) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("sweep"));
  const OwnPlace outside = shared.join(unseen_job("outside"), wish(1));
  Request nested = wish(1);
  nested.within = held.ticket;
  const OwnPlace inside = shared.join(unseen_job("inside"), nested);
  const std::vector<BoardWaiter> waiters = board_of(idle_machine(1), shared).waiters;
  ASSERT_EQ(commands_of(waiters), (Texts{"outside", "inside"}));
  EXPECT_EQ(waiters[0].place.within, 0U);
  EXPECT_EQ(waiters[1].place.within, held.ticket);
}

TEST(Board, LeavesOutAWaiterWhoseRecordCannotBeBelieved) {
  SharedDir shared;
  const OwnPlace first = shared.join(unseen_job("first"), wish(1));
  const OwnPlace second = shared.join(unseen_job("second"), wish(1));
  std::ofstream(shared.waiter_record_path(first.place)) << "{}";
  EXPECT_EQ(commands_of(board_of(idle_machine(1), shared).waiters), Texts{"second"});
}

TEST(Board, IsNotMadeFromHalfOfWhatIsThere) {
  SharedDir shared;
  const NewClaim held = shared.claim({"GPU-0"}, unseen_job("x"));
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const struct rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Result<Board> board = make_board(idle_machine(1), shared.dir());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(board) << "a claim that could not be looked at was taken for none";
  EXPECT_EQ(board.error().kind, ErrorKind::system);
}

TEST(BoardWithoutDriver, HasTheClaimedDevicesByUuidAndTheLine) {
  SharedDir shared;
  const NewClaim pair = shared.claim({"GPU-1", "GPU-2"}, job(7, "pair"));
  const OwnPlace place = shared.join(job(8, "waits"), wish(1));
  const Result<Snapshot> unread = fail(ErrorKind::gpu_state, "no driver");
  const Board board = make_board(unread, shared.dir()).value();
  EXPECT_FALSE(board.devices_read);
  ASSERT_EQ(board.rows.size(), 2U);
  for (const BoardRow& row : board.rows) {
    EXPECT_EQ(row.device.index, -1);
    EXPECT_EQ(row.device.health, Health::unreadable);
    EXPECT_EQ(row.device.error, "no driver");
    ASSERT_EQ(row.claims.size(), 1U);
    EXPECT_EQ(row.claims[0].claimant.job->command, "pair");
  }
  EXPECT_EQ(board.rows[0].device.uuid, "GPU-1");
  EXPECT_EQ(commands_of(board.waiters), Texts{"waits"});
}

TEST(BoardWithoutDriver, ShowsADeviceOnceHoweverManyClaimsAreOnIt) {
  SharedDir shared;
  const NewClaim outer = shared.claim({"GPU-1"}, job(7, "outer"));
  const NewClaim inner = shared.claim({"GPU-1"}, job(8, "inner"));
  const Result<Snapshot> unread = fail(ErrorKind::gpu_state, "no driver");
  const Board board = make_board(unread, shared.dir()).value();
  ASSERT_EQ(board.rows.size(), 1U);
  EXPECT_EQ(board.rows[0].claims.size(), 2U);
}

TEST(BoardWithoutDriver, IsEmptyWithoutALockDirectory) {
  const Result<Snapshot> unread = fail(ErrorKind::gpu_state, "no driver");
  const Board board = make_board(unread, no_lock_dir()).value();
  EXPECT_FALSE(board.devices_read);
  EXPECT_TRUE(board.rows.empty() && board.waiters.empty());
}

}  // namespace
}  // namespace gpu_gate
