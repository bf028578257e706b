#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/printable.h"
#include "policy/barred.h"
#include "policy/fit.h"
#include "report/usage.h"

namespace gpu_gate {

/// "5s", "12m", "2h13m", "3d4h".
std::string human_duration(std::chrono::seconds duration);

/// "1 GPU", "2 GPUs".
std::string gpus(int count);

/// "2 GPUs", "8000 MiB of a GPU", "8000 MiB on each of 2 GPUs".
std::string wish_text(const Criteria& criteria);

/// "a free GPU", "2 free GPUs", "8000 MiB of a GPU".
std::string awaited_text(const Criteria& criteria);

/// Something to say of a GPU.
struct Remark {
  const Device& device;
  std::string text;
};

/// "  GPUs 0-2, 5: not in --only": a line for all of which the same is to be said, in the order in
/// which it is first said. Instances in a row are "1:0 to 1:6".
std::string remark_lines(const std::vector<Remark>& remarks);

/// "CUDA_VISIBLE_DEVICES=0,1"; "A=0 and B=1".
std::string lists_text(const std::vector<VisibleList>& lists);

/// What to do where inherited lists of visible devices leave too few GPUs.
std::string visible_advice(const std::vector<VisibleList>& lists);

/// A job or a process in words: "alice", "bert-large", "python train.py", " (pid 4242, 2h13m)".
/// Where there is little room the command is what may be cut, and then the note.
struct Said {
  std::string before;
  std::optional<std::string> note = std::nullopt;
  std::string command;
  std::string after;
  std::string whole() const { return shown(note.value_or(""), command); }
  /// With these in place of its own: "alice (bert...): python... (pid 4242, 2h13m)".
  std::string shown(const std::string& short_note, const std::string& short_command) const;
};

/// " (bert-large)"; "" where there is none.
std::string note_text(const std::string& note);

/// "alice: python train.py (pid 4242, 2h13m)", or without a record "alice"; with a note
/// "alice (bert-large): ..."; of a share "... (pid 4242, 2h13m, shares 8000 MiB, uses 7410)"; of an
/// idle one "... (pid 4242, 2h13m, idle)". `now`: seconds since 1970.
Said claimant_said(const Claimant& claimant, std::int64_t now,
                   std::optional<std::int64_t> used_mib = {}, bool idle = false);
std::string claimant_text(const Claimant& claimant, std::int64_t now);

/// "alice: python x.py (pid 4242, 300 MiB)" for a process on a GPU.
Said process_said(const DeviceProcess& process);
std::string process_text(const DeviceProcess& process);

/// A device that is not eligible for a request, with what there is to say about it.
struct Unfit {
  const Device& device;
  Fit fit = Fit::usable;
  Barred barred = Barred::no;  // why it is not among the allowed ones
  DeviceUse use;
  std::int64_t room_mib = 0;  // for shares
};

/// Why this device is not eligible for the request, without its index: "812 MiB free, 8000 MiB
/// asked for".
std::string reason(const Unfit& unfit, const Request& request, std::int64_t now);

/// Two reasons with the same key are told once: it leaves out the numbers that always change.
std::string reason_key(const Device& device, Fit fit, const std::vector<Claim>& claims,
                       Ticket within);

/// The part of it that lasts: why the device can never be eligible, or "" if it can.
std::string never_reason(const Device& device, Barred barred, Fit fit, const Request& request);

/// Why a device is unhealthy, in words.
std::string health_text(const Device& device);

/// "failed memory is replaced at the next reset"; "" where none has failed.
std::string repair_text(const Device& device);

/// Why a device is not hoped for where memory is asked for that no device of known size has.
std::string unknown_size_text(const Device& device);

}  // namespace gpu_gate
