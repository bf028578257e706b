#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

// Every number of time that the line goes by. Programs that share a lock directory must agree on
// those of the first group (docs/protocol.md).
namespace gpu_gate::timing {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A waiter that has not answered its bell for so long is passed over until it does.
constexpr seconds kAnswer{5};
/// One that reads the devices meanwhile has longer: it is awake, and the driver is slow.
constexpr seconds kAnswerInDriver{30};
/// One that has not answered for so long may be stopped: all others are asked then whether they are
/// awake, so that the stopped among them are passed over together. A question that is younger is
/// thrown away when it is read.
constexpr milliseconds kNoAnswer{500};
/// A question that has been pending for so long is as good as a ring.
constexpr seconds kQuestionIsRing{1};
/// A device that those ahead could use, but not as it is, is kept for them for so long.
constexpr seconds kSettle{10};

/// A follower sees this often that the leader is awake: the nearer to the front, the more often, so
/// that a long line costs hardly more than a short one (see line_check_interval).
constexpr seconds kLineCheck{5};
constexpr std::size_t kLineCheckSpread = 16;
/// A follower with a shorter --poll than that has the leader look so often for it.
constexpr seconds kShortestPollForOthers{1};
/// A leader that was rung less than this ago need not be rung again to see that it is awake.
constexpr seconds kRungJustNow{4};
/// Anybody may ring, but a waiter looks no more often than this because of it.
constexpr milliseconds kBetweenRings{20};
/// A leader that is not next by turns looks so much later at the end of a claim than the one that
/// is: both would only wait for each other.
constexpr milliseconds kHeadStart{2};
/// A follower tells its user where it stands now so much later than the line has changed: to count
/// those ahead takes a millisecond of CPU time, just when a job is about to start.
constexpr milliseconds kTellPosition{5};
/// Behind so many it tells it so much later than it has come: of a thousand that come at once, each
/// would count those ahead while the others try to get in line.
constexpr std::size_t kFarBack = 64;
constexpr seconds kTellPositionFarBack{3};
/// A look because devices have settled comes no sooner than this after the last look.
constexpr milliseconds kBetweenSettleLooks{100};

/// Looks after a release, until the memory is there: see Backoff.
constexpr milliseconds kSoonest{1};
constexpr milliseconds kOften{40};
constexpr seconds kOftenFor{5};
constexpr milliseconds kSeldom{250};
constexpr seconds kSeldomFor{30};

/// One that stands in line tries for so long, and so often, to use the directory that was made in
/// the place of its own: it may not be whole yet.
constexpr seconds kReopenFor{5};
constexpr milliseconds kBetweenOpens{50};

/// A driver's session that no look has used for so long is closed: while it is open the driver
/// cannot be reset, reloaded or changed.
constexpr seconds kIdleSession{1};

/// One try does not give up because another process has the mutex for a moment.
constexpr seconds kOneTryForMutex{2};

/// How often a follower checks the line that has `length` places up to its own.
constexpr std::chrono::nanoseconds line_check_interval(std::size_t length) {
  return kLineCheck * (1 + length / kLineCheckSpread);
}

/// After how long the leader is to look again for a follower with this --poll; empty where it does
/// so because it is rung anyway, to see that it is awake.
constexpr std::optional<std::chrono::nanoseconds> poll_for_others(std::chrono::nanoseconds poll) {
  if (poll >= kLineCheck) return std::nullopt;
  return std::max<std::chrono::nanoseconds>(poll, kShortestPollForOthers);
}

/// How often one at this position tells a terminal how long it has waited: the nearer to the front,
/// the more often.
constexpr std::chrono::milliseconds tick_interval(std::size_t position) {
  return std::min<std::chrono::milliseconds>(seconds(1) * (1 + position / kLineCheckSpread),
                                             seconds(60));
}

}  // namespace gpu_gate::timing
