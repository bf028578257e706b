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
#include <memory>
#include <set>

#include "base/printable.h"
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
  if (!fd) return fail(system_error(ExitCode::lock_dir, "open", ".", errno));
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(fd.get()));
  if (!stream) return fail(system_error(ExitCode::lock_dir, "fdopendir", ".", errno));
  fd.release();
  for (;;) {
    errno = 0;
    const struct dirent* entry = ::readdir(stream.get());
    if (entry == nullptr && errno != 0) {
      return fail(system_error(ExitCode::lock_dir, "readdir", ".", errno));
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
  if (!fd) return fail(system_error(ExitCode::lock_dir, "open", name, errno));
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(fd.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      Error error = system_error(ExitCode::lock_dir, "write", name, written < 0 ? errno : ENOSPC);
      ::unlinkat(dir, name.c_str(), 0);
      return fail(std::move(error));
    }
    done += static_cast<std::size_t>(written);
  }
  return {};
}

bool may_remove(uid_t owner) { return ::geteuid() == 0 || ::geteuid() == owner; }

/// A failure to make a file, in words for the user; a directory that vanished becomes ESTALE.
tl::unexpected<Error> cannot_make(const LockDir& dir, Error error) {
  if (error.errnum == ENOENT) error.errnum = ESTALE;
  error.text = "cannot use the lock directory " + printable(dir.path()) + ": " + error.text;
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
  std::set<Ticket> with_fifo;
  for (auto& [uuid, ticket] : named) {
    const std::string name = claim_name(uuid, ticket);
    with_fifo.insert(ticket);
    Result<std::optional<HeldFifo>> held = open_if_held(dir_.claims(), name);
    if (!held) return fail(held.error());
    if (*held) {
      live.push_back(
          Claim{ticket, std::move(uuid), (*held)->owner, std::move((*held)->read_end), 0});
    } else if (guard != nullptr) {
      remove_claim(name, ticket);
    }
  }
  // A claim whose FIFO somebody removed under it (a cleaner of temporary files) is still held as
  // long as its process lives.
  for (const Ticket ticket : records) {
    if (with_fifo.count(ticket) != 0) continue;
    const std::optional<ClaimRecord> record = claim_record(ticket);
    if (!record || record->owner.pid_namespace != pid_namespace()) continue;
    const auto identity = process_identity(record->owner.pid);
    if (!identity || identity->start_ticks != record->owner.start_ticks ||
        identity->uid != record->owner.uid) {
      if (guard != nullptr && may_remove(record->owner.uid)) remove_claim("", ticket);
      continue;
    }
    for (const std::string& uuid : record->devices) {
      UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, record->owner.pid, 0)));
      live.push_back(Claim{ticket, uuid, record->owner.uid, std::move(pidfd), POLLIN});
    }
  }
  std::sort(live.begin(), live.end(), [](const Claim& a, const Claim& b) {
    return a.ticket != b.ticket ? a.ticket < b.ticket : a.uuid < b.uuid;
  });
  return live;
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

bool Ledger::is_passed_over(const Place& place) const {
  const std::optional<BellState> bell = bell_state(place);
  return bell && bell->pending && bell->age >= kAnswerTime;
}

Result<Ahead> Ledger::ahead_of(const Place& place, const MutexGuard* guard) const {
  Result<std::vector<Place>> places = line(place.within);
  if (!places) return fail(places.error());
  if (place.ticket != 0) {
    places->erase(std::find_if(places->begin(), places->end(),
                               [&](const Place& other) { return other.ticket >= place.ticket; }),
                  places->end());
  }
  Ahead ahead;
  for (const Place& other : *places) {
    const std::string name = base_name(other);
    const Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), name);
    if (!held) return fail(held.error());
    if (!*held) {
      struct stat info{};
      if (guard != nullptr &&
          ::fstatat(dir_.queue(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
          may_remove(info.st_uid)) {
        leave(other);
      }
      continue;
    }
    if (is_passed_over(other)) continue;
    ahead.first = other;
    break;
  }
  for (auto other = places->rbegin(); other != places->rend(); ++other) {
    Result<std::optional<HeldFifo>> held = open_if_held(dir_.queue(), base_name(*other));
    if (!held) return fail(held.error());
    if (!*held) continue;
    ahead.predecessor = *other;
    ahead.watch = std::move((*held)->read_end);
    break;
  }
  return ahead;
}

Result<Ticket> Ledger::next_ticket(const MutexGuard& guard, bool grant) const {
  Counters counters = guard.read();
  const Ticket most = most_plausible_ticket();
  if (counters.last_ticket == 0 || counters.last_ticket > most) {
    // A new file, or one that somebody spoiled: go on behind everything that is there.
    counters.last_ticket = first_ticket();
    const Result<std::vector<Place>> places = all_lines();
    if (!places) return fail(places.error());
    if (!places->empty()) {
      counters.last_ticket = std::max(counters.last_ticket, places->back().ticket);
    }
    const Result<std::vector<Claim>> live = claims(nullptr);
    if (!live) return fail(live.error());
    for (const Claim& claim : *live) {
      if (claim.ticket <= most) {
        counters.last_ticket = std::max(counters.last_ticket, claim.ticket);
      }
    }
  }
  ++counters.last_ticket;
  if (grant) ++counters.grants;
  const Status written = guard.write(counters);
  if (!written) return fail(written.error());
  return counters.last_ticket;
}

// The FIFO is made first and removed last: whoever is killed in between leaves a dead place behind,
// which is cleared away like any other, and never a file that nobody looks for.
Result<Standing> Ledger::join(const MutexGuard& guard, const WaiterRecord& record) const {
  for (int tries = 0;; ++tries) {
    const Result<Ticket> ticket = next_ticket(guard, false);
    if (!ticket) return fail(ticket.error());
    Standing standing;
    standing.place = Place{*ticket, record.request.within};
    const std::string name = base_name(standing.place);
    Result<UniqueFd> held = create_held_fifo(dir_.queue(), name);
    if (!held && held.error().errnum == EEXIST && tries < kTicketTries) continue;
    if (!held) return cannot_make(dir_, held.error());
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
    return cannot_make(dir_, written.error());
  }
}

Status Ledger::rewrite(const Place& place, const WaiterRecord& record) const {
  const std::string name = base_name(place) + kRecord;
  const std::string fresh = base_name(place) + kFresh;
  ::unlinkat(dir_.queue(), fresh.c_str(), 0);
  if (Status written = write_record(dir_.queue(), fresh, to_json(record)); !written) return written;
  if (::renameat(dir_.queue(), fresh.c_str(), dir_.queue(), name.c_str()) != 0) {
    return fail(system_error(ExitCode::lock_dir, "rename", name, errno));
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
    const Result<Ticket> ticket = next_ticket(guard, true);
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
    if (done) return made;
    for (std::size_t i = 0; i < made.held.size(); ++i) {
      ::unlinkat(dir_.claims(), claim_name(record.devices[i], *ticket).c_str(), 0);
    }
    if (done.error().errnum == EEXIST && tries < kTicketTries) continue;
    return cannot_make(dir_, done.error());
  }
}

std::optional<BellState> Ledger::ring_bell(const Place& place) const {
  return ring(dir_.queue(), base_name(place) + kBell);
}

std::optional<BellState> Ledger::bell_state(const Place& place) const {
  return look_at_bell(dir_.queue(), base_name(place) + kBell);
}

}  // namespace gpu_gate
