#include "sysfs/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sim {
namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
constexpr int kFileFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
constexpr mode_t kForAll = 0002;

// Opened anew, because the caller's descriptor has a position of its own.
DIR* list(int folder) {
  const int fd = openat(folder, ".", kFolderFlags);
  if (fd < 0) return nullptr;
  DIR* listing = fdopendir(fd);
  if (listing == nullptr) close(fd);
  return listing;
}

bool is_self_or_parent(const char* name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

ssize_t read_text(int folder, const char* name, char (&text)[kMaxFileBytes]) {
  const int fd = openat(folder, name, O_RDONLY | kFileFlags);
  if (fd < 0) return -1;
  const ssize_t size = read(fd, text, sizeof(text));
  close(fd);
  return size;
}

bool move_link(int from, int to, const char* name) {
  char target[PATH_MAX];
  char old_target[PATH_MAX];
  const ssize_t size = readlinkat(from, name, target, sizeof(target));
  if (size < 0) return false;
  const ssize_t old_size = readlinkat(to, name, old_target, sizeof(old_target));
  if (old_size == size && memcmp(target, old_target, static_cast<size_t>(size)) == 0) return true;
  return renameat(from, name, to, name) == 0;
}

bool has_same_text(int from, int to, const char* name) {
  char text[kMaxFileBytes];
  char old[kMaxFileBytes];
  const ssize_t size = read_text(from, name, text);
  return size >= 0 && read_text(to, name, old) == size &&
         memcmp(text, old, static_cast<size_t>(size)) == 0;
}

bool move_subfolder(int from, int to, const char* name, mode_t mode, bool (*kept)(const char*),
                    const char* path) {
  const int old_folder = open_folder(from, name);
  const int new_folder = make_folder(to, name, mode & 07777);
  bool good = old_folder >= 0 && new_folder >= 0;
  if (good && (kept == nullptr || (mode & kForAll) == 0))
    good = move_folder(old_folder, new_folder, kept, path);
  if (old_folder >= 0) close(old_folder);
  if (new_folder >= 0) close(new_folder);
  return good;
}

// A child's path, or nothing where it would be too long.
const char* join(const char* path, const char* name, char (&joined)[PATH_MAX]) {
  const int length =
      snprintf(joined, sizeof(joined), "%s%s%s", path, *path != '\0' ? "/" : "", name);
  return length > 0 && static_cast<size_t>(length) < sizeof(joined) ? joined : "";
}

bool move_entry(int from, int to, const char* name, bool (*kept)(const char*), const char* path) {
  struct stat about{};
  struct stat old{};
  if (fstatat(from, name, &about, AT_SYMLINK_NOFOLLOW) != 0) return false;
  bool exists = fstatat(to, name, &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && (old.st_mode & S_IFMT) != (about.st_mode & S_IFMT)) {
    remove_all(to, name);
    exists = false;
  }
  if (!exists) return renameat(from, name, to, name) == 0;
  if (S_ISLNK(about.st_mode)) return move_link(from, to, name);
  if (!S_ISDIR(about.st_mode)) {
    const bool same = old.st_mode == about.st_mode && has_same_text(from, to, name);
    return same || renameat(from, name, to, name) == 0;
  }
  char joined[PATH_MAX];
  return move_subfolder(from, to, name, about.st_mode, kept, join(path, name, joined));
}

void empty(int folder) {
  DIR* listing = list(folder);
  if (listing == nullptr) return;
  while (const dirent* entry = readdir(listing)) {
    if (!is_self_or_parent(entry->d_name)) remove_all(folder, entry->d_name);
  }
  closedir(listing);
}

void remove_what_is_gone(int from, int to, bool (*kept)(const char*), const char* path) {
  DIR* listing = list(to);
  if (listing == nullptr) return;
  while (const dirent* entry = readdir(listing)) {
    struct stat about{};
    if (is_self_or_parent(entry->d_name)) continue;
    if (fstatat(from, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0) continue;
    char joined[PATH_MAX];
    if (kept == nullptr || !kept(join(path, entry->d_name, joined))) {
      remove_all(to, entry->d_name);
      continue;
    }
    const int folder = open_folder(to, entry->d_name);
    if (folder < 0) continue;
    empty(folder);
    close(folder);
  }
  closedir(listing);
}

}  // namespace

int open_folder(int at, const char* name) { return openat(at, name, kFolderFlags); }

int make_folder(int at, const char* name, mode_t mode) {
  if (mkdirat(at, name, mode) == 0) {
    // Whatever the umask.
    if (fchmodat(at, name, mode, 0) != 0) return -1;
  } else if (errno != EEXIST) {
    return -1;
  }
  return open_folder(at, name);
}

bool make_file(int folder, const char* name, mode_t mode, const char* text, size_t size) {
  const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | kFileFlags, 0600);
  if (fd < 0) return false;
  const bool good = write(fd, text, size) == static_cast<ssize_t>(size) && fchmod(fd, mode) == 0;
  const int error = errno;
  close(fd);
  errno = error;
  return good;
}

