// gpu-sim-job: takes memory on the devices it is shown and runs for a while, as a CUDA program
// would.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <charconv>

#include "job/keeper.h"
#include "job/rocm_devices.h"
#include "job/visible_devices.h"
#include "machine.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int64_t kUntilSignal = -1;
constexpr int64_t kUnset = -2;
constexpr int64_t kMaxMs = INT64_C(86'400'000);
constexpr uint32_t kComputeModeProhibited = 2;

constexpr const char* kUsage =
    "usage: gpu-sim-job [options] [-- command [argument...]]\n"
    "\n"
    "Takes memory on every GPU of the machine $GPU_SIM_MACHINE that CUDA_VISIBLE_DEVICES\n"
    "shows, and holds it until it ends. With a command it becomes that command. Where there are\n"
    "AMD cards only, it is a ROCm program, and must run under gpu-sim-sysfs.\n"
    "\n"
    "  --memory MIB     on each GPU ($GPU_GATE_SHARE_MB, or 4000)\n"
    "  --util PERCENT   of each GPU (90)\n"
    "  --after MS       wait before taking anything (0)\n"
    "  --for MS         run this long once the memory is taken; -1: until a signal (1000)\n"
    "  --graphics       be listed as a graphics process\n"
    "  --rocm           be a ROCm program where there are both NVIDIA and AMD cards\n"
    "  --exit CODE      exit status in the end (0)\n"
    "  --ready FILE     create FILE once the memory is taken\n"
    "  --ready-fd N     write a line to descriptor N, and close it, once the memory is taken\n"
    "  --linger MS      free the memory this long after the end (the machine's linger_ms)\n"
    "  --quiet          do not say what was taken\n"
    "\n"
    "Exit status: 1 no GPU, no memory, or no machine; 2 usage; else that of --exit or of the\n"
    "command.\n";

struct Options {
  int64_t memory_mib = kUnset;
  int64_t util_percent = 90;
  int64_t after_ms = 0;
  int64_t run_ms = kUnset;
  int64_t exit_code = kUnset;
  int64_t linger_ms = kUnset;
  int64_t ready_fd = kUnset;
  const char* ready_file = nullptr;
  bool graphics = false;
  bool rocm = false;
  bool quiet = false;
  char** command = nullptr;
};

[[noreturn, gnu::format(printf, 2, 3)]] void stop(int status, const char* format, ...) {
  char what[PATH_MAX + 256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof(what), format, arguments);
  va_end(arguments);
  fprintf(stderr, "gpu-sim-job: %s\n", what);
  exit(status);
}

int64_t number_argument(const char* option, int64_t min, int64_t max) {
  int64_t number = 0;
  const char* end = optarg + strlen(optarg);
  const auto [stopped, problem] = std::from_chars(optarg, end, number);
  if (problem != std::errc{} || stopped != end || number < min || number > max) {
    stop(kExitUsage, "--%s: bad value '%s'", option, optarg);
  }
  return number;
}

enum OptionId : int {
  kMemory = 1,
  kUtil,
  kAfter,
  kFor,
  kGraphics,
  kRocm,
  kExit,
  kReady,
  kReadyFd,
  kLinger,
  kQuiet,
  kHelp
};

constexpr option takes_value(const char* name, OptionId id) {
  return {.name = name, .has_arg = required_argument, .flag = nullptr, .val = id};
}

constexpr option stands_alone(const char* name, OptionId id) {
  return {.name = name, .has_arg = no_argument, .flag = nullptr, .val = id};
}

constexpr option kOptions[] = {
    takes_value("memory", kMemory),
    takes_value("util", kUtil),
    takes_value("after", kAfter),
    takes_value("for", kFor),
    stands_alone("graphics", kGraphics),
    takes_value("exit", kExit),
    takes_value("ready", kReady),
    takes_value("ready-fd", kReadyFd),
    takes_value("linger", kLinger),
    stands_alone("quiet", kQuiet),
    stands_alone("help", kHelp),
    stands_alone("rocm", kRocm),
    {},
};

