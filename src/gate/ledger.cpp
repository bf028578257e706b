#include "gate/ledger.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <map>
#include <memory>
#include <set>

#include "base/process.h"
#include "base/umask.h"

namespace gpu_gate {
namespace {

constexpr const char* kRecord = ".json";
constexpr const char* kBell = ".bell";
constexpr const char* kFresh = ".new";  // a record about to replace another
constexpr mode_t kRecordMode = 01644;   // sticky: see fifo.cpp
constexpr int kTicketTries = 64;

/// Tickets count up from the millisecond in which the directory was made, far below this bound, so
/// that a number planted to be last for ever (or to overflow) is told from one that was given out.
Ticket most_plausible_ticket() {
  struct timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<Ticket>(now.tv_sec) * 1000000 + static_cast<Ticket>(now.tv_nsec) / 1000;
}

Ticket first_ticket() { return most_plausible_ticket() / 1000; }

/// A ticket at the start of `text`, which is cut behind it. Only the form that we write: no sign,
/// no leading zero.
std::optional<Ticket> take_ticket(std::string_view& text) {
  if (text.empty() || text[0] < '1' || text[0] > '9') return std::nullopt;
  Ticket ticket = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), ticket);
  if (problem != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return ticket;
}

/// "17", or "17@12" inside claim 12.
std::string base_name(const Place& place) {
  std::string name = std::to_string(place.ticket);
  if (place.within != 0) name += "@" + std::to_string(place.within);
  return name;
}

std::optional<Place> parse_place(std::string_view name) {
  Place place;
  const std::optional<Ticket> ticket = take_ticket(name);
  if (!ticket || *ticket > most_plausible_ticket()) return std::nullopt;
  place.ticket = *ticket;
  if (name.empty()) return place;
  if (name[0] != '@') return std::nullopt;
  name.remove_prefix(1);
  const std::optional<Ticket> within = take_ticket(name);
  if (!within || !name.empty()) return std::nullopt;
  place.within = *within;
  return place;
}

std::string claim_name(const std::string& uuid, Ticket ticket) {
  return uuid + "@" + std::to_string(ticket);
}

bool is_uuid(std::string_view text) {
  return !text.empty() && text.size() <= 96 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

/// "GPU-...@17".
std::optional<std::pair<std::string, Ticket>> parse_claim_name(std::string_view name) {
  const auto at = name.rfind('@');
  if (at == std::string_view::npos || !is_uuid(name.substr(0, at))) return std::nullopt;
  std::string_view rest = name.substr(at + 1);
  const std::optional<Ticket> ticket = take_ticket(rest);
  if (!ticket || !rest.empty()) return std::nullopt;
  return std::make_pair(std::string(name.substr(0, at)), *ticket);
}

/// "17.json".
std::optional<Ticket> parse_record_name(std::string_view name) {
  const std::optional<Ticket> ticket = take_ticket(name);
  return ticket && name == kRecord ? ticket : std::nullopt;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

/// Calls `use` with each name in a directory.
template <class Use>
Status for_each_name(int dir, Use use) {
  UniqueFd fd(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(system_error(ErrorKind::lock_dir, "open", ".", errno));
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(fd.get()));
  if (!stream) return fail(system_error(ErrorKind::lock_dir, "fdopendir", ".", errno));
  fd.release();
  for (;;) {
    errno = 0;
    const struct dirent* entry = ::readdir(stream.get());
    if (entry == nullptr && errno != 0) {
      return fail(system_error(ErrorKind::lock_dir, "readdir", ".", errno));
    }
    if (entry == nullptr) return {};
    if (entry->d_name[0] != '.') use(std::string_view(entry->d_name));
  }
}

/// A record's text and its owner, if it is a regular file of a decent size.
std::optional<std::pair<std::string, uid_t>> read_record(int dir, const std::string& name) {
  const UniqueFd fd(
      ::openat(dir, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
      info.st_size > static_cast<off_t>(kMostRecordBytes)) {
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  return std::make_pair(std::move(text), info.st_uid);
}

Status write_record(int dir, const std::string& name, const std::string& text) {
  UniqueFd fd;
  {
    const NoUmask exact_mode;
    fd = UniqueFd(::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           kRecordMode));
  }
  if (!fd) return fail(system_error(ErrorKind::lock_dir, "open", name, errno));
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(fd.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      Error error = system_error(ErrorKind::lock_dir, "write", name, written < 0 ? errno : ENOSPC);
      ::unlinkat(dir, name.c_str(), 0);
      return fail(std::move(error));
    }
    done += static_cast<std::size_t>(written);
  }
  return {};
}

bool may_remove(uid_t owner) { return ::geteuid() == 0 || ::geteuid() == owner; }

/// A failure to make a file; ENOENT says that the directory itself has vanished.
tl::unexpected<Error> cannot_make(Error error) {
  if (error.errnum == ENOENT) error.kind = ErrorKind::replaced;
  return fail(std::move(error));
}

}  // namespace

Result<std::vector<Claim>> Ledger::claims(const MutexGuard* guard) const {
  std::vector<std::pair<std::string, Ticket>> named;
  std::vector<Ticket> records;
  const Status scanned = for_each_name(dir_.claims(), [&](std::string_view name) {
    if (const auto claim = parse_claim_name(name)) {
      named.push_back(*claim);
    } else if (const auto record = parse_record_name(name)) {
      records.push_back(*record);
    }
  });
  if (!scanned) return fail(scanned.error());

  std::vector<Claim> live;
  std::map<Ticket, std::set<std::string>> fifos;  // by claim, the cards that have one
  std::set<Ticket> held_tickets;
  for (const auto& [uuid, ticket] : named) {
    const std::string name = claim_name(uuid, ticket);
    fifos[ticket].insert(uuid);
    Result<std::optional<HeldFifo>> held = open_if_held(dir_.claims(), name);
    if (!held) return fail(held.error());
    if (*held) {
      held_tickets.insert(ticket);
      live.push_back(Claim{ticket, uuid, (*held)->owner, false});
    }
  }
  // Only once all of a claim's cards are let go: until then a FIFO that is there and dead says that
  // its card is free, and the record belongs to the others.
  for (const auto& [uuid, ticket] : named) {
    if (guard != nullptr && held_tickets.count(ticket) == 0) {
      remove_claim(claim_name(uuid, ticket), ticket);
    }
  }
  // A card whose FIFO somebody removed (a cleaner of temporary files) is still held as long as the
  // claim's process lives.
  for (const Ticket ticket : records) {
    const auto known = fifos.find(ticket);
    if (known != fifos.end() && held_tickets.count(ticket) == 0) continue;  // it has ended
    const std::optional<ClaimRecord> record = claim_record(ticket);
    if (!record || record->owner.pid_namespace != pid_namespace()) continue;
    std::vector<std::string> lost;
    for (const std::string& uuid : record->devices) {
      if (known == fifos.end() || known->second.count(uuid) == 0) lost.push_back(uuid);
    }
    if (lost.empty()) continue;
    const auto identity = process_identity(record->owner.pid);
    if (!identity || identity->start_ticks != record->owner.start_ticks ||
        identity->uid != record->owner.uid) {
      if (guard != nullptr && known == fifos.end() && may_remove(record->owner.uid)) {
        remove_claim("", ticket);
      }
      continue;
    }
    for (std::string& uuid : lost) {
      live.push_back(Claim{ticket, std::move(uuid), record->owner.uid, true});
    }
  }
  std::sort(live.begin(), live.end(), [](const Claim& a, const Claim& b) {
    return a.ticket != b.ticket ? a.ticket < b.ticket : a.uuid < b.uuid;
  });
  return live;
}

Result<std::optional<ClaimWatch>> Ledger::watch(const Claim& claim) const {
  if (!claim.by_process) {
    Result<std::optional<HeldFifo>> held =
        open_if_held(dir_.claims(), claim_name(claim.uuid, claim.ticket));
    if (!held) return fail(held.error());
    if (!*held) return std::nullopt;
    return ClaimWatch{std::move((*held)->read_end), 0};
  }
  const std::optional<ClaimRecord> record = claim_record(claim.ticket);
  if (!record) return std::nullopt;
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, record->owner.pid, 0)));
  if (!pidfd) return std::nullopt;
  return ClaimWatch{std::move(pidfd), POLLIN};
}