bool move_folder(int from, int to, bool (*kept)(const char*), const char* path) {
  remove_what_is_gone(from, to, kept, path);
  DIR* listing = list(from);
  if (listing == nullptr) return false;
  bool good = true;
  while (const dirent* entry = readdir(listing)) {
    if (is_self_or_parent(entry->d_name)) continue;
    good = move_entry(from, to, entry->d_name, kept, path) && good;
  }
  closedir(listing);
  return good;
}

void remove_all(int at, const char* name) {
  if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return;
  const int folder = open_folder(at, name);
  if (folder >= 0) {
    empty(folder);
    close(folder);
  }
  unlinkat(at, name, AT_REMOVEDIR);
}

bool Tree::make_parents(const char* path) {
  char parent[PATH_MAX];
  for (const char* slash = strchr(path, '/'); slash != nullptr; slash = strchr(slash + 1, '/')) {
    const size_t length = static_cast<size_t>(slash - path);
    if (length >= sizeof(parent)) {
      error_ = ENAMETOOLONG;
      return false;
    }
    memcpy(parent, path, length);
    parent[length] = '\0';
    if (mkdirat(root_, parent, 0755) == 0) {
      fchmodat(root_, parent, 0755, 0);
    } else if (errno != EEXIST) {
      error_ = errno;
      return false;
    }
  }
  return true;
}

void Tree::write(const char* path, mode_t mode, const char* format, va_list arguments) {
  char text[kMaxFileBytes];
  const int size = vsnprintf(text, sizeof(text), format, arguments);
  if (error_ != 0) return;
  if (size < 0 || static_cast<size_t>(size) >= sizeof(text)) {
    error_ = EFBIG;
    return;
  }
  bool good = make_file(root_, path, mode, text, static_cast<size_t>(size));
  if (!good && errno == ENOENT && make_parents(path)) {
    good = make_file(root_, path, mode, text, static_cast<size_t>(size));
  }
  if (!good && error_ == 0) error_ = errno;
}

void Tree::file(const char* path, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write(path, 0644, format, arguments);
  va_end(arguments);
}

void Tree::file_with(const char* path, mode_t mode, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write(path, mode, format, arguments);
  va_end(arguments);
}

void Tree::folder(const char* path, mode_t mode) {
  if (error_ != 0 || !make_parents(path)) return;
  const int fd = make_folder(root_, path, mode);
  if (fd < 0) {
    error_ = errno;
    return;
  }
  close(fd);
}

void Tree::link(const char* path, const char* target) {
  if (error_ != 0) return;
  int made = symlinkat(target, root_, path);
  if (made != 0 && errno == ENOENT && make_parents(path)) made = symlinkat(target, root_, path);
  if (made != 0 && error_ == 0) error_ = errno;
}

}  // namespace sim
