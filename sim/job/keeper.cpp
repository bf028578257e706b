#include "job/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "sysfs/amd_tree.h"
#include "sysfs/amd_use.h"
#include "usage.h"

namespace sim {
namespace {

struct Keeper {
  int tree;  // of AMD cards; -1: none
  int job_pidfd;
  int state_folder;
  int answer;  // the pipe's end on which the job waits
  uint32_t job_pid;
};

struct Entry {
  int fd;
  char name[128];
};

constexpr Taken kTaken{.outcome = Taken::kYes, .gpu = 0, .free_mib = 0, .error = 0};

Taken system_error(int error) {
  return {.outcome = Taken::kSystemError, .gpu = 0, .free_mib = 0, .error = error};
}

void close_from_to(unsigned first, unsigned last) {
  if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
  // A kernel before 5.9, or a sandbox that does not know the call.
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const unsigned end = static_cast<unsigned>(std::min<rlim_t>(limit.rlim_max, 1U << 20));
  for (unsigned fd = first; fd < end && fd <= last; ++fd) close(static_cast<int>(fd));
}

void close_all_but(const Keeper& keeper) {
  int kept[] = {keeper.tree, keeper.job_pidfd, keeper.state_folder, keeper.answer};
  std::sort(std::begin(kept), std::end(kept));
  unsigned first = 0;
  for (const int number : kept) {
    if (number < 0) continue;
    const unsigned fd = static_cast<unsigned>(number);
    if (fd > first) close_from_to(first, fd - 1);
    first = fd + 1;
  }
  close_from_to(first, ~0U);
}

void default_signals() {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// So that no entry gets the number of a standard stream, where a stray message would be written to
// it.
void occupy_standard_streams() {
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd >= 0) close(fd);
}

// Leaves nothing of the job's in this process but what the keeper works with.
void detach(const Keeper& keeper) {
  setsid();
  default_signals();
  close_all_but(keeper);
  occupy_standard_streams();
  prctl(PR_SET_NAME, "gpu-sim-keeper");
  if (chdir("/") != 0) return;
}

uint64_t free_mib(const Machine& machine, int gpu, int state_folder) {
  static JobUse jobs[kMaxJobsPerDevice];
  uint64_t taken_mib = machine.gpus[gpu].reserved_mib;
  for (int other = next_device(machine, -1); other < kMaxDevices;
       other = next_device(machine, other)) {
    if (!takes_memory_of(machine, gpu, other)) continue;
    taken_mib += static_use_mib(machine, other);
    const int count = read_jobs(state_folder, machine.gpus[other].uuid, jobs, kMaxJobsPerDevice);
    for (int i = 0; i < count; ++i) taken_mib += jobs[i].memory_mib;
  }
  return std::max(machine.gpus[gpu].memory_mib, taken_mib) - taken_mib;
}

bool has_compute_process(const Machine& machine, int gpu, const JobUse* jobs, int job_count) {
  return std::any_of(jobs, jobs + job_count,
                     [](const JobUse& job) { return job.running && !job.graphics; }) ||
         std::any_of(machine.processes, machine.processes + machine.process_count,
                     [&](const StaticProcess& process) {
                       return process.gpu == gpu && process.kind != ProcessKind::graphics;
                     });
}

Taken check_device(const Machine& machine, int gpu, const Demand& demand, int state_folder) {
  constexpr uint32_t kExclusiveProcess = 3;
  static JobUse jobs[kMaxJobsPerDevice];
  const int job_count = read_jobs(state_folder, machine.gpus[gpu].uuid, jobs, kMaxJobsPerDevice);
  if (machine.gpus[gpu].compute_mode == kExclusiveProcess && !demand.graphics &&
      has_compute_process(machine, gpu, jobs, job_count)) {
    return {.outcome = Taken::kDeviceInUse, .gpu = gpu, .free_mib = 0, .error = 0};
  }
  const uint64_t mib = free_mib(machine, gpu, state_folder);
  if (mib < demand.memory_mib) {
    return {.outcome = Taken::kOutOfMemory, .gpu = gpu, .free_mib = mib, .error = 0};
  }
  return kTaken;
}

Taken check_amd(const Machine& machine, const AmdNodes& all, int place, const Demand& demand,
                int state_folder) {
  const int card = all.nodes[place].card;
  const uint64_t used_mib = amd_used_mib(machine, card, state_folder);
  const uint64_t mib = machine.amd_cards[card].vram_mib - used_mib;
  if (mib >= demand.memory_mib) return kTaken;
  return {.outcome = Taken::kOutOfMemory, .gpu = place, .free_mib = mib, .error = 0};
}

// The name of the device's entries.
void key_of(const Machine& machine, const AmdNodes& all, const Demand& demand, int place,
            char (&key)[96]) {
  if (demand.amd) {
    amd_key(machine, all.nodes[place], key);
  } else {
    memcpy(key, machine.gpus[place].uuid, sizeof(key));
  }
}

// Shows what has changed to those who read it in sysfs. Call with the folder locked.
void show(const Machine& machine, const Keeper& keeper) {
  if (keeper.tree >= 0) show_use(machine, keeper.state_folder, keeper.tree);
}

// Call with the folder locked, so that two jobs cannot both find the same memory free.
Taken take_on_every_device(const Machine& machine, const Keeper& keeper, const Demand& demand,
                           Entry* entries) {
  static AmdNodes amd;
  amd = amd_nodes(machine);
  remove_dead_entries(keeper.state_folder);
  for (int i = 0; i < demand.devices.count; ++i) {
    const int place = demand.devices.gpus[i];
    const Taken checked = demand.amd ? check_amd(machine, amd, place, demand, keeper.state_folder)
                                     : check_device(machine, place, demand, keeper.state_folder);
    if (checked.outcome != Taken::kYes) return checked;
  }
  const JobUse use{.pid = keeper.job_pid,
                   .memory_mib = demand.memory_mib,
                   .util_percent = demand.util_percent,
                   .graphics = demand.graphics,
                   .running = true};
  for (int i = 0; i < demand.devices.count; ++i) {
    char key[96];
    key_of(machine, amd, demand, demand.devices.gpus[i], key);
    entries[i].fd = create_entry(keeper.state_folder, key, use, entries[i].name);
    if (entries[i].fd >= 0) continue;
    const int error = errno;
    while (i-- > 0) unlinkat(keeper.state_folder, entries[i].name, 0);
    return system_error(error);
  }
  return kTaken;
}

void wait_for_end(int pidfd) {
  pollfd watched{.fd = pidfd, .events = POLLIN, .revents = 0};
  while (poll(&watched, 1, -1) < 0 && errno == EINTR) {
  }
}

void sleep_ms(uint32_t milliseconds) {
  timespec left{.tv_sec = static_cast<time_t>(milliseconds / 1000),
                .tv_nsec = static_cast<long>(milliseconds % 1000) * 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

// NVML reads the entries themselves, and waits for nobody.
void lock_for_tree(const Keeper& keeper) {
  if (keeper.tree >= 0) flock(keeper.state_folder, LOCK_EX);
}

[[noreturn]] void keep(const Machine& machine, const Keeper& keeper, const Demand& demand) {
  detach(keeper);
  static Entry entries[kMaxDevices];
  Taken taken = system_error(0);
  if (flock(keeper.state_folder, LOCK_EX) == 0) {
    taken = take_on_every_device(machine, keeper, demand, entries);
    show(machine, keeper);
    flock(keeper.state_folder, LOCK_UN);
  } else {
    taken = system_error(errno);
  }
  signal(SIGPIPE, SIG_IGN);  // the job may be dead by now; the entries are still ours to remove
  if (write(keeper.answer, &taken, sizeof(taken)) < 0) errno = 0;
  close(keeper.answer);
  if (taken.outcome != Taken::kYes) _exit(1);

  wait_for_end(keeper.job_pidfd);
  lock_for_tree(keeper);
  for (int i = 0; i < demand.devices.count; ++i) mark_ended(entries[i].fd);
  show(machine, keeper);
  flock(keeper.state_folder, LOCK_UN);
  sleep_ms(demand.linger_ms);
  lock_for_tree(keeper);
  for (int i = 0; i < demand.devices.count; ++i) {
    unlinkat(keeper.state_folder, entries[i].name, 0);
  }
  show(machine, keeper);
  _exit(0);
}

Taken read_answer(int fd) {
  Taken taken{};
  ssize_t got = 0;
  do {
    got = read(fd, &taken, sizeof(taken));
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof(taken))) return taken;
  return system_error(got < 0 ? errno : ECHILD);
}

}  // namespace

Taken take_devices(const Machine& machine, const char* machine_path, const Demand& demand) {
  Keeper keeper{};
  keeper.job_pid = static_cast<uint32_t>(getpid());
  keeper.job_pidfd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (keeper.job_pidfd < 0) return system_error(errno);
  keeper.tree = demand.amd ? open_tree_of(machine_path) : -1;
  keeper.state_folder = make_state_folder(machine_path);
  if (keeper.state_folder < 0) return system_error(errno);
  int answer[2];
  if (pipe2(answer, O_CLOEXEC) != 0) return system_error(errno);
  keeper.answer = answer[1];

  // Twice, so that the keeper is not a child of the job: a job that waits for all its children
  // would wait for a process that waits for it.
  const pid_t between = fork();
  if (between < 0) return system_error(errno);
  if (between == 0) {
    const pid_t child = fork();
    if (child == 0) keep(machine, keeper, demand);
    _exit(child < 0 ? 1 : 0);
  }
  while (waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  close(answer[1]);
  if (keeper.tree >= 0) close(keeper.tree);
  close(keeper.state_folder);
  close(keeper.job_pidfd);
  const Taken taken = read_answer(answer[0]);
  close(answer[0]);
  return taken;
}

}  // namespace sim