/// The record goes first: a record without its FIFO means something else (see claims()).
void Ledger::remove_claim(const std::string& fifo, Ticket ticket) const {
  struct stat info{};
  if (!fifo.empty() && (::fstatat(dir_.claims(), fifo.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
                        !may_remove(info.st_uid))) {
    return;
  }
  ::unlinkat(dir_.claims(), (std::to_string(ticket) + kRecord).c_str(), 0);
  if (!fifo.empty()) ::unlinkat(dir_.claims(), fifo.c_str(), 0);
}

std::optional<ClaimRecord> Ledger::claim_record(Ticket ticket) const {
  const auto text = read_record(dir_.claims(), std::to_string(ticket) + kRecord);
  return text ? parse_claim(text->first, text->second) : std::nullopt;
}

Result<std::vector<Place>> Ledger::all_lines() const {
  std::vector<Place> places;
  const Status scanned = for_each_name(dir_.queue(), [&](std::string_view name) {
    if (const std::optional<Place> place = parse_place(name)) places.push_back(*place);
  });
  if (!scanned) return fail(scanned.error());
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.ticket < b.ticket; });
  return places;
}

Result<std::vector<Place>> Ledger::line(Ticket within) const {
  Result<std::vector<Place>> places = all_lines();
  if (places) {
    places->erase(std::remove_if(places->begin(), places->end(),
                                 [&](const Place& place) { return place.within != within; }),
                  places->end());
  }
  return places;
}

