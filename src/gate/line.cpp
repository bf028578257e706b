#include "gate/line.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "gate/record_file.h"
#include "gate/timing.h"

namespace gpu_gate {

namespace {

/// What the names in queue/ say.
struct QueueNames {
  std::vector<Place> places;  // in order
  Ticket last_ticket = 0;     // the highest in any name
};

bool by_ticket(const Place& a, const Place& b) { return a.ticket < b.ticket; }

/// How many of these stand ahead of it (ticket 0: of a newcomer).
std::size_t count_ahead(const Place& place, const std::vector<Place>& line) {
  if (place.ticket == 0) return line.size();
  const auto own = std::lower_bound(line.begin(), line.end(), place, by_ticket);
  return static_cast<std::size_t>(own - line.begin());
}

Result<QueueNames> scan_names(int queue) {
  if (queue < 0) return QueueNames{};  // there is no line yet
  const Ticket highest = highest_plausible_ticket();
  QueueNames found;
  const Status read = for_each_name(queue, [&](std::string_view name) {
    const bool beside = name.find('.') != std::string_view::npos;  // of a place
    const auto place = beside ? std::nullopt : parse_place_name(name, highest);
    const auto ticket = place ? place->ticket : ticket_in_queue(name, highest).value_or(0);
    found.last_ticket = std::max(found.last_ticket, ticket);
    if (place) found.places.push_back(*place);
  });
  if (!read) return fail(read.error());
  std::sort(found.places.begin(), found.places.end(), by_ticket);
  return found;
}

}  // namespace

Result<std::vector<Place>> Line::all_places() const {
  Result<QueueNames> found = scan_names(dir_.queue());
  if (!found) return fail(found.error());
  return std::move(found->places);
}

Result<std::vector<Place>> Line::places(const LineId& line) const {
  Result<std::vector<Place>> places = all_places();
  if (places) {
    std::erase_if(*places, [&](const Place& place) { return place.line() != line; });
  }
  return places;
}

Result<std::optional<uid_t>> Line::holder(const Place& place) const {
  const Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), place_name(place));
  if (!held) return fail(held.error());
  return *held ? std::optional((*held)->owner) : std::nullopt;
}

Result<UniqueFd> Line::watch(const Place& place) const {
  Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), place_name(place));
  if (!held) return fail(held.error());
  return *held ? std::move((*held)->read_end) : UniqueFd();
}

