#include "cluster/errands.h"

#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "cluster/child.h"

namespace gpu_gate {

Status Errands::start(const Errand& errand, const std::vector<std::string>& words) {
  Result<Pipe> output = open_pipe(OwnEnd::read);
  if (!output) return fail(output.error());
  const int end = output->write_end.get();
  const Result<pid_t> child =
      start_child(words, environment_, {.out = end, .err = end, .kept = {}});
  if (!child) return fail(child.error());
  running_.push_back({.errand = errand, .pid = *child, .output = std::move(output->read_end)});
  return {};
}

std::vector<ErrandDone> Errands::reap() {
  std::vector<ErrandDone> done;
  std::erase_if(running_, [&](const Running& each) {
    int status = 0;
    if (::waitpid(each.pid, &status, WNOHANG) != each.pid) return false;
    ErrandDone ended{
        .errand = each.errand, .well = WIFEXITED(status) && WEXITSTATUS(status) == 0, .output = {}};
    while (read_from(each.output.get(), ended.output) && errno != EAGAIN) errno = 0;
    while (ended.output.ends_with('\n')) ended.output.pop_back();
    done.push_back(std::move(ended));
    return true;
  });
  return done;
}

void Errands::keep_time(Clock::time_point now) {
  for (Running& each : running_) {
    if (!each.errand.until || now < *each.errand.until) continue;
    ::kill(each.pid, SIGKILL);
    each.errand.until.reset();
  }
}

void Errands::add_to(WaitSet& set) const {
  for (const Running& each : running_) {
    if (each.errand.until) set.until(*each.errand.until);
  }
}

}  // namespace gpu_gate
