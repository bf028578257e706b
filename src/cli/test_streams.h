#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/unique_fd.h"

// The program's streams and environment, for unit tests of what is printed.
namespace gpu_gate {

/// As long as it lives, `fd` leads to where `target` does.
class Redirected {
 public:
  Redirected(int fd, int target) : fd_(fd), saved_(::fcntl(fd, F_DUPFD_CLOEXEC, 3)) {
    std::fflush(nullptr);
    ::dup2(target, fd);
  }
  Redirected(const Redirected&) = delete;
  Redirected& operator=(const Redirected&) = delete;
  ~Redirected() {
    std::fflush(nullptr);
    ::dup2(saved_.get(), fd_);
  }

 private:
  int fd_;
  UniqueFd saved_;
};

/// What `call` writes to `fd`.
template <class Call>
std::string written_to(int fd, const Call& call) {
  const UniqueFd file(::memfd_create("written", MFD_CLOEXEC));
  {
    const Redirected redirected(fd, file.get());
    call();
  }
  std::string text(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

/// What `call` writes to stderr.
template <class Call>
std::string told(const Call& call) {
  return written_to(STDERR_FILENO, call);
}

/// A terminal that changes no byte of what is written to it.
class Terminal {
 public:
  explicit Terminal(unsigned short columns)
      : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    ::grantpt(master_.get());
    ::unlockpt(master_.get());
    std::array<char, 64> path{};
    ::ptsname_r(master_.get(), path.data(), path.size());
    slave_ = UniqueFd(::open(path.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    struct termios mode{};
    ::tcgetattr(slave_.get(), &mode);
    ::cfmakeraw(&mode);
    ::tcsetattr(slave_.get(), TCSANOW, &mode);
    struct winsize size{};
    size.ws_col = columns;
    ::ioctl(slave_.get(), TIOCSWINSZ, &size);
  }

  int fd() const { return slave_.get(); }

  /// Puts this process into its foreground, as the leader of a new session.
  void be_foreground() const {
    ::setsid();
    ::ioctl(slave_.get(), TIOCSCTTY, 0);
  }

  /// Reads away what was written to it.
  void discard() const {
    std::array<char, 65536> bytes{};
    struct pollfd readable{.fd = master_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&readable, 1, 100) > 0) {
      if (::read(master_.get(), bytes.data(), bytes.size()) <= 0) return;
    }
  }

  /// All that was written to it. Nothing can be written to it any more.
  std::string text() {
    slave_.reset();  // so that the other end is told of the end, behind what is still on its way
    std::string text;
    std::array<char, 4096> bytes{};
    for (ssize_t size = 0; (size = ::read(master_.get(), bytes.data(), bytes.size())) > 0;) {
      text.append(bytes.data(), static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  UniqueFd master_;
  UniqueFd slave_;
};

/// What `call` writes to stderr where that is a terminal of this width.
template <class Call>
std::string told_on_terminal(unsigned short columns, const Call& call) {
  Terminal terminal(columns);
  {
    const Redirected redirected(STDERR_FILENO, terminal.fd());
    call();
  }
  return terminal.text();
}

/// As long as it lives, an environment variable has this value; nothing: it is not set.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const std::optional<std::string>& value) : name_(name) {
    const char* before = std::getenv(name);
    if (before != nullptr) before_ = before;
    set(value);
  }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;
  ~EnvironmentVariable() { set(before_); }

 private:
  void set(const std::optional<std::string>& value) const {
    if (value) {
      ::setenv(name_, value->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace gpu_gate
