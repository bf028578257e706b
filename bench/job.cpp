// bench-job: says in a log when it started and ended, and whether it had its GPUs for itself.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitOverlap = 9;

constexpr const char* kUsage =
    "usage: bench-job LOG ID MS|- [DEVICES [DIE_AFTER_MS]]\n"
    "\n"
    "Appends \"start ID NS\" to LOG, runs for MS milliseconds (-: until standard input ends),\n"
    "appends \"end ID NS\". NS is CLOCK_MONOTONIC; each line is one write.\n"
    "DEVICES is a folder with a lock for each GPU in CUDA_VISIBLE_DEVICES: a job that finds one\n"
    "taken appends \"overlap ID DEVICE PID\" and exits with 9. DIE_AFTER_MS: ends then, by "
    "SIGKILL.\n";

long long monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

[[noreturn]] void stop(const char* what) {
  fprintf(stderr, "bench-job: %s: %s\n", what, strerror(errno));
  _exit(kExitFailed);
}

[[gnu::format(printf, 2, 3)]] void append(int log, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length <= 0 || static_cast<size_t>(length) >= sizeof line) _exit(kExitFailed);
  if (write(log, line, static_cast<size_t>(length)) != length) stop("write");
}

// A record lock, not flock(2): a dying process loses it as soon as its descriptors begin to close
// (filp_close in fs/open.c). A flock goes with the last of them, when the claim may be gone already
// and the next job running. F_GETLK also names the holder.
void lock_devices(int log, const char* id, const char* folder) {
  const char* visible = getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr || visible[0] == '\0') {
    errno = ENOENT;
    stop("CUDA_VISIBLE_DEVICES");
  }
  char list[256];
  snprintf(list, sizeof list, "%s", visible);
  char* rest = nullptr;
  for (const char* device = strtok_r(list, ",", &rest); device != nullptr;
       device = strtok_r(nullptr, ",", &rest)) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, device);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) stop(path);
    struct flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (fcntl(fd, F_SETLK, &whole) == 0) continue;
    fcntl(fd, F_GETLK, &whole);
    append(log, "overlap %s %s %d\n", id, device, static_cast<int>(whole.l_pid));
    _exit(kExitOverlap);
  }
}

void sleep_ms(const char* text) {
  const double ms = strtod(text, nullptr);
  const auto ns = static_cast<long long>(ms * 1e6);
  timespec left{.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

void wait_for_end_of_input() {
  char bytes[64];
  while (read(STDIN_FILENO, bytes, sizeof bytes) > 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  const long long started = monotonic_ns();
  if (argc < 4 || argc > 6) {
    fputs(kUsage, stderr);
    return kExitUsage;
  }
  const char* id = argv[2];
  const int log = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) stop(argv[1]);
  if (argc >= 5) lock_devices(log, id, argv[4]);
  append(log, "start %s %lld\n", id, started);
  if (argc == 6) {
    sleep_ms(argv[5]);
    kill(getpid(), SIGKILL);
  }
  if (strcmp(argv[3], "-") == 0) {
    wait_for_end_of_input();
  } else {
    sleep_ms(argv[3]);
  }
  append(log, "end %s %lld\n", id, monotonic_ns());
  _exit(0);
}
