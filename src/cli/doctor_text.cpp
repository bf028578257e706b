#include "cli/doctor_text.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/printable.h"
#include "cli/wrap.h"

namespace gpu_gate {
namespace {

constexpr std::size_t kIndent = 7;
constexpr std::size_t kLeastText = 20;

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string summary(const std::vector<Finding>& findings) {
  if (findings.empty()) return "nothing wrong";
  const auto faults = static_cast<std::size_t>(std::count_if(
      findings.begin(), findings.end(), [](const Finding& f) { return f.level == Level::fault; }));
  const std::size_t notes = findings.size() - faults;
  const std::string text = faults == 0 ? "no faults" : counted(faults, "fault");
  return notes == 0 ? text : text + ", " + counted(notes, "note");
}

/// "/run/gpu-gate, made for all users (root, 1777, tmpfs)".
std::string lock_text(const LockPlace& lock) {
  if (lock.path.empty()) return "none";
  std::string about =
      lock.exists ? fmt::format("{}, {:o}", printable(lock.owner), lock.mode) : "not made yet";
  if (!lock.file_system.empty()) about += ", " + lock.file_system;
  return fmt::format("{}, {} ({})", printable(lock.path), why_this_one(lock), about);
}

}  // namespace

std::string doctor_text(const std::vector<Finding>& findings, const LockPlace& lock,
                        std::optional<std::size_t> width) {
  const std::size_t room = width ? std::max(*width, kIndent + kLeastText) - kIndent
                                 : std::numeric_limits<std::size_t>::max() - kIndent;
  const std::string indent(kIndent, ' ');
  std::string text;
  for (const Finding& finding : findings) {
    const char* head = finding.level == Level::fault ? "fault  " : "note   ";
    for (const std::string& line : wrapped(finding.subject + ": " + finding.what, room)) {
      text += head + line + "\n";
      head = indent.c_str();
    }
    text += indent + "  " + finding.remedy + "\n";
  }
  for (const std::string& line :
       wrapped(summary(findings) + "; lock directory: " + lock_text(lock), room + kIndent)) {
    text += line + "\n";
  }
  return text;
}

}  // namespace gpu_gate
