#include "cluster/step_script.h"

#include <algorithm>
#include <utility>

namespace gpu_gate {
namespace {

// "\036" and "\037" of ASCII, the separators of records and units, stand in no text for people.
constexpr std::string_view kMark = "\036gpu-gate\037";
constexpr char kBetween = '\037';
constexpr std::string_view kStartWord = "start";
constexpr std::string_view kNoDirectoryWord = "no-directory";

/// $1 is the directory, $2 and $3 are NodePaths, then comes the command. Variables of the
/// environment with the same names as its own would be changed: it has none but in subshells.
/// /proc/driver/nvidia/gpus is in the order of PCI addresses, and CUDA counts those that it can
/// open (CUDA_DEVICE_ORDER in the CUDA C++ Programming Guide). A subshell has the dispositions that
/// traps have changed as they were (POSIX, "trap").
/// The shell itself would say by which signal the command was killed, so it gives its standard
/// error away.
constexpr const char* kScript = R"sh(
gpu_gate_uuids() {
  all= n=0
  for file in "$1"/*/information; do
    uuid= minor=
    while IFS= read -r line; do
      case $line in
        "GPU UUID:"*) uuid=${line##*[!A-Za-z0-9-]} ;;
        "Device Minor:"*) minor=${line##*[!0-9]} ;;
      esac
    done <"$file" && [ -n "$uuid" ] && true <"$2$minor" && all="$all $n=$uuid" && n=$((n + 1))
  done
  uuids=
  IFS=,
  for index in $CUDA_VISIBLE_DEVICES; do
    case "$all " in *" $index="*) ;; *) return ;; esac
    uuid=${all#* "$index"=}
    uuids=$uuids,${uuid%% *}
  done
  echo "${uuids#,}"
}
trap : HUP INT QUIT USR1 USR2 PIPE ALRM TERM XCPU XFSZ VTALRM PROF
if [ "$PWD" = / ] && ! cd "$1" 2>/dev/null; then
  printf '\036gpu-gate\037no-directory\n' >&2
  exit 126
fi
export CUDA_DEVICE_ORDER=PCI_BUS_ID GPU_GATE_INDICES="${CUDA_VISIBLE_DEVICES-}"
case $GPU_GATE_INDICES in
  *-*) GPU_GATE_UUIDS=$GPU_GATE_INDICES ;;
  *) GPU_GATE_UUIDS=; [ ! -d "$2" ] || GPU_GATE_UUIDS=$(gpu_gate_uuids "$2" "$3" 2>/dev/null) ;;
esac
export GPU_GATE_UUIDS
unset GPU_GATE_CLAIM GPU_GATE_SHARE_MB GPU_GATE_SHARE_FRACTION SLURM_EXIT_ERROR SLURM_EXIT_IMMEDIATE
shift 3
exec 3>&2 2>/dev/null
(
  exec 2>&3 3>&-
  printf '\036gpu-gate\037start\037%s\037%s\037%s\037%s\037%s\n' "$SLURM_JOB_ID" "$SLURM_STEP_ID" \
    "$SLURMD_NODENAME" "$GPU_GATE_INDICES" "$GPU_GATE_UUIDS" >&2
  IFS= read -r GPU_GATE_CLAIM || exit 0
  unset GPU_GATE_CLAIM
  command -v "$1" >/dev/null || {
    echo "gpu-gate: $1: command not found on $SLURMD_NODENAME" >&2
    exit 127
  }
  exec "$@"
)
exit $?
)sh";

// "slurmstepd: error: ..."; where several nodes are one machine, "slurmstepd-n1: error: ...".
constexpr std::string_view kSlurmSays = "slurmstepd";
constexpr std::size_t kMostKept = 4096;  // of one line

std::vector<std::string> fields_of(std::string_view text) {
  std::vector<std::string> fields;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(kBetween, at), text.size());
    fields.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return fields;
}

}  // namespace

std::vector<std::string> step_words(const std::string& directory,
                                    const std::vector<std::string>& command,
                                    const NodePaths& paths) {
  std::vector<std::string> words{"/bin/sh", "-c",         kScript,      "gpu-gate",
                                 directory, paths.driver, paths.devices};
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

std::string StepErrors::take(std::string_view bytes) {
  kept_ += bytes;
  std::string passed;
  std::size_t at = 0;
  while (at < kept_.size()) {
    const std::size_t newline = kept_.find('\n', at);
    const std::string_view line = std::string_view(kept_).substr(at, newline - at);
    if (!in_line_ && may_be_ours(line)) {
      if (newline == std::string::npos && line.size() < kMostKept) break;
      if (newline != std::string::npos && is_ours(line)) {
        at = newline + 1;
        continue;
      }
    }
    const std::size_t end = newline == std::string::npos ? kept_.size() : newline + 1;
    passed.append(kept_, at, end - at);
    in_line_ = newline == std::string::npos;
    at = end;
  }
  kept_.erase(0, at);
  return passed;
}

std::string StepErrors::rest() { return std::exchange(kept_, ""); }

std::vector<std::string> StepErrors::said() { return std::exchange(said_, {}); }

/// A line of which this is the beginning. Once the command runs, nothing is kept back of what it
/// writes but what begins as slurmstepd's lines do.
bool StepErrors::may_be_ours(std::string_view text) const {
  return !start_ || text.starts_with(kSlurmSays);
}

bool StepErrors::is_ours(std::string_view line) {
  if (line.starts_with(kSlurmSays)) {
    // The command may write such a line too: that of a step of its own.
    const std::string name = start_ ? start_->job + "." + start_->step : "";
    const std::size_t text = line.find(": ");
    if (text == std::string_view::npos || line.find(name) == std::string_view::npos) return false;
    said_.emplace_back(line.substr(text + 2));
    return true;
  }
  if (start_ || !line.starts_with(kMark)) return false;
  const std::vector<std::string> fields = fields_of(line.substr(kMark.size()));
  lacks_directory_ = fields[0] == kNoDirectoryWord;
  if (fields[0] == kStartWord && fields.size() == 6) {
    start_ = StepStart{.job = fields[1],
                       .step = fields[2],
                       .node = fields[3],
                       .visible = fields[4],
                       .uuids = fields[5]};
  }
  return true;
}

}  // namespace gpu_gate
