#include "gate/claims.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/// Does the process that a record names live?
bool process_lives(const Owner& owner) {
  const auto identity = process_identity(owner.pid);
  return identity && identity->start_ticks == owner.start_ticks && identity->uid == owner.uid;
}

}  // namespace

Result<ClaimScan> Claims::scan() const {
  const Result<std::vector<std::string>> names = names_in(dir_.claims());
  if (!names) return fail(names.error());
  const ClaimNames found = parse_names(*names);

  ClaimScan scan;
  scan.last_ticket = found.last_ticket;
  std::map<Ticket, FifosOfClaim> fifos;
  for (const ClaimName& name : found.fifos) {
    FifosOfClaim& claim = fifos[name.ticket];
    claim.uuids.insert(name.uuid);
    const Result<std::optional<HeldFifo>> fifo = open_if_held(dir_.claims(), claim_name(name));
    if (!fifo) return fail(fifo.error());
    if (!*fifo) continue;
    claim.any_held = true;
    scan.live.push_back({.ticket = name.ticket, .uuid = name.uuid, .uid = (*fifo)->owner});
  }
  for (const ClaimName& name : found.fifos) {
    if (!fifos[name.ticket].any_held) scan.dead_fifos.push_back(name);
  }
  for (const Ticket ticket : found.records) {
    const FifosOfClaim& claim = fifos[ticket];
    const bool ended = !claim.uuids.empty() && !claim.any_held;
    if (ended) continue;
    Removed removed = scan_removed_fifos(ticket, claim);
    std::move(removed.live.begin(), removed.live.end(), std::back_inserter(scan.live));
    if (removed.dead_record) scan.dead_records.push_back(ticket);
  }
  std::sort(scan.live.begin(), scan.live.end(), [](const Claim& a, const Claim& b) {
    return a.ticket != b.ticket ? a.ticket < b.ticket : a.uuid < b.uuid;
  });
  return scan;
}

/// Such a device is held as long as the claim's process lives. A record of another pid namespace
/// says nothing about a process here.
Claims::Removed Claims::scan_removed_fifos(Ticket ticket, const FifosOfClaim& fifos) const {
  const std::optional<ClaimRecord> record = read_record(ticket, std::nullopt);
  if (!record || record->owner.pid_namespace != pid_namespace()) return {};
  std::vector<Claim> removed;
  for (const std::string& uuid : record->devices) {
    if (fifos.uuids.contains(uuid)) continue;
    removed.push_back(
        {.ticket = ticket, .uuid = uuid, .uid = record->owner.uid, .by_process = true});
  }
  if (removed.empty()) return {};
  if (process_lives(record->owner)) return {.live = std::move(removed)};
  return {.live = {}, .dead_record = fifos.uuids.empty()};
}

// The record goes first: a record without its FIFO means something else (see scan).
void Claims::clear(const MutexGuard& /*guard*/, const ClaimScan& scan) const {
  const auto remove_if_allowed = [&](const std::string& name, Ticket ticket) {
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

std::optional<ClaimRecord> Claims::read_record(Ticket ticket, std::optional<uid_t> owner) const {
  const auto file = read_record_file(dir_.claims(), claim_record_name(ticket), owner);
  return file ? parse_claim(file->text, file->uid) : std::nullopt;
}

std::optional<ClaimRecord> Claims::record(const Claim& claim) const {
  return read_record(claim.ticket, claim.uid);
}

Result<std::optional<ClaimWatch>> Claims::watch(const Claim& claim) const {
  if (!claim.by_process) {
    Result<std::optional<HeldFifo>> held =
        open_if_held(dir_.claims(), claim_name({.uuid = claim.uuid, .ticket = claim.ticket}));
    if (!held) return fail(held.error());
    if (!*held) return std::nullopt;
    return ClaimWatch{.fd = std::move((*held)->read_end), .events = 0};
  }
  const std::optional<ClaimRecord> owned = record(claim);
  if (!owned) return std::nullopt;
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, owned->owner.pid, 0)));
  if (!pidfd && errno == ESRCH) return std::nullopt;
  // Where the kernel has no pidfd, or does not give one, the poll finds out.
  return ClaimWatch{.fd = std::move(pidfd), .events = POLLIN};
}

Result<NewClaim> Claims::make(MutexGuard& guard, const ClaimScan& scan,
                              const ClaimRecord& record) const {
  Counters counters = guard.counters();
  counters.last_ticket = std::max(counters.last_ticket, scan.last_ticket);
  // Counted when it can be seen: a reader that got the number before must find the claim gone or
  // new.
  ++counters.grants;
  for (int tries = 0;; ++tries) {
    const Ticket ticket = ++counters.last_ticket;
    Result<std::vector<UniqueFd>> held = make_files(ticket, record);
    if (!held && held.error().errnum == EEXIST && tries < kMaxTicketTries) continue;
    if (!held) return fail(creation_error(held.error()));
    if (Status counted = guard.write(counters); !counted) {
      ::unlinkat(dir_.claims(), claim_record_name(ticket).c_str(), 0);
      remove_fifos(ticket, record.devices);
      return fail(counted.error());
    }
    return NewClaim{.ticket = ticket, .held = std::move(*held)};
  }
}

/// A FIFO for each device, in the order of the record, and then the record. Nothing is left of them
/// where that fails.
Result<std::vector<UniqueFd>> Claims::make_files(Ticket ticket, const ClaimRecord& record) const {
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
  if (done) done = write_record_file(dir_.claims(), claim_record_name(ticket), to_json(record));
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
