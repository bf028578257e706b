#include "cli/notices.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/process.h"
#include "cli/text.h"
#include "gate/timing.h"

namespace gpu_gate {
namespace {

std::string ordinal(std::size_t n) {
  const std::size_t last = n % 10;
  const bool teen = n / 10 % 10 == 1;
  const char* ending = teen ? "th" : last == 1 ? "st" : last == 2 ? "nd" : last == 3 ? "rd" : "th";
  return std::to_string(n) + ending;
}

/// What tells a device from the others also in a later snapshot, which may have more of them.
std::string name_of(const Device& device) {
  return device.uuid.empty() ? label(device) : device.uuid;
}

std::string using_text(const Granted& end) {
  std::string text = "using " + granted_text(end);
  if (end.waited) {
    text +=
        fmt::format(" after {}",
                    human_duration(std::chrono::duration_cast<std::chrono::seconds>(end.duration)));
  }
  return text;
}

/// "bob", "bob and carol", "bob, carol and 2 others". Only who is named is looked up.
std::string people(const std::vector<uid_t>& users) {
  constexpr std::size_t kNamed = 3;
  const auto name = [](uid_t uid) { return printable(user_name(uid)); };
  if (users.size() == 1) return name(users[0]);
  const bool all = users.size() <= kNamed;
  const std::size_t before = all ? users.size() - 1 : kNamed - 1;
  const std::string last =
      all ? name(users.back()) : fmt::format("{} others", users.size() - before);
  std::string text = name(users[0]);
  for (std::size_t i = 1; i < before; ++i) text += ", " + name(users[i]);
  return text + " and " + last;
}

/// "3rd in line (bob and carol hold fewer GPUs than you)".
std::string standing_text(const Standing& standing) {
  std::string text = ordinal(standing.position) + " in line";
  if (standing.overtaking.empty()) return text;
  const bool one = standing.overtaking.size() == 1;
  const std::string why = standing.hold_less
                              ? (one ? "holds fewer GPUs than you" : "hold fewer GPUs than you")
                              : (one ? "has a turn in between" : "have turns in between");
  return fmt::format("{} ({} {})", text, people(standing.overtaking), why);
}

}  // namespace

std::string granted_text(const Granted& granted) {
  const bool one = granted.devices.size() == 1;
  std::string text;
  if (granted.share_mib) {
    text = fmt::format("{} MiB {} ", *granted.share_mib, one ? "of" : "on each of");
  }
  text += one ? "GPU " : "GPUs ";
  for (std::size_t i = 0; i < granted.devices.size(); ++i) {
    const Device& device = granted.devices[i];
    text += fmt::format("{}{} ({}, {} MiB free)", i == 0 ? "" : ", ", label(device),
                        printable(device.name), device.memory_free_mib);
  }
  return text;
}

std::string holding_text(const Granted& granted, const Holding& holding) {
  std::string text = "holding " + granted_text(granted);
  const std::string way_out =
      holding.interruptible ? "Ctrl-C" : fmt::format("kill {}", holding.holder);
  if (holding.at_most) {
    text += " for " +
            human_duration(std::chrono::duration_cast<std::chrono::seconds>(*holding.at_most));
    if (holding.pid) text += fmt::format(", or until process {} ends", *holding.pid);
  } else if (holding.pid) {
    text += fmt::format(" until process {} ends", *holding.pid);
  } else if (!holding.keyboard) {
    text += " until standard input ends";
  } else {
    return text + "; Ctrl-D or " + way_out + " ends it\n";
  }
  return text + "; " + way_out + " ends it sooner\n";
}

std::string lock_dir_notice(const LockDir& dir) {
  if (!dir.is_last_resort()) return "";
  return fmt::format(
      "the lock directory is {}: a service with a /tmp of its own stands in another line; root can "
      "make one for all: install -d -m 1777 /run/gpu-gate /run/gpu-gate/queue "
      "/run/gpu-gate/claims\n",
      printable(dir.path()));
}

Notices::Notices(bool quiet, bool one_try, const Criteria& criteria)
    : quiet_(quiet), one_try_(one_try), criteria_(criteria), line_(quiet) {}

void Notices::set_barred(const std::vector<Barred>& barred, const Snapshot& snapshot) {
  barred_.clear();
  for (std::size_t i = 0; i < barred.size(); ++i) barred_[name_of(snapshot.devices[i])] = barred[i];
}

void Notices::opened(const LockDir& dir) {
  if (quiet_ || dir_told_) return;
  const std::string line = lock_dir_notice(dir);
  if (line.empty()) return;
  dir_told_ = true;
  line_.tell(line);
}

void Notices::looked(const WaitReport& report) {
  if (quiet_ || driver_failing_) return;
  std::string lines;
  if (!began_ && !one_try_) {
    lines = fmt::format("waiting for {} ...\n", awaited_text(criteria_));
  }
  std::vector<Remark> remarks;
  for (std::size_t i = 0; i < report.snapshot.devices.size(); ++i) {
    const Device& device = report.snapshot.devices[i];
    std::string key = reason_key(device, report.fits[i], report.claims, report.request.within);
    std::string& told = keys_[name_of(device)];
    if (key == told) continue;
    told = std::move(key);
    const auto barred = barred_.find(name_of(device));
    const Unfit unfit{.device = device,
                      .fit = report.fits[i],
                      .barred = barred != barred_.end() ? barred->second : Barred::no,
                      .use = use_of(device, report.records, report.claims, report.request.within),
                      .room_mib = room_mib(device, report.occupancy[i])};
    remarks.push_back(
        {.device = device, .text = reason(unfit, report.request, std::time(nullptr))});
  }
  lines += remark_lines(remarks);
  began_ = true;
  if (!lines.empty()) line_.tell(lines);
}

void Notices::positioned(const Standing& standing) {
  position_ = standing.position;
  standing_ = standing_text(standing);
  if (line_.rewrites()) {
    if (line_.is_shown()) ticked();  // the rewritten line has it
    return;
  }
  if (standing_ == told_standing_) return;
  told_standing_ = standing_;
  line_.tell(standing_ + "\n");
}

std::chrono::milliseconds Notices::tick() const {
  using std::chrono::milliseconds;
  constexpr std::chrono::minutes kMinute{1};
  if (!line_.on_terminal()) return milliseconds(0);
  const Clock::duration waited = line_.waited();
  const milliseconds often = timing::tick_interval(position_);
  if (waited < kMinute || often < 2 * timing::tick_interval(1)) return often;
  // Far back only what changes the text counts: human_duration has no seconds any more.
  return std::chrono::duration_cast<milliseconds>(kMinute - waited % kMinute) + milliseconds(10);
}

void Notices::ticked() { line_.show(standing_.empty() ? "" : ", " + standing_); }

void Notices::driver_failed(const Error& error) {
  driver_failing_ = true;
  if (!quiet_)
    line_.tell("the GPUs cannot be read; keeping the place and trying again: " + error.text + "\n");
}

void Notices::driver_returned() {
  driver_failing_ = false;
  if (!quiet_) line_.tell("the GPUs can be read again\n");
}

void Notices::mutex_delayed(std::optional<pid_t> holder) {
  if (delay_told_ || quiet_) return;
  delay_told_ = true;
  std::string holder_text = "a process";
  if (holder) {
    holder_text = fmt::format("pid {}", *holder);
    if (const auto identity = process_identity(*holder)) {
      holder_text = fmt::format("{}: {} (pid {})", printable(user_name(identity->uid)),
                                printable(process_command(*holder, kMaxCommandBytes)), *holder);
    }
  }
  line_.tell("everybody waits for " + holder_text +
             ", which holds the lock directory's mutex and makes no progress\n");
}

void Notices::granted(const Granted& granted) {
  if (quiet_) return;
  const bool narrowed = std::any_of(barred_.begin(), barred_.end(), [](const auto& each) {
    return each.second == Barred::not_visible;
  });
  const std::string within = ", within the inherited " + lists_text(visible_);
  const auto& devices = granted.devices;
  const bool several = devices.size() > 1 && devices.front().instance;
  line_.tell(
      using_text(granted) + (narrowed ? within : "") + "\n" +
      (several ? "CUDA shows a process only the first of several instances: start one process for "
                 "each, with CUDA_VISIBLE_DEVICES set to its own\n"
               : ""));
}

}  // namespace gpu_gate
