#include "gate/record_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/signals.h"
#include "base/umask.h"
#include "base/unique_fd.h"
#include "gate/record.h"

namespace gpu_gate {
namespace {

constexpr mode_t kRecordMode = 01644;  // sticky: see fifo.cpp

}  // namespace

std::optional<RecordFile> read_record_file(int dir, const std::string& name,
                                           std::optional<uid_t> owner) {
  const UniqueFd fd(
      ::openat(dir, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
      info.st_size > static_cast<off_t>(kMaxRecordBytes) ||
      info.st_uid != owner.value_or(info.st_uid)) {
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  return RecordFile{.text = std::move(text), .uid = info.st_uid};
}

Status write_record_file(int dir, const std::string& name, const std::string& text) {
  UniqueFd fd;
  {
    const NoUmask exact_mode;
    fd = UniqueFd(::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           kRecordMode));
  }
  if (!fd) return fail(system_error(ErrorKind::lock_file, "open", name, errno));
  const WriteSignals signals;
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(fd.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      Error error = system_error(ErrorKind::lock_file, "write", name, written < 0 ? errno : ENOSPC);
      signals.failed(error.errnum);
      ::unlinkat(dir, name.c_str(), 0);
      return fail(std::move(error));
    }
    done += static_cast<std::size_t>(written);
  }
  return {};
}

Status replace_record_file(int dir, const std::string& name, const std::string& new_name,
                           const std::string& text) {
  ::unlinkat(dir, new_name.c_str(), 0);
  if (Status written = write_record_file(dir, new_name, text); !written) return written;
  if (::renameat(dir, new_name.c_str(), dir, name.c_str()) != 0) {
    return fail(system_error(ErrorKind::lock_file, "rename", name, errno));
  }
  return {};
}

// By getdents64(2), since opendir(3) would open the directory once more, ask fcntl(2) twice and
// take 32 KiB for each listing, of which every look makes three. As a bare call: the C library has
// a function for it only from version 2.30 on.
Result<std::vector<std::string>> names_in(int dir) {
  std::vector<std::string> names;
  const Status read = for_each_name(dir, [&](std::string_view name) { names.emplace_back(name); });
  if (!read) return fail(read.error());
  return names;
}

Status for_each_name(int dir, const std::function<void(std::string_view)>& visit) {
  if (::lseek(dir, 0, SEEK_SET) < 0) {
    return fail(system_error(ErrorKind::lock_file, "lseek", ".", errno));
  }
  alignas(struct dirent64) std::array<char, 4096> buffer;
  for (;;) {
    const long size = ::syscall(SYS_getdents64, dir, buffer.data(), buffer.size());
    // A directory that was removed has no names, as readdir(3) tells it.
    if (size == 0 || (size < 0 && errno == ENOENT)) return {};
    if (size < 0) return fail(system_error(ErrorKind::lock_file, "getdents64", ".", errno));
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const struct dirent64*>(buffer.data() + at);
      if (entry->d_name[0] != '.') visit(entry->d_name);
      at += entry->d_reclen;
    }
  }
}

bool lacks_room(const Error& error) {
  return error.errnum == ENOSPC || error.errnum == EDQUOT || error.errnum == EFBIG;
}

Error creation_error(Error error) {
  if (error.errnum == ENOENT) error.kind = ErrorKind::replaced;
  return error;
}

bool may_remove(uid_t owner) { return ::geteuid() == 0 || ::geteuid() == owner; }

}  // namespace gpu_gate
