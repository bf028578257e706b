// Folders of small files, which are changed under those who read them. A file is never changed in
// place, where a reader could see half of a number: another one takes its name.
#pragma once

#include <sys/types.h>

#include <cstdarg>

namespace sim {

// The longest text of a file here.
inline constexpr size_t kMaxFileBytes = 4096;

// A descriptor of the folder `name` in `at`, made where it is missing; -1 with errno. It is never a
// symbolic link.
int open_folder(int at, const char* name);
int make_folder(int at, const char* name, mode_t mode);

// A new file of this text, whatever the umask. False with errno.
bool make_file(int folder, const char* name, mode_t mode, const char* text, size_t size);

// Gives `to` what `from` has, and nothing else, file by file in one step, as little as possible
// being changed; `from` loses what it has. With `kept`, which is asked about paths below `path`,
// what is in a folder that all may write is left as it is, and a folder that is `kept` is emptied,
// but not removed.
bool move_folder(int from, int to, bool (*kept)(const char* path), const char* path = "");

// Removes the file, link, or folder with all that is in it.
void remove_all(int at, const char* name);

// A tree of files below a folder, written path by path. The first failure ends it.
class Tree {
 public:
  explicit Tree(int root) : root_(root) {}
  [[gnu::format(printf, 3, 4)]] void file(const char* path, const char* format, ...);
  [[gnu::format(printf, 4, 5)]] void file_with(const char* path, mode_t mode, const char* format,
                                               ...);
  void folder(const char* path, mode_t mode);
  void link(const char* path, const char* target);
  int error() const { return error_; }  // an errno, or 0

 private:
  void write(const char* path, mode_t mode, const char* format, va_list arguments);
  bool make_parents(const char* path);
  int root_;
  int error_ = 0;
};

}  // namespace sim
