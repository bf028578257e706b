#pragma once

#include <map>

#include "gate/backoff.h"
#include "gate/card_watch.h"
#include "gate/look.h"

namespace gpu_gate {

/// The waiter that looks at the devices for the whole line: nobody that came before it lives and
/// answers. (It is first in the order of turns only where all hold equally much.)
class Leader {
 public:
  /// After a look that granted it nothing: rings those whose turn it is, and chooses what to
  /// sleep on, for its --poll at most. False if a claim has ended meanwhile: look again at once.
  /// Errors: lock_file, system.
  Result<bool> looked(const Look& look, const Post& post, Calls& calls);

  /// When it was served and has left the line: rings those behind whose turn it is. `look`: the one
  /// that granted it devices, with those claimed.
  void served(const Look& look, const Post& post, Calls& calls);

  /// It was rung: somebody may wait for what they did not before, or must be told again.
  void rung();

  /// A claim ended that no sleep will tell of.
  void released() { backoff_.start(Clock::now()); }

  void add_to(WaitSet& set);

  /// After the sleep on that set: is it time to look?
  bool woke(const WaitSet& set, Clock::time_point now);

 private:
  std::set<std::string> decide_for_others(const Look& look, const Post& post, Calls& calls,
                                          const Oneself* oneself);
  void tell_next(const Look& look, const Post& post, const Oneself& oneself);
  void forget_those_gone(const Roster& roster);
  Ticket watch_last(const Post& post);

  Clock::time_point next_look_;
  Backoff backoff_;
  CardWatch watch_;
  UniqueFd last_end_;  // of the last in line, where it stands ahead of others
  WaitSet::Id last_end_id_ = 0;
  bool own_turn_ = false;                              // when it decided for others
  bool told_next_ = false;                             // another is next, and looks by itself
  std::set<std::string> draining_;                     // at the last look
  WaiterRecords records_;                              // of the others
  std::map<Ticket, std::vector<std::size_t>> offers_;  // contested devices that each was told of
};

}  // namespace gpu_gate