std::optional<uid_t> Line::owner(const Place& place) const {
  struct stat info{};
  const std::string name = place_name(place);
  if (::fstatat(dir_.queue(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return S_ISFIFO(info.st_mode) ? std::optional(info.st_uid) : std::nullopt;
}

LastTurns Line::last_turns(const std::set<uid_t>& users) const {
  return read_last_turns(dir_, users);
}

std::optional<WaiterRecord> Line::record(const Place& place, uid_t holder) const {
  const auto file = read_record_file(dir_.queue(), record_name(place), holder);
  if (!file) return std::nullopt;
  std::optional<WaiterRecord> record = parse_waiter(file->text, file->uid);
  if (record) {
    record->request.within = place.within;
    record->request.vendor = place.vendor;
  }
  return record;
}

Result<bool> Line::is_passed_over(const Place& place) const {
  const Result<std::optional<BellState>> bell = bell_state(place);
  if (!bell) return fail(bell.error());
  return !*bell || (*bell)->is_silent();
}

// The predecessor is found before the leader: with nobody alive there is no leader either (the dead
// stay dead), and one that dies between the two scans is noticed by its watch. The other way round,
// it could be the leader and already gone as a predecessor, and nobody would wake this waiter.
Result<Ahead> Line::ahead_of(const Place& place) const {
  const Result<QueueNames> found = scan_names(dir_.queue());
  if (!found) return fail(found.error());
  std::vector<Place> line;
  std::vector<Place> dead;
  for (const Place& other : found->places) {
    if (other.line() == place.line()) {
      line.push_back(other);
    } else if (place.ticket == 0 && other.within != 0) {
      // Nobody may ever come again to a line inside a claim, so it is looked at by any newcomer.
      const Result<std::optional<uid_t>> inside = holder(other);
      if (!inside) return fail(inside.error());
      if (!*inside) dead.push_back(other);
    }
  }
  const std::size_t length = count_ahead(place, line);
  Result<std::optional<Predecessor>> predecessor =
      find_predecessor(std::span(line).first(length), length);
  if (!predecessor) return fail(predecessor.error());
  Result<Ahead> ahead = ahead_in(std::move(line), length, std::move(**predecessor));
  if (!ahead) return fail(ahead.error());
  ahead->last_ticket = found->last_ticket;
  ahead->dead.insert(ahead->dead.end(), dead.begin(), dead.end());
  return ahead;
}

Result<std::optional<Ahead>> Line::ahead_of(const Place& place,
                                            const std::vector<Place>& line) const {
  constexpr std::size_t kMostDead = 32;
  const std::size_t length = count_ahead(place, line);
  Result<std::optional<Predecessor>> predecessor =
      find_predecessor(std::span(line).first(length), kMostDead);
  if (!predecessor) return fail(predecessor.error());
  if (!*predecessor) return std::nullopt;
  Result<Ahead> ahead = ahead_in(line, length, std::move(**predecessor));
  if (!ahead) return fail(ahead.error());
  return std::move(*ahead);
}

/// In a line with so many ahead.
Result<Ahead> Line::ahead_in(std::vector<Place> line, std::size_t length,
                             Predecessor predecessor) const {
  Ahead ahead;
  ahead.length = length;
  Result<Front> front = find_front(std::span(line).first(length));
  if (!front) return fail(front.error());
  ahead.predecessor = predecessor.place;
  ahead.predecessor_end = std::move(predecessor.end);
  // A place that somebody brings back to life between the two scans has no watch on it.
  if (ahead.predecessor) ahead.leader = front->leader;
  ahead.dead = std::move(front->dead);
  // Behind the predecessor nobody lives either.
  const auto own = line.begin() + static_cast<std::ptrdiff_t>(length);
  const auto nearest = std::find(line.begin(), own, ahead.predecessor);
  const auto end = nearest == own ? line.begin() : nearest + 1;
  std::set_difference(line.begin(), end, ahead.dead.begin(), ahead.dead.end(),
                      std::back_inserter(ahead.line), by_ticket);
  ahead.line.insert(ahead.line.end(), own, line.end());
  return ahead;
}

/// The nearest that lives; nothing where more than so many before it do not.
Result<std::optional<Line::Predecessor>> Line::find_predecessor(std::span<const Place> places,
                                                                std::size_t most_dead) const {
  std::size_t dead = 0;
  for (auto place = places.rbegin(); place != places.rend(); ++place) {
    Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), place_name(*place));
    if (!held) return fail(held.error());
    if (*held) return Predecessor{.place = *place, .end = std::move((*held)->read_end)};
    if (++dead > most_dead) return std::nullopt;
  }
  return Predecessor{};
}

Result<Line::Front> Line::find_front(std::span<const Place> places) const {
  Front front;
  for (const Place& place : places) {
    const Result<std::optional<uid_t>> live = holder(place);
    if (!live) return fail(live.error());
    if (!*live) {
      front.dead.push_back(place);
      continue;
    }
    const Result<bool> passed_over = is_passed_over(place);
    if (!passed_over) return fail(passed_over.error());
    if (*passed_over) continue;
    front.leader = place;
    break;
  }
  return front;
}

void Line::clear(const MutexGuard& /*guard*/, const Ahead& ahead) const {
  for (const Place& place : ahead.dead) {
    struct stat info{};
    if (::fstatat(dir_.queue(), place_name(place).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        may_remove(info.st_uid)) {
      leave(place);
    }
  }
}

Result<OwnPlace> Line::join(MutexGuard& guard, Ticket last_ticket,
                            const WaiterRecord& record) const {
  Counters counters = guard.counters();
  counters.last_ticket = std::max(counters.last_ticket, last_ticket);
  const LineId line = line_for(record.request.within, record.request.vendor);
  for (int tries = 0;; ++tries) {
    const Place place = place_in(line, ++counters.last_ticket);
    // Counted before it can be seen: no second waiter ever stands with this ticket.
    if (Status counted = guard.write(counters); !counted) return fail(counted.error());
    Result<OwnPlace> made = make_place(place, record);
    if (made) return made;
    if (made.error().errnum == EEXIST && tries < kMaxTicketTries) continue;
    return fail(creation_error(made.error()));
  }
}

// The FIFO is made first and removed last: a process killed in between leaves a dead place behind,
// which is cleared away like any other, and never a file that nobody looks for.
Result<OwnPlace> Line::make_place(const Place& place, const WaiterRecord& record) const {
  Result<UniqueFd> held = create_held_fifo(dir_.queue(), place_name(place));
  if (!held) return fail(held.error());
  Result<UniqueFd> bell = create_bell(dir_.queue(), bell_name(place));
  const Status written = bell ? write_record_file(dir_.queue(), record_name(place), to_json(record))
                              : fail(bell.error());
  if (!written) {
    leave(place);
    return fail(written.error());
  }
  return OwnPlace{.place = place, .held = std::move(*held), .bell = std::move(*bell)};
}

Status Line::rewrite(const Place& place, const WaiterRecord& record) const {
  return replace_record_file(dir_.queue(), record_name(place), new_record_name(place),
                             to_json(record));
}

void Line::leave(const Place& place) const {
  for (const std::string& name :
       {new_record_name(place), bell_name(place), record_name(place), place_name(place)}) {
    ::unlinkat(dir_.queue(), name.c_str(), 0);
  }
}

// The first that tells decides: one that has not been rung since the silent one, or one that has.
// (Those that have been silent for longer tell nothing, nor do those that were rung with it.)
void Line::roll_call(const Place& silent, const Place& own) const {
  const Result<std::optional<BellState>> rung = bell_state(silent);
  const Result<std::vector<Place>> line = places(silent.line());
  if (!rung || !*rung || !(*rung)->pending || (*rung)->in_driver || !line) return;
  const std::chrono::nanoseconds since = (*rung)->age;
  bool calling = false;
  for (const Place& place : *line) {
    if (place == silent || place == own) continue;
    if (!calling) {
      const Result<std::optional<BellState>> bell = bell_state(place);
      if (!bell || !*bell || ((*bell)->pending && (*bell)->age >= since)) continue;
      if ((*bell)->age < since - timing::kNoAnswer / 2) return;
      calling = true;
    }
    ask(dir_.queue(), bell_name(place));
  }
}

std::optional<BellState> Line::ring_bell(const Place& place) const {
  return ring(dir_.queue(), bell_name(place));
}

bool Line::tell_next(const Place& place) const {
  return gpu_gate::tell_next(dir_.queue(), bell_name(place));
}

Result<std::optional<BellState>> Line::bell_state(const Place& place) const {
  return look_at_bell(dir_.queue(), bell_name(place));
}

}  // namespace gpu_gate
