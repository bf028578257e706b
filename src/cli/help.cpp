#include "cli/cli.h"

namespace gpu_gate {
namespace {

constexpr const char* kMain =
    R"(Waits for a free GPU, claims it, sets CUDA_VISIBLE_DEVICES and becomes the command.

  gpu-gate run  [options] -- COMMAND [ARG ...]   wait, claim, run the command
  gpu-gate wait [options]                        wait, print the GPUs, claim nothing
  gpu-gate hold [options]                        wait, claim, print, hold for another process
  gpu-gate status [--json]                       every GPU, who holds it, who waits
  gpu-gate --help | --version                    also: gpu-gate help run

Examples:
  gpu-gate run -- python train.py                one GPU that nobody else is on
  gpu-gate run -n 2 --min-free-mb 8000 -- make   two GPUs with 8000 MiB free each
  for s in 1 2 3; do gpu-gate run -- ./job $s & done; wait
                                                 each job gets a GPU of its own, in turn

All users of the machine share one line: first come, first served. The claim lasts as long as
any process of the command, and ends by itself, also after kill -9. Nothing else is needed: no
daemon, no set-up.

Environment:
  CUDA_VISIBLE_DEVICES   if set: choose only among these (gpu-gate sets it for the command)
  GPU_GATE_LOCK_DIR      the lock directory (default: /run/gpu-gate if it exists, else gpu-gate
                         in /run/lock or /tmp)
  GPU_GATE_NVML          the NVIDIA driver's library (default: libnvidia-ml.so.1)
  NO_COLOR               no colours in status

Exit status: the command's own; or 2 bad options, 3 can never be met on this machine, 4 the
GPUs cannot be read, 5 the lock directory cannot be used, 124 --timeout passed, 125 gpu-gate
itself failed (stdout, memory, descriptors), 126 the command cannot be executed, 127 it is not
found, 129/130/143 ended by a signal while waiting.
)";

constexpr const char* kSelect = R"(
Which GPUs:
  -n, --count N        how many, all or nothing (default 1)
      --min-free-mb M  at least M MiB of memory free on each; 0 means any unclaimed GPU
      --max-util P     at most P percent busy
                       (with neither of the two: a GPU that nobody else uses)
      --only LIST      choose among these
      --exclude LIST   never these
                       LIST: indices (2), ranges (0-3), UUIDs or the start of one (GPU-3f2a),
                       PCI addresses (0000:17:00.0), separated by commas

Waiting:
      --timeout S      give up after S seconds of waiting, exit 124 (0: one try; default: never)
      --poll S         seconds between looks at the GPUs (default 5; the end of another
                       gpu-gate job is noticed at once, whatever S is)
  -q, --quiet          no notices, only errors
)";

constexpr const char* kRun = R"(Waits for free GPUs, claims them, and becomes the command.

  gpu-gate run [options] -- COMMAND [ARG ...]

The command gets CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER=PCI_BUS_ID, GPU_GATE_INDICES,
GPU_GATE_UUIDS and GPU_GATE_CLAIM. It keeps gpu-gate's process, terminal and exit status.
)";

constexpr const char* kRunIds = R"(
For the command:
      --ids index|uuid how CUDA_VISIBLE_DEVICES names the GPUs (default index)
  -h, --help           this text
)";

constexpr const char* kWait =
    R"(Waits in the same line for free GPUs and prints them, as in 0,2. Claims nothing: by the time
you use them, somebody else may. Prefer gpu-gate run.

  gpu-gate wait [options]
)";

constexpr const char* kWaitOutput = R"(
Output:
      --ids index|uuid how to name the GPUs (default index)
      --json           {"indices":[0,2],"uuids":[...],"cuda_visible_devices":"0,2"}
  -h, --help           this text
)";

constexpr const char* kHold =
    R"(Waits, claims, prints the GPUs as wait does, and holds them for another process.

  gpu-gate hold [options] --pid PID     in the background, until that process ends
  gpu-gate hold [options] --for TIME    until TIME has passed, or it is ended (Ctrl-C, kill)
  gpu-gate hold [options]               until its standard input ends: the pipe to its owner

Example, in a shell or a tmux pane that shall keep its GPU:
  export CUDA_VISIBLE_DEVICES=$(gpu-gate hold --ids uuid --pid $$)
Start programs there as they are; gpu-gate run would wait for the GPUs that the shell itself
holds, unless GPU_GATE_CLAIM has the "claim" that --json prints: then it chooses among them.

Holding:
      --pid PID        the process to hold for; its end ends the claim, and the wait
      --for TIME       at most so long: seconds, or 90s, 45m, 2h, 1d; also with --pid
)";

constexpr const char* kStatus = R"(Shows every GPU, who holds it, and who waits.

  gpu-gate status [--json]

      --json           a list with an object for each GPU
  -h, --help           this text

"no claim" marks a process that uses a GPU without gpu-gate.
)";

}  // namespace

std::string help_text(const std::string& topic) {
  if (topic == "run") return std::string(kRun) + kSelect + kRunIds;
  if (topic == "wait") return std::string(kWait) + kSelect + kWaitOutput;
  if (topic == "hold") return std::string(kHold) + kSelect + kWaitOutput;
  if (topic == "status") return kStatus;
  return kMain;
}

}  // namespace gpu_gate