Result<bool> Ledger::is_live(const Place& place) const {
  const Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), base_name(place));
  if (!held) return fail(held.error());
  return held->has_value();
}

std::optional<WaiterRecord> Ledger::waiter_record(const Place& place) const {
  const auto text = read_record(dir_.queue(), base_name(place) + kRecord);
  if (!text) return std::nullopt;
  std::optional<WaiterRecord> record = parse_waiter(text->first, text->second);
  if (record) record->request.within = place.within;
  return record;
}

Result<bool> Ledger::is_passed_over(const Place& place) const {
  const Result<std::optional<BellState>> bell = bell_state(place);
  if (!bell) return fail(bell.error());
  return !*bell || ((*bell)->pending && (*bell)->age >= kAnswerTime);
}

void Ledger::clear_dead(const Place& place) const {
  struct stat info{};
  if (::fstatat(dir_.queue(), base_name(place).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
      may_remove(info.st_uid)) {
    leave(place);
  }
}

Result<Ahead> Ledger::ahead_of(const Place& place, const MutexGuard* guard) const {
  const Result<std::vector<Place>> all = all_lines();
  if (!all) return fail(all.error());
  std::vector<Place> places;  // of this line, ahead
  for (const Place& other : *all) {
    if (other.within != place.within) {
      // Nobody may ever come again to a line inside of a claim: whoever is new clears away its
      // dead.
      if (guard == nullptr || place.ticket != 0) continue;
      const Result<bool> live = is_live(other);
      if (!live) return fail(live.error());
      if (!*live) clear_dead(other);
    } else if (place.ticket == 0 || other.ticket < place.ticket) {
      places.push_back(other);
    }
  }
  Ahead ahead;
  ahead.length = places.size();
  // The predecessor before the first: with nobody alive there is no first either (the dead stay
  // dead), and one that dies between the two scans is noticed by its watch. The other way round, it
  // could be the first and already gone as a predecessor, and nobody would wake this waiter.
  for (auto other = places.rbegin(); other != places.rend(); ++other) {
    Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), base_name(*other));
    if (!held) return fail(held.error());
    if (!*held) continue;
    ahead.predecessor = *other;
    ahead.watch = std::move((*held)->read_end);
    break;
  }
  for (const Place& other : places) {
    const Result<bool> live = is_live(other);
    if (!live) return fail(live.error());
    if (!*live && guard != nullptr) clear_dead(other);
    if (!*live) continue;
    const Result<bool> passed_over = is_passed_over(other);
    if (!passed_over) return fail(passed_over.error());
    if (*passed_over) continue;
    if (ahead.predecessor) ahead.first = other;
    break;
  }
  return ahead;
}

