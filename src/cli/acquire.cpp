#include "cli/acquire.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/signals.h"
#include "cli/notices.h"
#include "cli/text.h"
#include "gpu/nvml.h"
#include "job/environment.h"
#include "policy/selection.h"

namespace gpu_gate {
namespace {

/// $GPU_GATE_CLAIM as a ticket; 0 where it is none.
Ticket outer_claim() {
  const std::string text = variable(environ, "GPU_GATE_CLAIM").value_or("");
  Ticket ticket = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), ticket);
  return problem == std::errc{} && end == text.data() + text.size() ? ticket : 0;
}

std::string impossible_text(const Snapshot& snapshot, const std::vector<Barred>& barred,
                            const Request& request, int possible) {
  if (snapshot.devices.empty()) return "there is no GPU on this machine";
  std::string text =
      fmt::format("{} asked for, but {} of the {} here can ever be used for this:\n",
                  gpus(request.count), possible == 0 ? "none" : "only " + std::to_string(possible),
                  gpus(static_cast<int>(snapshot.devices.size())));
  bool hidden = false;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    const Device& device = snapshot.devices[i];
    const std::string never = never_reason(device, barred[i], fit(device, request, false), request);
    text += fmt::format("  GPU {}: {}\n", device.index, never.empty() ? "could be used" : never);
    hidden = hidden || barred[i] == Barred::not_visible;
  }
  if (hidden) text += "unset CUDA_VISIBLE_DEVICES to choose among all GPUs\n";
  return text;
}

bool is_one_try(const Options& options) { return options.timeout && options.timeout->count() == 0; }

std::string timeout_text(const Options& options) {
  const double seconds = std::chrono::duration<double>(*options.timeout).count();
  const std::string wanted =
      options.count == 1 ? "no GPU was" : fmt::format("{} GPUs were not", options.count);
  if (is_one_try(options)) return wanted + " free (--timeout 0: one try)";
  return fmt::format("{} free within {:g} s (--timeout)", wanted, seconds);
}

/// Turns the options into a request for the machine as it is; says at once what can never be.
class RequestMaker {
 public:
  RequestMaker(const Options& options, Notices& notices) : options_(options), notices_(notices) {
    selection_.only = options.only;
    selection_.exclude = options.exclude;
    selection_.visible_devices = variable(environ, "CUDA_VISIBLE_DEVICES");
  }

  Result<Request> operator()(const Snapshot& snapshot,
                             const std::vector<std::string>* claim_devices) {
    selection_.claim_devices.reset();
    if (claim_devices != nullptr) selection_.claim_devices = *claim_devices;
    Result<Request> request = make(snapshot);
    // What was possible once may be again: a card that is lost for now is no reason to give up.
    if (!request && last_ && request.error().kind == ErrorKind::impossible) return *last_;
    if (request) last_ = *request;
    return request;
  }

 private:
  Result<Request> make(const Snapshot& snapshot) {
    const Result<std::vector<Barred>> barred = select(selection_, snapshot);
    if (!barred) return fail(barred.error());
    Request request;
    request.count = options_.count;
    request.min_free_mib = options_.min_free_mib;
    request.max_util_pct = options_.max_util_pct;
    for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
      const std::string& uuid = snapshot.devices[i].uuid;
      if ((*barred)[i] != Barred::no && !uuid.empty()) request.barred.push_back(uuid);
    }
    const int possible = could_ever_count(snapshot, *barred, request);
    if (possible < request.count) {
      return fail(ErrorKind::impossible, impossible_text(snapshot, *barred, request, possible));
    }
    notices_.set_barred(*barred);
    return request;
  }

  const Options& options_;
  Notices& notices_;
  Selection selection_;
  std::optional<Request> last_;
};

}  // namespace

LockDirPlaces lock_dir_places() {
  LockDirPlaces places;
  places.chosen = variable(environ, "GPU_GATE_LOCK_DIR");
  if (places.chosen && places.chosen->empty()) places.chosen.reset();
  return places;
}

std::unique_ptr<GpuSource> gpu_source() {
  NvmlPlaces places;
  const std::optional<std::string> library = variable(environ, "GPU_GATE_NVML");
  if (library && !library->empty()) places.driver_library = *library;
  return nvml_source(std::move(places));
}

Result<WaitEnd> acquire(const Options& options, const Purpose& purpose) {
  const std::unique_ptr<GpuSource> source = gpu_source();
  Notices notices(options.quiet, is_one_try(options), options.count);
  WaitOptions wait;
  wait.poll = options.poll;
  wait.timeout = options.timeout;
  wait.claim = purpose.claim;
  wait.owner = purpose.owner;
  wait.lifeline = purpose.lifeline;
  wait.lifeline_events = purpose.lifeline_events;
  wait.within = outer_claim();
  Result<WaitEnd> end =
      wait_for_gpus(lock_dir_places(), *source, RequestMaker(options, notices), wait, notices);
  notices.clear();
  if (!end && end.error().kind == ErrorKind::timed_out) {
    return fail(ErrorKind::timed_out, timeout_text(options));
  }
  if (end && end->signal != 0) die_of(end->signal);
  if (end && end->abandoned) {
    return fail(ErrorKind::timed_out, "gave up: whoever it was to hold for is gone");
  }
  if (end && purpose.announce) notices.granted(*end);
  return end;
}

}  // namespace gpu_gate
