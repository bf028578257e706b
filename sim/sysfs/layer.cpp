#include "sysfs/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs/amd_tree.h"
#include "sysfs/folder.h"

namespace sim {
namespace {

constexpr LayerError kNone{.what = nullptr, .error = 0};

LayerError failed(const char* what) { return {.what = what, .error = errno}; }

bool write_to(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool good = write(fd, text, strlen(text)) == static_cast<ssize_t>(strlen(text));
  close(fd);
  return good;
}

LayerError enter_namespaces() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (uid == 0) {
    if (unshare(CLONE_NEWNS) != 0) return failed("unshare(CLONE_NEWNS)");
  } else {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return failed("unshare(CLONE_NEWUSER)");
    char map[64];
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    if (!write_to("/proc/self/uid_map", map)) return failed("/proc/self/uid_map");
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    if (!write_to("/proc/self/setgroups", "deny")) return failed("/proc/self/setgroups");
    if (!write_to("/proc/self/gid_map", map)) return failed("/proc/self/gid_map");
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("mount(/)");
  return kNone;
}

// tty0, vcs1, loop2, ram3: a hundred of them, of which no program here needs one.
bool is_left_out(const char* name) {
  constexpr const char* kKinds[] = {"tty", "vcs", "loop", "ram"};
  const size_t digits = strcspn(name, "0123456789");
  if (name[digits] == '\0') return false;
  for (const char* kind : kKinds) {
    if (strncmp(name, kind, strlen(kind)) == 0) return true;
  }
  return false;
}

// What of the tree is not only a mount point: it has something in it, or is one of a few files.
bool is_simulated(const char* path) {
  constexpr const char* kAlways[] = {"/sys/class",     "/sys/bus",       "/sys/devices",
                                     "/sys/class/drm", "/sys/class/kfd", "/sys/bus/pci",
                                     "/dev/dri",       "/dev/kfd"};
  for (const char* always : kAlways) {
    if (strcmp(path, always) == 0) return true;
  }
  DIR* listing = opendir(path);
  if (listing == nullptr) return false;
  int entries = 0;
  while (readdir(listing) != nullptr) ++entries;
  closedir(listing);
  return entries > 2;
}

bool is_wanted(const char* name) {
  return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !is_left_out(name);
}

// Makes `name` in the tree something that the real one, in the working folder, can be mounted on;
// of a link, another one.
void make_mount_point(const char* name, int tree) {
  struct stat real{};
  struct stat there{};
  if (lstat(name, &real) != 0 || fstatat(tree, name, &there, AT_SYMLINK_NOFOLLOW) == 0) return;
  if (S_ISLNK(real.st_mode)) {
    char target[PATH_MAX];
    const ssize_t size = readlink(name, target, sizeof(target) - 1);
    if (size < 0) return;
    target[size] = '\0';
    if (symlinkat(target, tree, name) != 0) return;
  } else if (S_ISDIR(real.st_mode)) {
    const int fd = make_folder(tree, name, 0755);
    if (fd >= 0) close(fd);
  } else {
    make_file(tree, name, 0644, "", 0);
  }
}

// Shows `name` of the old folder, which is the working folder, in `place`, where the tree is laid.
bool show_entry(const char* name, const char* place, int tree) {
  struct stat real{};
  struct stat there{};
  if (lstat(name, &real) != 0 || S_ISLNK(real.st_mode)) return true;
  if (fstatat(tree, name, &there, AT_SYMLINK_NOFOLLOW) != 0) return true;
  if (S_ISDIR(real.st_mode) != S_ISDIR(there.st_mode)) return true;
  char path[PATH_MAX];
  snprintf(path, sizeof(path), "%s/%s", place, name);
  return is_simulated(path) || mount(name, path, nullptr, MS_BIND | MS_REC, nullptr) == 0;
}

// All of it that the tree has not.
bool show_real(const char* place, int tree) {
  DIR* listing = opendir(".");
  if (listing == nullptr) return false;
  bool good = true;
  while (const dirent* entry = readdir(listing)) {
    if (is_wanted(entry->d_name)) good = show_entry(entry->d_name, place, tree) && good;
  }
  closedir(listing);
  return good;
}

// One level: the old folder is the working folder meanwhile.
LayerError lay_level(const char* place, int old, int tree) {
  if (fchdir(old) != 0) return failed(place);
  if (!show_real(place, tree)) return failed(place);
  return kNone;
}

LayerError lay_levels(const char* place, int old, int tree, const char* const* levels) {
  if (fchdir(tree) != 0 || mount(".", place, nullptr, MS_BIND, nullptr) != 0) return failed(place);
  const LayerError top = lay_level(place, old, tree);
  if (top.what != nullptr) return top;
  for (; *levels != nullptr; ++levels) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", place, *levels);
    const int old_level = openat(old, *levels, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int tree_level = openat(tree, *levels, O_PATH | O_DIRECTORY | O_CLOEXEC);
    LayerError error = kNone;
    if (old_level >= 0 && tree_level >= 0) error = lay_level(path, old_level, tree_level);
    if (old_level >= 0) close(old_level);
    if (tree_level >= 0) close(tree_level);
    if (error.what != nullptr) return {.what = place, .error = error.error};
  }
  return kNone;
}

LayerError lay_place(const char* place, int tree, const char* const* levels) {
  const int old = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int part = openat(tree, place + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
  const LayerError error =
      old < 0 || part < 0 ? failed(place) : lay_levels(place, old, part, levels);
  if (old >= 0) close(old);
  if (part >= 0) close(part);
  return error;
}

// Where what is real and what is simulated stand side by side.
constexpr const char* kSysLevels[] = {"class", "bus", "devices", nullptr};
constexpr const char* kDevLevels[] = {nullptr};

void make_mount_points_in(const char* place, int tree) {
  const int part = openat(tree, place + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = part < 0 || chdir(place) != 0 ? nullptr : opendir(".");
  if (listing != nullptr) {
    while (const dirent* entry = readdir(listing)) {
      if (is_wanted(entry->d_name)) make_mount_point(entry->d_name, part);
    }
    closedir(listing);
  }
  if (part >= 0) close(part);
}

}  // namespace

void make_mount_points(int tree) {
  const int working_folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  make_mount_points_in("/sys", tree);
  for (const char* const* level = kSysLevels; *level != nullptr; ++level) {
    char place[PATH_MAX];
    snprintf(place, sizeof(place), "/sys/%s", *level);
    make_mount_points_in(place, tree);
  }
  make_mount_points_in("/dev", tree);
  if (working_folder < 0) return;
  if (fchdir(working_folder) != 0) errno = 0;
  close(working_folder);
}

LayerError lay_over(const char* machine_path) {
  LayerError error = enter_namespaces();
  if (error.what != nullptr) return error;
  // Descriptors from before would be of the mounts of the old namespace.
  const int working_folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int tree = open_tree_of(machine_path);
  if (working_folder < 0 || tree < 0) error = failed("the folder");
  if (error.what == nullptr) error = lay_place("/sys", tree, kSysLevels);
  if (error.what == nullptr) error = lay_place("/dev", tree, kDevLevels);
  if (error.what == nullptr && fchdir(working_folder) != 0) error = failed("fchdir");
  if (working_folder >= 0) close(working_folder);
  if (tree >= 0) close(tree);
  return error;
}

}  // namespace sim
