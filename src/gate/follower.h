#pragma once

#include <optional>
#include <set>
#include <string>

#include "gate/card_watch.h"
#include "gate/look.h"

namespace gpu_gate {

/// A waiter behind the leader: sleeps until it is rung, and sees that the leader is awake.
class Follower {
 public:
  /// Who is ahead, by a scan of the line. `ahead` has a leader.
  void stand_behind(const Ahead& ahead);
  const Place& leader() const { return leader_; }

  /// After a look that granted it nothing. False if a claim has ended meanwhile: look again at
  /// once. Errors: lock_file, system.
  Result<bool> looked(const Look& look, const Post& post);

  /// After the line ahead has changed, or was to be checked. Result and errors as above.
  Result<bool> checked_line(const Post& post);

  /// Does it know already that it is next by turns?
  bool knows_it_is_next() const { return next_; }
  /// It is next by turns: it sleeps on the claims as well, until it has looked. `counted`: as of
  /// Roster::read. Result and errors as above.
  Result<bool> is_next(const Post& post, Ticket counted);

  void add_to(WaitSet& set);

  /// What to do after the sleep on a set.
  enum class Wake { sleep_on, check_line, look };
  Wake woke(const WaitSet& set, Clock::time_point now, const Post& post);

 private:
  Result<bool> watch_claims(const Post& post);
  void check_leader(const Post& post);
  void ring_for_look(const Post& post, Clock::time_point now);
  void ring_for_release(const Line& line, Clock::time_point now);

  Place leader_;
  bool second_ = false;  // nobody but the leader is ahead
  bool next_ = false;    // by turns, as the leader says
  std::chrono::nanoseconds check_interval_{};
  Clock::time_point next_check_;
  std::optional<Clock::time_point> roll_call_due_;  // where it seems to be stopped by then
  std::optional<Clock::time_point> poll_due_;       // of its own --poll, where that is short
  CardWatch watch_;                                 // of the second, and of the next
  std::set<std::string> devices_;                   // of the last look
  std::set<std::string> awaited_;                   // of these, what only needed time then
  std::optional<Clock::time_point> settle_look_;    // when a device will have settled
};

}  // namespace gpu_gate
