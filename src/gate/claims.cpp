#include "gate/claims.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>

#include "base/process.h"
#include "gate/fifo.h"
#include "gate/record_file.h"

namespace gpu_gate {
namespace {

/// What the names in claims/ say.
struct ClaimNames {
  std::vector<ClaimName> fifos;
  std::vector<Ticket> records;
  Ticket last_ticket = 0;
};

ClaimNames parse_names(const std::vector<std::string>& names) {
  const Ticket highest = highest_plausible_ticket();
  ClaimNames found;
  for (const std::string& name : names) {
    found.last_ticket = std::max(found.last_ticket, ticket_in_claims(name, highest).value_or(0));
    if (auto fifo = parse_claim_name(name, highest)) {
      found.fifos.push_back(std::move(*fifo));
    } else if (const auto record = parse_claim_record_name(name, highest)) {
      found.records.push_back(*record);
    }
  }
  return found;
}

/// Does the process that a record names live? One in another pid namespace cannot be told, and does
/// not; nor does one that a record names though it is another user's. (But a command may become
/// another user, as with sudo.)
bool owner_lives(const Owner& owner) {
  return owner.pid > 0 && owner.pid_namespace == pid_namespace() && !pidfd_tells_end(owner.pid) &&
         process_lives(owner.pid, owner.start_ticks) && may_be_process_of(owner.uid, owner.pid);
}

}  // namespace

Result<ClaimScan> Claims::scan() const {
  Result<ClaimScan> scan = scan_folder(dir_.claims(), known_);
  if (!scan) return scan;
  for (std::size_t place = 0; place < dir_.other_places(); ++place) {
    const Result<UniqueFd> other = dir_.open_other_claims(place);
    if (!other) return fail(other.error());
    if (!*other) continue;
    std::map<Ticket, Known> unknown;
    Result<ClaimScan> found = scan_folder(other->get(), unknown);
    if (!found) return found;
    for (Claim& claim : found->live) {
      claim.place = place + 1;
      scan->live.push_back(std::move(claim));
    }
  }
  std::sort(scan->live.begin(), scan->live.end(), [](const Claim& a, const Claim& b) {
    return a.ticket != b.ticket ? a.ticket < b.ticket : a.uuid < b.uuid;
  });
  return scan;
}

Result<ClaimScan> Claims::scan_folder(int folder, std::map<Ticket, Known>& known) {
  if (folder < 0) return ClaimScan{};  // there is none yet
  const Result<std::vector<std::string>> names = names_in(folder);
  if (!names) return fail(names.error());
  const ClaimNames found = parse_names(*names);

  ClaimScan scan;
  scan.last_ticket = found.last_ticket;
  std::map<Ticket, Files> claims;
  for (const Ticket ticket : found.records) claims[ticket].record = true;
  for (const ClaimName& name : found.fifos) {
    Files& files = claims[name.ticket];
    if (known[name.ticket].dead.contains(name.uuid)) {
      files.dead.insert(name.uuid);
      continue;
    }
    const Result<std::optional<HeldFifo>> fifo = open_if_held(folder, claim_name(name));
    if (!fifo) return fail(fifo.error());
    if (!*fifo) {
      files.dead.insert(name.uuid);
      if (files.record) known[name.ticket].dead.insert(name.uuid);
      continue;
    }
    files.held.insert(name.uuid);
    scan.live.push_back({.ticket = name.ticket, .uuid = name.uuid, .uid = (*fifo)->owner});
  }
  std::erase_if(known, [&](const auto& entry) { return !claims.contains(entry.first); });
  for (const auto& [ticket, files] : claims) sort_in(folder, ticket, files, known[ticket], scan);
  for (Claim& claim : scan.live) {
    const std::optional<ClaimRecord>& record = known[claim.ticket].record;
    if (!record || record->owner.uid != claim.uid) continue;  // then it is all that it can be
    claim.within = record->within;
    claim.share_mib = record->share_mib;
  }
  return scan;
}

/// The devices of a claim that no FIFO holds, but its process as long as it lives: those of a job,
/// and those of anybody whose FIFO somebody has removed.
std::vector<Claim> Claims::left_to_process(Ticket ticket, const Files& files,
                                           const ClaimRecord& record) {
  std::vector<Claim> left;
  for (const std::string& uuid : record.devices) {
    if (files.held.contains(uuid) || (files.dead.contains(uuid) && !record.with_process)) continue;
    left.push_back({.ticket = ticket, .uuid = uuid, .uid = record.owner.uid, .by_process = true});
  }
  return left;
}

/// Is this claim, or are parts of it, alive? A FIFO that is there and dead keeps the record until
/// all devices of the claim are let go.
void Claims::sort_in(int folder, Ticket ticket, const Files& files, Known& known, ClaimScan& scan) {
  if (files.record && !known.record) known.record = read_record(folder, ticket, std::nullopt);
  const ClaimRecord* record = files.record && known.record ? &*known.record : nullptr;
  std::vector<Claim> left;
  if (record != nullptr) left = left_to_process(ticket, files, *record);
  if (!left.empty() && !known.process_ended) known.process_ended = !owner_lives(record->owner);
  const bool process_holds = !left.empty() && !known.process_ended;
  if (process_holds || !files.held.empty()) {
    if (process_holds) std::move(left.begin(), left.end(), std::back_inserter(scan.live));
    return;
  }
  for (const std::string& uuid : files.dead) scan.dead_fifos.push_back({uuid, ticket});
  const bool only_record = files.dead.empty() && !left.empty();
  if (only_record && record->owner.pid_namespace == pid_namespace()) {
    scan.dead_records.push_back(ticket);
  }
}

// The record goes first: a record without its FIFO means something else (see scan).
void Claims::clear(MutexGuard& guard, const ClaimScan& scan) const {
  const bool any_dead = !scan.dead_fifos.empty() || !scan.dead_records.empty();
  if (Counters counters = guard.counters(); any_dead && scan.last_ticket > counters.last_ticket) {
    counters.last_ticket = scan.last_ticket;
    if (!guard.write(counters)) return;
  }
  const auto remove_if_allowed = [&](const std::string& name, Ticket ticket) {
    const auto known = known_.find(ticket);
    if (known != known_.end() && known->second.record &&
        !may_remove(known->second.record->owner.uid)) {
      return;
    }
    struct stat info{};
    if (::fstatat(dir_.claims(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !may_remove(info.st_uid)) {
      return;
    }
    const std::string record = claim_record_name(ticket);
    ::unlinkat(dir_.claims(), record.c_str(), 0);
    if (name != record) ::unlinkat(dir_.claims(), name.c_str(), 0);
  };
  for (const ClaimName& fifo : scan.dead_fifos) remove_if_allowed(claim_name(fifo), fifo.ticket);
  for (const Ticket ticket : scan.dead_records) {
    remove_if_allowed(claim_record_name(ticket), ticket);
  }
}

Result<Claims::Folder> Claims::folder_of(const Claim& claim) const {
  if (claim.place == 0) return Folder{.fd = dir_.claims(), .other = {}};
  Result<UniqueFd> other = dir_.open_other_claims(claim.place - 1);
  if (!other) return fail(other.error());
  const int fd = other->get();
  return Folder{.fd = fd, .other = std::move(*other)};
}

std::optional<ClaimRecord> Claims::read_record(int folder, Ticket ticket,
                                               std::optional<uid_t> owner) {
  const auto file = read_record_file(folder, claim_record_name(ticket), owner);
  return file ? parse_claim(file->text, file->uid) : std::nullopt;
}

std::optional<ClaimRecord> Claims::record(const Claim& claim) const {
  if (const auto known = known_.find(claim.ticket);
      claim.place == 0 && known != known_.end() && known->second.record) {
    return known->second.record->owner.uid == claim.uid ? known->second.record : std::nullopt;
  }
  const Result<Folder> folder = folder_of(claim);
  if (!folder || folder->fd < 0) return std::nullopt;
  return read_record(folder->fd, claim.ticket, claim.uid);
}

bool Claims::is_fifo_of(const Claim& claim, const FileId& file) const {
  struct stat info{};
  const std::string name = claim_name({.uuid = claim.uuid, .ticket = claim.ticket});
  const Result<Folder> folder = folder_of(claim);
  return folder && ::fstatat(folder->fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         file == FileId(info.st_dev, info.st_ino);
}

Result<std::optional<ClaimWatch>> Claims::watch(const Claim& claim) const {
  if (!claim.by_process) {
    const Result<Folder> folder = folder_of(claim);
    if (!folder) return fail(folder.error());
    if (folder->fd < 0) return std::nullopt;
    Result<std::optional<HeldFifo>> held =
        open_if_held(folder->fd, claim_name({.uuid = claim.uuid, .ticket = claim.ticket}));
    if (!held) return fail(held.error());
    if (!*held) return std::nullopt;
    return ClaimWatch{.fd = std::move((*held)->read_end), .events = 0};
  }
  const std::optional<ClaimRecord> owned = record(claim);
  if (!owned) return std::nullopt;
  PidFd end = open_pidfd(owned->owner.pid);
  if (end.errnum == ESRCH) return std::nullopt;
  // Where the kernel gives no pidfd, the look after --poll finds out.
  return ClaimWatch{.fd = std::move(end.fd), .events = POLLIN};
}

Result<NewClaim> Claims::make(MutexGuard& guard, const ClaimScan& scan, const ClaimRecord& record,
                              Recording recording) const {
  Counters counters = guard.counters();
  counters.last_ticket = std::max(counters.last_ticket, scan.last_ticket);
  // Counted when it can be seen: a reader that got the number before must find the claim gone or
  // new.
  ++counters.grants;
  for (int tries = 0;; ++tries) {
    const Ticket ticket = ++counters.last_ticket;
    Result<std::vector<UniqueFd>> held = make_files(ticket, record, recording);
    if (!held && held.error().errnum == EEXIST && tries < kMaxTicketTries) continue;
    if (!held) return fail(creation_error(held.error()));
    Status counted = guard.write_claim(counters, record.devices);
    // Somebody who uses the new directory already may not have seen this claim; whoever comes there
    // from now on, does.
    if (counted && !dir_.is_current()) counted = fail(ErrorKind::replaced, "");
    if (!counted) {
      ::unlinkat(dir_.claims(), claim_record_name(ticket).c_str(), 0);
      remove_fifos(ticket, record.devices);
      return fail(counted.error());
    }
    return NewClaim{.ticket = ticket, .held = std::move(*held)};
  }
}

/// A FIFO for each device, in the order of the record, and then the record. Nothing is left of them
/// where that fails.
Result<std::vector<UniqueFd>> Claims::make_files(Ticket ticket, const ClaimRecord& record,
                                                 Recording recording) const {
  std::vector<UniqueFd> held;
  Status done;
  for (const std::string& uuid : record.devices) {
    Result<UniqueFd> fifo =
        create_held_fifo(dir_.claims(), claim_name({.uuid = uuid, .ticket = ticket}));
    if (!fifo) {
      done = fail(fifo.error());
      break;
    }
    held.push_back(std::move(*fifo));
  }
  if (done) {
    done = write_record_file(dir_.claims(), claim_record_name(ticket), to_json(record));
    if (!done && recording == Recording::if_possible && lacks_room(done.error())) return held;
  }
  if (done) return held;
  remove_fifos(ticket, std::span(record.devices).first(held.size()));
  return fail(done.error());
}

void Claims::remove_fifos(Ticket ticket, std::span<const std::string> uuids) const {
  for (const std::string& uuid : uuids) {
    ::unlinkat(dir_.claims(), claim_name({.uuid = uuid, .ticket = ticket}).c_str(), 0);
  }
}

}  // namespace gpu_gate
