#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include "base/printable.h"
#include "base/process.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "cli/acquire.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/console.h"
#include "cli/history_text.h"
#include "cli/json_output.h"
#include "cli/keep_history.h"
#include "history/journal.h"
#include "history/picture.h"

namespace gpu_gate {
namespace {

constexpr std::int64_t kUsualSpanMs = std::int64_t{7} * 24 * 3600 * 1000;

/// The claims that live by the lock directory, as tickets and users; none where it cannot be read.
std::set<std::pair<Ticket, uid_t>> live_claims() {
  std::set<std::pair<Ticket, uid_t>> live;
  const Result<LockDir> dir = LockDir::open_existing(lock_dir_paths());
  if (!dir) return live;
  const Result<ClaimScan> scan = Claims(*dir).scan();
  if (!scan) return live;
  for (const Claim& claim : scan->live) live.emplace(claim.ticket, claim.uid);
  return live;
}

/// Does the process live that the claim lasts as long as? (It may be one of another lock
/// directory.)
bool process_of_claim_lives(const HistoryEntry& entry) {
  return entry.with_process && entry.pid > 0 && entry.pid_namespace == pid_namespace() &&
         process_lives(entry.pid, entry.start_ticks) && may_be_process_of(entry.uid, entry.pid);
}

/// The device as far as a list of GPUs can name it.
Device as_device(const PastDevice& past) {
  Device device;
  device.uuid = past.uuid;
  device.pci_bus_id = past.pci;
  const std::size_t colon = std::min(past.label.find(':'), past.label.size());
  device.index = -1;
  std::from_chars(past.label.data(), past.label.data() + colon, device.index);
  if (colon < past.label.size()) {
    int instance = 0;
    std::from_chars(past.label.data() + colon + 1, past.label.data() + past.label.size(), instance);
    device.instance = instance;
  }
  return device;
}

/// Leaves of each claim the devices that are in the list, and of the claims those that have any.
void restrict_to(const std::vector<GpuRef>& list, std::vector<PastClaim>& claims) {
  for (PastClaim& claim : claims) {
    std::erase_if(claim.entry.devices, [&](const PastDevice& past) {
      const Device device = as_device(past);
      return std::none_of(list.begin(), list.end(),
                          [&](const GpuRef& ref) { return covers(ref, device); });
    });
  }
  std::erase_if(claims, [](const PastClaim& claim) { return claim.entry.devices.empty(); });
}

/// Names by number, each asked for once.
std::function<std::string(uid_t)> user_names() {
  return [names = std::map<uid_t, std::string>()](uid_t uid) mutable {
    const auto [name, is_new] = names.try_emplace(uid);
    if (is_new) name->second = user_name(uid);
    return name->second;
  };
}

/// What is asked for of what there is.
HistoryView view_of(History history, const HistoryOptions& asked) {
  const auto live = live_claims();
  const Present present{
      .now_ms = wall_clock_ms(), .boot = this_boot(), .lives = [&](const HistoryEntry& entry) {
        return live.contains({entry.claim, entry.uid}) || process_of_claim_lives(entry);
      }};
  HistoryView view{.span = {},
                   .now_ms = present.now_ms,
                   .claims = {},
                   .all = past_claims(std::move(history.entries), present),
                   .user_name = user_names()};
  view.span.to_ms = asked.until_ms.value_or(present.now_ms);
  view.span.from_ms = asked.since_ms.value_or(view.span.to_ms - kUsualSpanMs);
  if (asked.gpus) restrict_to(*asked.gpus, view.all);
  std::copy_if(view.all.begin(), view.all.end(), std::back_inserter(view.claims),
               [&](const PastClaim& claim) {
                 return within(span_of(claim, present.now_ms), view.span) &&
                        (!asked.user || claim.entry.uid == *asked.user);
               });
  return view;
}

std::string shown(const HistoryView& view, const Options& options) {
  if (options.json) return history_json(view);
  const bool utf8 = use_locale_characters();
  std::optional<std::size_t> width;
  if (::isatty(STDOUT_FILENO) == 1) width = terminal_width(STDOUT_FILENO);
  const std::string text =
      options.history.jobs ? history_jobs_text(view, width) : history_text(view);
  return utf8 ? text : in_ascii(text);
}

/// Writes the picture to a file, in place of what is there. Errors: output.
Status write_picture(const HistoryView& view, const std::string& path) {
  const std::string svg = picture_svg({.span = view.span,
                                       .now_ms = view.now_ms,
                                       .claims = view.claims,
                                       .all = view.all,
                                       .user_name = view.user_name});
  const UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666));
  if (!file) return fail(system_error(ErrorKind::output, "open", path, errno));
  const WriteSignals signals;
  for (std::size_t done = 0; done < svg.size();) {
    const ssize_t written = ::write(file.get(), svg.data() + done, svg.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int errnum = errno;
      signals.failed(errnum);
      return fail(system_error(ErrorKind::output, "write", path, errnum));
    }
    done += static_cast<std::size_t>(written);
  }
  return {};
}

void tell_what_is_missing(const History& history, const std::string& directory) {
  if (history.unread > 0) {
    say(std::to_string(history.unread) + (history.unread == 1 ? " line" : " lines") + " in " +
        printable(directory) + " cannot be read (a full disk, a power cut) and " +
        (history.unread == 1 ? "does" : "do") + " not count");
  }
  if (history.cut) {
    say("there is so much in " + printable(directory) + " that the oldest claims do not count");
  }
}

}  // namespace

Status history_command(const Options& options) {
  const std::string directory = history_directory();
  if (::access(directory.c_str(), F_OK) != 0) {
    say("no history is kept, since there is no directory " + printable(directory) +
        "; to begin one: sudo install -d -m 1777 " + shell_word(printable(directory)));
    return options.json ? print("[]\n") : Status();
  }
  Result<History> history = read_history(directory);
  if (!history) return fail(history.error());
  tell_what_is_missing(*history, directory);
  const HistoryView view = view_of(*std::move(history), options.history);
  if (options.history.svg) return write_picture(view, *options.history.svg);
  return print(shown(view, options));
}

}  // namespace gpu_gate