/// The next ticket, larger than every one in a name in `dir` (the queue or the claims) whatever the
/// counter says: anybody may have written that, and planted names beforehand.
Result<Ticket> Ledger::next_ticket(const MutexGuard& guard, int dir) const {
  Counters counters = guard.read();
  const Ticket most = most_plausible_ticket();
  if (counters.last_ticket == 0 || counters.last_ticket > most)
    counters.last_ticket = first_ticket();
  const Status scanned = for_each_name(dir, [&](std::string_view name) {
    const auto at = name.rfind('@');
    if (dir == dir_.claims() && at != std::string_view::npos) name.remove_prefix(at + 1);
    const std::optional<Ticket> ticket = take_ticket(name);
    if (ticket && *ticket <= most) counters.last_ticket = std::max(counters.last_ticket, *ticket);
  });
  if (!scanned) return fail(scanned.error());
  ++counters.last_ticket;
  const Status written = guard.write(counters);
  if (!written) return fail(written.error());
  return counters.last_ticket;
}

// The FIFO is made first and removed last: whoever is killed in between leaves a dead place behind,
// which is cleared away like any other, and never a file that nobody looks for.
Result<Standing> Ledger::join(const MutexGuard& guard, const WaiterRecord& record) const {
  for (int tries = 0;; ++tries) {
    const Result<Ticket> ticket = next_ticket(guard, dir_.queue());
    if (!ticket) return fail(ticket.error());
    Standing standing;
    standing.place = Place{*ticket, record.request.within};
    const std::string name = base_name(standing.place);
    Result<UniqueFd> held = create_held_fifo(dir_.queue(), name);
    if (!held && held.error().errnum == EEXIST && tries < kTicketTries) continue;
    if (!held) return cannot_make(held.error());
    standing.held = std::move(*held);
    Result<UniqueFd> bell = create_bell(dir_.queue(), name + kBell);
    const Status written =
        bell ? write_record(dir_.queue(), name + kRecord, to_json(record)) : fail(bell.error());
    if (written) {
      standing.bell = std::move(*bell);
      return standing;
    }
    leave(standing.place);
    if (written.error().errnum == EEXIST && tries < kTicketTries) continue;
    return cannot_make(written.error());
  }
}

Status Ledger::rewrite(const Place& place, const WaiterRecord& record) const {
  const std::string name = base_name(place) + kRecord;
  const std::string fresh = base_name(place) + kFresh;
  ::unlinkat(dir_.queue(), fresh.c_str(), 0);
  if (Status written = write_record(dir_.queue(), fresh, to_json(record)); !written) return written;
  if (::renameat(dir_.queue(), fresh.c_str(), dir_.queue(), name.c_str()) != 0) {
    return fail(system_error(ErrorKind::lock_dir, "rename", name, errno));
  }
  return {};
}

void Ledger::leave(const Place& place) const {
  const std::string name = base_name(place);
  for (const char* ending : {kFresh, kBell, kRecord, ""}) {
    ::unlinkat(dir_.queue(), (name + ending).c_str(), 0);
  }
}

Result<Ledger::Made> Ledger::claim(const MutexGuard& guard, const ClaimRecord& record) const {
  for (int tries = 0;; ++tries) {
    const Result<Ticket> ticket = next_ticket(guard, dir_.claims());
    if (!ticket) return fail(ticket.error());
    Made made;
    made.ticket = *ticket;
    Status done;
    for (const std::string& uuid : record.devices) {
      Result<UniqueFd> held = create_held_fifo(dir_.claims(), claim_name(uuid, *ticket));
      if (!held) {
        done = fail(held.error());
        break;
      }
      made.held.push_back(std::move(*held));
    }
    if (done) {
      done = write_record(dir_.claims(), std::to_string(*ticket) + kRecord, to_json(record));
    }
    if (done) {
      // Counted when it can be seen: who reads the number before must find the claim gone or new.
      Counters counters = guard.read();
      ++counters.grants;
      done = guard.write(counters);
      if (done) return made;
      ::unlinkat(dir_.claims(), (std::to_string(*ticket) + kRecord).c_str(), 0);
    }
    for (std::size_t i = 0; i < made.held.size(); ++i) {
      ::unlinkat(dir_.claims(), claim_name(record.devices[i], *ticket).c_str(), 0);
    }
    if (done.error().errnum == EEXIST && tries < kTicketTries) continue;
    return cannot_make(done.error());
  }
}

std::optional<BellState> Ledger::ring_bell(const Place& place, Ring what) const {
  return ring(dir_.queue(), base_name(place) + kBell, what);
}

Result<std::optional<BellState>> Ledger::bell_state(const Place& place) const {
  return look_at_bell(dir_.queue(), base_name(place) + kBell);
}

}  // namespace gpu_gate
