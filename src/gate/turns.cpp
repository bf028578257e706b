#include "gate/turns.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

namespace gpu_gate {
namespace {

/// Where more tickets are new, reading all names is less work: also as many may have left.
constexpr Ticket kMostProbed = 64;

/// With oneself, who may have joined since.
std::vector<Queued> with(const Roster& roster, const Oneself* oneself) {
  std::vector<Queued> places = roster.places();
  if (oneself != nullptr && !roster.contains(oneself->ticket)) {
    places.push_back({.ticket = oneself->ticket, .uid = oneself->uid});
  }
  return places;
}

}  // namespace

void Roster::begin(const Line& line, const std::vector<Place>& places, Ticket known) {
  take_over(line, places);
  known_ = known;
}

Status Roster::read(const Line& line, const LineId& id, Ticket counted) {
  if (Status done = read_or_probe(line, id, counted); !done) return done;
  // A ticket is counted before its place can be seen, and no two at a time (Line::join). All that
  // are counted may have been known before, under the mutex.
  if (known_ != counted) known_ = counted > 0 ? counted - 1 : 0;
  read_last_turns(line);
  return {};
}

Status Roster::catch_up(const MutexGuard& guard, const Line& line, const LineId& id,
                        const std::optional<std::vector<Place>>& places) {
  const Ticket counted = guard.counters().last_ticket;
  if (places) {
    take_over(line, *places);
  } else if (Status done = read_or_probe(line, id, counted); !done) {
    return done;
  }
  known_ = counted;
  read_last_turns(line);
  return {};
}

Status Roster::read_or_probe(const Line& line, const LineId& id, Ticket counted) {
  if (known_ != 0 && counted >= known_ && counted - known_ <= kMostProbed) {
    probe(line, id, counted);
    return {};
  }
  const Result<std::vector<Place>> places = line.places(id);
  if (!places) return fail(places.error());
  take_over(line, *places);
  return {};
}

/// These and no others stand in line. Only those that were not known are asked whose they are.
void Roster::take_over(const Line& line, const std::vector<Place>& places) {
  std::vector<Queued> now;
  now.reserve(places.size());
  auto known = places_.begin();
  for (const Place& place : places) {
    while (known != places_.end() && known->ticket < place.ticket) ++known;
    if (known != places_.end() && known->ticket == place.ticket) {
      now.push_back(*known);
    } else if (const std::optional<uid_t> owner = line.owner(place)) {
      now.push_back({.ticket = place.ticket, .uid = *owner});
    }
  }
  places_ = std::move(now);
}

void Roster::probe(const Line& line, const LineId& id, Ticket counted) {
  for (Ticket ticket = known_ + 1; ticket <= counted; ++ticket) {
    const auto at = from(ticket);
    if (at != places_.end() && at->ticket == ticket) continue;
    if (const auto owner = line.owner(place_in(id, ticket))) {
      places_.insert(at, {.ticket = ticket, .uid = *owner});
    }
  }
}

void Roster::read_last_turns(const Line& line) {
  std::set<uid_t> users{::geteuid()};
  for (const Queued& queued : places_) users.insert(queued.uid);
  last_turns_ = users.size() > 1 ? line.last_turns(users) : LastTurns{};
}

void Roster::drop(Ticket ticket) {
  std::erase_if(places_, [&](const Queued& queued) { return queued.ticket == ticket; });
}

void Roster::drop_ahead(Ticket ticket, const std::vector<Place>& line) {
  std::erase_if(places_, [&](const Queued& queued) {
    const auto at = std::lower_bound(line.begin(), line.end(), queued.ticket,
                                     [](const Place& place, Ticket t) { return place.ticket < t; });
    return queued.ticket < ticket && (at == line.end() || at->ticket != queued.ticket);
  });
}

/// The first that has this ticket or a higher one.
std::vector<Queued>::const_iterator Roster::from(Ticket ticket) const {
  return std::lower_bound(places_.begin(), places_.end(), ticket,
                          [](const Queued& queued, Ticket t) { return queued.ticket < t; });
}

bool Roster::contains(Ticket ticket) const {
  const auto at = from(ticket);
  return at != places_.end() && at->ticket == ticket;
}

Turns::Turns(const Line& line, Roster& roster, const LineId& id, const TurnRule& rule,
             const Oneself* oneself, WaiterRecords& records)
    : line_(line),
      roster_(roster),
      id_(id),
      oneself_(oneself),
      records_(records),
      order_(rule, roster.last_turns(), with(roster, oneself)) {}

Result<std::optional<Turn>> Turns::next() {
  while (const std::optional<Queued> queued = order_.next()) {
    const Place place = place_in(id_, queued->ticket);
    if (oneself_ != nullptr && queued->ticket == oneself_->ticket) {
      if (!order_.put(oneself_->criteria)) continue;
      return Turn{.place = place, .uid = queued->uid, .oneself = true};
    }
    const Result<const WaiterRecord*> record = read(*queued);
    if (!record) return fail(record.error());
    if (*record == nullptr || !order_.put((*record)->request.criteria)) continue;
    return Turn{.place = place, .uid = queued->uid, .oneself = false, .record = *record};
  }
  return std::nullopt;
}

Result<Standing> standing_of(const Oneself& oneself, const Line& line, const Roster& roster,
                             const LineId& id, const TurnRule& rule) {
  constexpr std::size_t kAsked = 16;
  TurnOrder turns(rule, roster.last_turns(), roster.places());
  Standing standing;
  std::set<uid_t> overtaking;
  while (const std::optional<Queued> queued = turns.next()) {
    if (queued->ticket == oneself.ticket) {
      if (turns.put(oneself.criteria)) break;
      continue;
    }
    std::optional<WaiterRecord> record = WaiterRecord{};
    if (standing.position <= kAsked) {
      const Place place = place_in(id, queued->ticket);
      const Result<std::optional<uid_t>> holder = line.holder(place);
      if (!holder) return fail(holder.error());
      if (*holder != queued->uid) continue;
      record = line.record(place, queued->uid);
    }
    if (!record || !turns.put(record->request.criteria)) continue;
    ++standing.position;
    if (queued->ticket > oneself.ticket) overtaking.insert(queued->uid);
  }
  standing.overtaking.assign(overtaking.begin(), overtaking.end());
  const auto held = [&](uid_t uid) {
    const auto user = rule.held.find(uid);
    return user == rule.held.end() ? 0 : user->second;
  };
  standing.hold_less = std::all_of(overtaking.begin(), overtaking.end(),
                                   [&](uid_t uid) { return held(uid) < held(oneself.uid); });
  return standing;
}

/// Null where the waiter has left, or has no record.
Result<const WaiterRecord*> Turns::read(const Queued& queued) {
  const Place place = place_in(id_, queued.ticket);
  const Result<std::optional<uid_t>> holder = line_.holder(place);
  if (!holder) return fail(holder.error());
  if (*holder != queued.uid) {
    roster_.drop(queued.ticket);
    return nullptr;
  }
  auto known = records_.find(queued.ticket);
  if (known == records_.end()) {
    std::optional<WaiterRecord> record = line_.record(place, queued.uid);
    if (!record) return nullptr;
    known = records_.emplace(queued.ticket, std::move(*record)).first;
  }
  return &known->second;
}

}  // namespace gpu_gate