// `id`: what getopt_long returned; the option's value is in optarg.
void set_option(int id, const char* name, Options& options) {
  switch (id) {
    case kMemory:
      options.memory_mib = number_argument(name, 0, INT64_C(1) << 32);
      break;
    case kUtil:
      options.util_percent = number_argument(name, 0, 100);
      break;
    case kAfter:
      options.after_ms = number_argument(name, 0, kMaxMs);
      break;
    case kFor:
      options.run_ms = number_argument(name, kUntilSignal, kMaxMs);
      break;
    case kGraphics:
      options.graphics = true;
      break;
    case kRocm:
      options.rocm = true;
      break;
    case kExit:
      options.exit_code = number_argument(name, 0, 255);
      break;
    case kReady:
      options.ready_file = optarg;
      break;
    case kReadyFd:
      options.ready_fd = number_argument(name, 0, INT_MAX);
      break;
    case kLinger:
      options.linger_ms = number_argument(name, 0, kMaxMs);
      break;
    case kQuiet:
      options.quiet = true;
      break;
    case kHelp:
      fputs(kUsage, stdout);
      exit(0);
    default:
      exit(kExitUsage);
  }
}

Options parse_options(int argc, char** argv) {
  Options options;
  int id = 0;
  int place = 0;
  while ((id = getopt_long(argc, argv, "+", kOptions, &place)) != -1) {
    set_option(id, kOptions[place].name, options);
  }
  if (optind < argc) options.command = argv + optind;
  if (options.command != nullptr && (options.run_ms != kUnset || options.exit_code != kUnset)) {
    stop(kExitUsage, "with a command, --for and --exit have no meaning");
  }
  return options;
}

const char* machine_path() {
  const char* path = getenv("GPU_SIM_MACHINE");
  if (path == nullptr || path[0] == '\0') stop(kExitFailed, "GPU_SIM_MACHINE is not set");
  return path;
}

const sim::Machine& load_machine(const char* path) {
  static char text[sim::kMaxMachineBytes];
  static sim::Machine machine;
  const ptrdiff_t size = sim::read_machine_text(path, text, sizeof(text));
  if (size < 0) stop(kExitFailed, "open(%s): %s", path, strerror(errno));
  sim::MachineError error;
  if (!sim::parse_machine(text, static_cast<size_t>(size), machine, error)) {
    stop(kExitFailed, "%s:%d: %s", path, error.line, error.what);
  }
  return machine;
}

// A share says how much memory is to be taken.
int64_t memory_mib(const Options& options) {
  constexpr int64_t kCommon = 4000;
  if (options.memory_mib != kUnset) return options.memory_mib;
  const char* share = getenv("GPU_GATE_SHARE_MB");
  return share == nullptr ? kCommon : strtoll(share, nullptr, 10);
}

sim::Devices find_cuda_devices(const sim::Machine& machine) {
  const sim::Devices devices = sim::visible_devices(machine, getenv("CUDA_VISIBLE_DEVICES"));
  if (devices.count == 0) stop(kExitFailed, "no CUDA-capable device is detected");
  for (int i = 0; i < devices.count; ++i) {
    const sim::Gpu& gpu = machine.gpus[devices.gpus[i]];
    if (gpu.lost) stop(kExitFailed, "%s: the GPU is lost", gpu.uuid);
    if (gpu.compute_mode == kComputeModeProhibited) {
      stop(kExitFailed, "%s: compute mode prohibited", gpu.uuid);
    }
  }
  return devices;
}

sim::Devices find_rocm_devices(const sim::Machine& machine) {
  const sim::RocmVariables variables{.rocr = getenv("ROCR_VISIBLE_DEVICES"),
                                     .hip = getenv("HIP_VISIBLE_DEVICES"),
                                     .cuda = getenv("CUDA_VISIBLE_DEVICES")};
  const sim::Devices devices = sim::rocm_devices(machine, sim::amd_nodes(machine), variables);
  if (devices.count == 0) stop(kExitFailed, "no ROCm-capable device is detected");
  return devices;
}

bool is_rocm(const Options& options, const sim::Machine& machine) {
  return options.rocm || (machine.gpu_count == 0 && machine.amd_count > 0);
}

sim::Devices find_devices(const Options& options, const sim::Machine& machine) {
  return is_rocm(options, machine) ? find_rocm_devices(machine) : find_cuda_devices(machine);
}

// What the job's messages call a device.
struct DeviceName {
  char text[256];
};

