// bench-launch: starts commands and measures them. An interpreter would distort what it measures.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kNotExecuted = 127;
constexpr int kMaxCommands = 64;
constexpr const char* kSeparator = "---";

constexpr const char* kUsage =
    "usage: bench-launch each ROUNDS COMMAND... [--- COMMAND...]...\n"
    "       bench-launch together COUNT COMMAND...\n"
    "\n"
    "each: in every round each command once, one after the other; every second round in reverse, "
    "so\n"
    "  that none always comes after the same. Prints a line for each run:\n"
    "  which command (from 0), wall ns, peak KiB, CPU us, status as of wait(2)\n"
    "together: the command COUNT times at once. Prints one line:\n"
    "  wall ns from the first start to the last end, how many did not exit with 0\n"
    "A COMMAND may begin with NAME=VALUE words for its environment.\n";

[[noreturn]] void stop(const char* call) {
  fprintf(stderr, "bench-launch: %s: %s\n", call, strerror(errno));
  exit(kExitFailed);
}

long long monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

long long microseconds(const timeval& time) { return time.tv_sec * 1'000'000LL + time.tv_usec; }

// The commands' output goes to /dev/null, so that it cannot mix with the report.
FILE* keep_output_for_report() {
  const int kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (kept < 0 || null < 0 || dup2(null, STDOUT_FILENO) < 0) stop("open(/dev/null)");
  return fdopen(kept, "w");
}

pid_t start(char** command) {
  const pid_t pid = fork();
  if (pid < 0) stop("fork");
  if (pid > 0) return pid;
  for (; *command != nullptr && strchr(*command, '=') != nullptr; ++command) putenv(*command);
  if (*command != nullptr) execvp(command[0], command);
  _exit(kNotExecuted);
}

// The peak that wait4(2) reports is never below this program's own memory at the fork, which is
// therefore kept small.
void run_and_report(FILE* report, int which, char** command) {
  int status = 0;
  rusage usage{};
  const long long began = monotonic_ns();
  const pid_t pid = start(command);
  while (wait4(pid, &status, 0, &usage) < 0) {
    if (errno != EINTR) stop("wait4");
  }
  const long long wall = monotonic_ns() - began;
  fprintf(report, "%d %lld %ld %lld %d\n", which, wall, usage.ru_maxrss,
          microseconds(usage.ru_utime) + microseconds(usage.ru_stime), status);
}

int run_each(FILE* report, long rounds, char** words) {
  char** commands[kMaxCommands] = {words};
  int count = 1;
  for (char** word = words; *word != nullptr; ++word) {
    if (strcmp(*word, kSeparator) != 0) continue;
    *word = nullptr;
    if (count == kMaxCommands) return kExitUsage;
    commands[count++] = word + 1;
  }
  for (int i = 0; i < count; ++i) {
    if (commands[i][0] == nullptr) return kExitUsage;
  }
  for (long round = 0; round < rounds; ++round) {
    for (int i = 0; i < count; ++i) {
      const int which = round % 2 == 0 ? i : count - 1 - i;
      run_and_report(report, which, commands[which]);
    }
  }
  return 0;
}

int run_together(FILE* report, long count, char** command) {
  const long long began = monotonic_ns();
  for (long i = 0; i < count; ++i) start(command);
  long failed = 0;
  for (long ended = 0; ended < count;) {
    int status = 0;
    if (wait(&status) < 0) {
      if (errno == EINTR) continue;
      stop("wait");
    }
    ++ended;
    if (status != 0) ++failed;
  }
  fprintf(report, "%lld %ld\n", monotonic_ns() - began, failed);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc >= 4 ? strtol(argv[2], nullptr, 10) : 0;  // 0: no number
  int result = kExitUsage;
  FILE* report = keep_output_for_report();
  if (report == nullptr) stop("fdopen");
  if (count > 0 && strcmp(argv[1], "each") == 0) result = run_each(report, count, argv + 3);
  if (count > 0 && strcmp(argv[1], "together") == 0) result = run_together(report, count, argv + 3);
  if (result == kExitUsage) fputs(kUsage, stderr);
  return fclose(report) == 0 ? result : kExitFailed;
}
