#include "cluster/step_input.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/prompt_write.h"

namespace gpu_gate {
namespace {

/// Nothing tells that a terminal has come to the foreground.
constexpr std::chrono::seconds kTerminalRetry{1};
constexpr std::size_t kInputChunk = 65536;  // a pipe's capacity (pipe(7))

}  // namespace

void StepInput::open(UniqueFd pipe) {
  pipe_ = std::move(pipe);
  flow_ = Flow(pipe_.get());
}

void StepInput::start() {
  started_ = true;
  flow_.put("\n");
}

void StepInput::end() {
  ended_ = true;
  pipe_.reset();
}

void StepInput::carry() {
  if (!pipe_) return;
  flow_.go_on();
  if (flow_.lost_reader()) ended_ = true;
  if (wants_more()) read();
  if (ended_ && flow_.is_empty()) pipe_.reset();
}

void StepInput::add_to(WaitSet& set) const {
  if (pipe_) flow_.add_to(set);
  if (!wants_more()) return;
  if (pause_) {
    set.until(*pause_);
  } else {
    set.add(STDIN_FILENO, POLLIN);
  }
}

/// What is read has somewhere to go.
bool StepInput::wants_more() const { return started_ && !ended_ && flow_.is_empty(); }

void StepInput::read() {
  if (pause_ && Clock::now() < *pause_) return;
  pause_.reset();
  struct pollfd ready{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, 0) <= 0) return;
  std::array<char, kInputChunk> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t got = read_promptly(STDIN_FILENO, chunk.data(), chunk.size());
  const int errnum = errno;
  if (got > 0) {
    flow_.put({chunk.data(), static_cast<std::size_t>(got)});
  } else if (got < 0 && errnum == EIO && ::isatty(STDIN_FILENO) == 1) {
    pause_ = Clock::now() + kTerminalRetry;  // in the background
  } else if (got == 0 || (errnum != EINTR && errnum != EAGAIN)) {
    ended_ = true;
  }
}

}  // namespace gpu_gate
