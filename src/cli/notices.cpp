#include "cli/notices.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>

#include "base/process.h"
#include "cli/console.h"
#include "cli/text.h"

namespace gpu_gate {
namespace {

std::string ordinal(std::size_t n) {
  const std::size_t last = n % 10;
  const bool teen = n / 10 % 10 == 1;
  const char* ending = teen ? "th" : last == 1 ? "st" : last == 2 ? "nd" : last == 3 ? "rd" : "th";
  return std::to_string(n) + ending;
}

std::string using_text(const WaitEnd& end) {
  std::string text = end.devices.size() == 1 ? "using GPU " : "using GPUs ";
  for (std::size_t i = 0; i < end.devices.size(); ++i) {
    const Device& device = end.devices[i];
    text += fmt::format("{}{} ({}, {} MiB free)", i == 0 ? "" : ", ", device.index,
                        printable(device.name), device.memory_free_mib);
  }
  if (end.waited) {
    text +=
        fmt::format(" after {}",
                    human_duration(std::chrono::duration_cast<std::chrono::seconds>(end.duration)));
  }
  return text;
}

}  // namespace

Notices::Notices(bool quiet, bool one_try, int count)
    : quiet_(quiet), one_try_(one_try), terminal_(!quiet && stderr_is_terminal()), count_(count) {}

Notices::~Notices() { clear(); }

void Notices::looked(const Outlook& outlook) {
  if (quiet_) return;
  std::string lines;
  if (!began_ && !one_try_) {
    lines = count_ == 1 ? "waiting for a free GPU ...\n"
                        : fmt::format("waiting for {} free GPUs ...\n", count_);
  }
  keys_.resize(outlook.snapshot.devices.size());
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const Device& device = outlook.snapshot.devices[i];
    std::string key = reason_key(device, outlook.fits[i], outlook.claims);
    if (key == keys_[i]) continue;
    keys_[i] = std::move(key);
    const Barred barred = i < barred_.size() ? barred_[i] : Barred::no;
    lines += fmt::format(
        "  GPU {}: {}\n", device.index,
        reason(device, outlook.fits[i], barred, outlook.request, outlook.claims, outlook.ledger));
  }
  began_ = true;
  if (!lines.empty()) tell(lines);
}

void Notices::placed(std::size_t place) {
  place_ = place;
  // On a terminal the rewritten line has it.
  if (terminal_ || place == told_place_) return;
  told_place_ = place;
  tell(ordinal(place) + " in line\n");
}

std::chrono::milliseconds Notices::tick() const {
  return std::chrono::milliseconds(terminal_ ? 1000 : 0);
}

void Notices::ticked() {
  if (!terminal_) return;
  const auto waited = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - since_);
  const std::string place = place_ == 0 ? "" : ", " + ordinal(place_) + " in line";
  show_line(fmt::format("waited {}{} (Ctrl-C gives up)", human_duration(waited), place));
  line_shown_ = true;
}

void Notices::mutex_delayed(std::optional<pid_t> holder) {
  if (delay_told_ || quiet_) return;
  delay_told_ = true;
  std::string who = "somebody";
  if (holder) {
    who = fmt::format("pid {}", *holder);
    if (const auto identity = process_identity(*holder)) {
      who = fmt::format("{}: {} (pid {})", printable(user_name(identity->uid)),
                        printable(process_command(*holder, kMostCommandBytes)), *holder);
    }
  }
  tell("everybody waits for " + who +
       ", which holds the lock directory's mutex and does not go on\n");
}

void Notices::granted(const WaitEnd& end) {
  if (quiet_) return;
  const bool narrowed = std::count(barred_.begin(), barred_.end(), Barred::not_visible) > 0;
  tell(using_text(end) + (narrowed ? ", within the CUDA_VISIBLE_DEVICES that was inherited" : "") +
       "\n");
}

void Notices::tell(const std::string& lines) {
  clear();
  say(lines);
}

void Notices::clear() {
  if (!line_shown_) return;
  show_line("");
  line_shown_ = false;
}

}  // namespace gpu_gate
