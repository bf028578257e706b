#include "gate/cancel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <string_view>
#include <utility>

#include "base/folder.h"
#include "base/process.h"

namespace gpu_gate {
namespace {

/// The FIFO of a place; nothing where it is gone.
std::optional<FileId> fifo_of(const LockDir& dir, const Place& place) {
  struct stat info{};
  if (::fstatat(dir.queue(), place_name(place).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISFIFO(info.st_mode)) {
    return std::nullopt;
  }
  return FileId(info.st_dev, info.st_ino);
}

/// The files named as places are that a process has open for writing.
std::vector<FileId> places_written_by(pid_t pid, const std::string& proc) {
  const auto is_place = [](std::string_view name) {
    return parse_place_name(name, std::numeric_limits<Ticket>::max()).has_value();
  };
  return files_written_by(pid, is_place, proc);
}

bool stands_at(pid_t pid, const FileId& fifo, const std::string& proc) {
  const std::vector<FileId> places = places_written_by(pid, proc);
  return std::find(places.begin(), places.end(), fifo) != places.end();
}

/// The process, if it stands at the place.
StandIn if_it_stands_at(pid_t pid, const FileId& fifo, const std::string& proc) {
  PidFd opened = open_pidfd(pid);
  if (opened.errnum == ESRCH || !stands_at(pid, fifo, proc)) return {};
  if (!opened.fd) return {.why = StandIn::Why::no_pidfd, .pid = pid, .pidfd = {}};
  return {.why = StandIn::Why::found, .pid = pid, .pidfd = std::move(opened.fd)};
}

/// By the pid and the start time that its record names.
StandIn by_record(const Owner& owner, const FileId& fifo, const std::string& proc) {
  if (owner.pid == 0) return {};
  if (owner.pid_namespace != pid_namespace()) return {.why = StandIn::Why::elsewhere, .pidfd = {}};
  if (!process_lives(owner.pid, owner.start_ticks, proc)) return {};
  return if_it_stands_at(owner.pid, fifo, proc);
}

}  // namespace

Result<std::vector<LiveRequest>> live_requests(const Line& line) {
  const Result<std::vector<Place>> places = line.all_places();
  if (!places) return fail(places.error());
  std::vector<LiveRequest> requests;
  for (const Place& place : *places) {
    const Result<std::optional<uid_t>> holder = line.holder(place);
    if (!holder) return fail(holder.error());
    if (!*holder) continue;
    const std::optional<WaiterRecord> record = line.record(place, **holder);
    requests.push_back(
        {.place = place, .uid = **holder, .owner = record ? record->owner : Owner()});
  }
  return requests;
}

std::vector<StandIn> stand_ins(const LockDir& dir, const std::vector<LiveRequest>& requests,
                               const std::string& proc) {
  std::vector<StandIn> found(requests.size());
  std::vector<std::optional<FileId>> fifos;  // those still to be found
  for (std::size_t i = 0; i < requests.size(); ++i) {
    fifos.push_back(fifo_of(dir, requests[i].place));
    if (!fifos[i]) continue;
    found[i] = by_record(requests[i].owner, *fifos[i], proc);
    if (found[i].why != StandIn::Why::hidden) fifos[i].reset();
  }
  if (std::none_of(fifos.begin(), fifos.end(), [](const auto& fifo) { return fifo.has_value(); })) {
    return found;
  }
  for (const std::uint64_t number : numbers_in_folder(proc).numbers) {
    const auto pid = static_cast<pid_t>(number);
    for (const FileId& open : places_written_by(pid, proc)) {
      const auto at = std::find(fifos.begin(), fifos.end(), std::optional(open));
      if (at == fifos.end()) continue;
      found[static_cast<std::size_t>(at - fifos.begin())] = if_it_stands_at(pid, open, proc);
    }
  }
  return found;
}

bool end_wait(const MutexGuard& /*guard*/, const Line& line, const Place& place,
              const StandIn& process) {
  if (!line.watch(place).value_or(UniqueFd())) return false;
  const auto send = [&](int signal) {
    return ::syscall(SYS_pidfd_send_signal, process.pidfd.get(), signal, nullptr, 0) == 0;
  };
  return send(SIGTERM) && (send(SIGCONT), true);
}

}  // namespace gpu_gate
