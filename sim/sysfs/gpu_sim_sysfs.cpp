// gpu-sim-sysfs: shows the AMD cards of a machine file in /sys and /dev, as the kernel does, to a
// command.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "machine.h"
#include "sysfs/amd_tree.h"
#include "sysfs/layer.h"
#include "usage.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr const char* kUsage =
    "usage: gpu-sim-sysfs MACHINE -- command [argument...]\n"
    "       gpu-sim-sysfs MACHINE --update\n"
    "\n"
    "Makes MACHINE.sysfs, a folder with what the kernel shows in /sys and /dev of the AMD cards\n"
    "of the file MACHINE, lays it over both in a mount namespace, and becomes the command, which\n"
    "finds MACHINE in GPU_SIM_MACHINE. All that run so with one file share one machine. With\n"
    "--update it brings the folder up to date with the file, and ends.\n"
    "\n"
    "Exit status: 1 failed; 2 usage; 127 no such command; 126 it cannot be run.\n";

[[noreturn]] void stop(int status, const char* what, const char* why) {
  fprintf(stderr, "gpu-sim-sysfs: %s: %s\n", what, why);
  exit(status);
}

// Makes the tree, or brings it up to date. Another user's tree is taken as it is.
void prepare_tree(const char* path) {
  static char text[sim::kMaxMachineBytes];
  static sim::Machine machine;
  const ptrdiff_t size = sim::read_machine_text(path, text, sizeof(text));
  if (size < 0) stop(kExitFailed, path, strerror(errno));
  sim::MachineError error;
  if (!sim::parse_machine(text, static_cast<size_t>(size), machine, error)) {
    fprintf(stderr, "gpu-sim-sysfs: %s:%d: %s\n", path, error.line, error.what);
    exit(kExitFailed);
  }
  const int state_folder = sim::make_state_folder(path);
  if (state_folder < 0 || flock(state_folder, LOCK_EX) != 0) {
    stop(kExitFailed, "the state folder", strerror(errno));
  }
  const bool made = sim::make_tree(machine, path, text, static_cast<size_t>(size), state_folder);
  const int make_error = errno;
  close(state_folder);
  const int tree = sim::open_tree_of(path);
  if (tree < 0 || (!made && make_error != EACCES)) {
    fprintf(stderr, "gpu-sim-sysfs: %s.sysfs: %s\n", path, strerror(make_error));
    exit(kExitFailed);
  }
  if (made) sim::make_mount_points(tree);
  close(tree);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--help") == 0) {
    fputs(kUsage, stdout);
    return 0;
  }
  const bool update = argc == 3 && strcmp(argv[2], "--update") == 0;
  if (!update && (argc < 4 || strcmp(argv[2], "--") != 0)) {
    fputs(kUsage, stderr);
    return kExitUsage;
  }
  char* path = realpath(argv[1], nullptr);  // the command may be anywhere
  if (path == nullptr) stop(kExitFailed, argv[1], strerror(errno));
  prepare_tree(path);
  if (update) return 0;
  const sim::LayerError error = sim::lay_over(path);
  if (error.what != nullptr) stop(kExitFailed, error.what, strerror(error.error));
  if (setenv("GPU_SIM_MACHINE", path, 1) != 0) stop(kExitFailed, "setenv", strerror(errno));
  execvp(argv[3], argv + 3);
  stop(errno == ENOENT ? 127 : 126, argv[3], strerror(errno));
}