DeviceName name_of(const sim::Machine& machine, const sim::Demand& demand, int place) {
  DeviceName name{};
  if (!demand.amd) {
    const sim::Gpu& gpu = machine.gpus[place];
    snprintf(name.text, sizeof(name.text), "%04x:%02x:%02x.%x %s (%s)", gpu.pci.domain, gpu.pci.bus,
             gpu.pci.device, gpu.pci.function, gpu.uuid, gpu.name);
    return name;
  }
  const sim::AmdNode node = sim::amd_nodes(machine).nodes[place];
  const sim::AmdCard& card = machine.amd_cards[node.card];
  snprintf(name.text, sizeof(name.text), "%04x:%02x:%02x.%x renderD%u (%s)", card.pci.domain,
           card.pci.bus, card.pci.device, card.pci.function, node.minor,
           card.name[0] != '\0' ? card.name : card.chip);
  return name;
}

void sleep_ms(int64_t milliseconds) {
  timespec left{.tv_sec = static_cast<time_t>(milliseconds / 1000),
                .tv_nsec = static_cast<long>(milliseconds % 1000) * 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

void take_or_stop(const sim::Machine& machine, const char* path, const sim::Demand& demand) {
  const sim::Taken taken = sim::take_devices(machine, path, demand);
  switch (taken.outcome) {
    case sim::Taken::kYes:
      return;
    case sim::Taken::kOutOfMemory:
      stop(kExitFailed, "%s out of memory: %s has %" PRIu64 " MiB free, tried to take %" PRIu64,
           demand.amd ? "HIP" : "CUDA",
           demand.amd ? name_of(machine, demand, taken.gpu).text : machine.gpus[taken.gpu].uuid,
           taken.free_mib, demand.memory_mib);
    case sim::Taken::kDeviceInUse:
      stop(kExitFailed, "%s: busy, in exclusive mode", machine.gpus[taken.gpu].uuid);
    case sim::Taken::kSystemError:
      stop(kExitFailed, "%s.state: %s", path, strerror(taken.error));
  }
}

void say_what_was_taken(const sim::Machine& machine, const sim::Demand& demand) {
  for (int i = 0; i < demand.devices.count; ++i) {
    printf("gpu-sim-job: pid %d holds %" PRIu64 " MiB on %s\n", static_cast<int>(getpid()),
           demand.memory_mib, name_of(machine, demand, demand.devices.gpus[i]).text);
  }
  fflush(stdout);
}

void announce(const Options& options) {
  if (options.ready_file != nullptr) {
    const int fd = open(options.ready_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) stop(kExitFailed, "open(%s): %s", options.ready_file, strerror(errno));
    close(fd);
  }
  if (options.ready_fd != kUnset) {
    const int fd = static_cast<int>(options.ready_fd);
    if (write(fd, "ready\n", 6) != 6) stop(kExitFailed, "--ready-fd: %s", strerror(errno));
    close(fd);
  }
}

[[noreturn]] void become(char** command) {
  execvp(command[0], command);
  stop(errno == ENOENT ? 127 : 126, "%s: %s", command[0], strerror(errno));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const char* path = machine_path();
  find_devices(options, load_machine(path));  // a mistake shows at once, not after the wait
  sleep_ms(options.after_ms);

  const sim::Machine& machine = load_machine(path);
  sim::Demand demand{};
  demand.amd = is_rocm(options, machine);
  demand.devices = find_devices(options, machine);
  demand.memory_mib = static_cast<uint64_t>(memory_mib(options));
  demand.util_percent = static_cast<uint32_t>(options.util_percent);
  demand.linger_ms =
      options.linger_ms == kUnset ? machine.linger_ms : static_cast<uint32_t>(options.linger_ms);
  demand.graphics = options.graphics;
  take_or_stop(machine, path, demand);
  if (!options.quiet) say_what_was_taken(machine, demand);
  announce(options);

  if (options.command != nullptr) become(options.command);
  if (options.run_ms == kUntilSignal) {
    for (;;) pause();
  }
  sleep_ms(options.run_ms == kUnset ? 1000 : options.run_ms);
  return options.exit_code == kUnset ? 0 : static_cast<int>(options.exit_code);
}
