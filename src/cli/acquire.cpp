#include "cli/acquire.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/env.h"
#include "base/process.h"
#include "base/signals.h"
#include "cli/console.h"
#include "cli/eval_line.h"
#include "cli/notices.h"
#include "cli/text.h"
#include "cli/values.h"
#include "cluster/allocation.h"
#include "gpu/sources.h"
#include "gpu/vendor.h"
#include "policy/barred.h"
#include "policy/turn_order.h"

namespace gpu_gate {
namespace {

/// An environment variable as a number, 0 where it is none; empty where it is not set.
template <class Number>
std::optional<Number> number_of(const char* name) {
  const std::optional<std::string> variable = env_variable(environ, name);
  if (!variable) return std::nullopt;
  const std::string& text = *variable;
  Number number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc{} && end == text.data() + text.size() ? number : 0;
}

/// "this machine has 4", "only 1 of the 8 here can ever be used".
std::string shortage(int possible, int present) {
  if (possible == present) return fmt::format("this machine has {}", present);
  if (possible > 0)
    return fmt::format("only {} of the {} here can ever be used", possible, present);
  if (present == 1) return "the one here can never be used";
  return fmt::format("none of the {} here can ever be used", present);
}

std::string impossible_text(const Snapshot& snapshot, const std::vector<Barred>& barred,
                            const Request& request, int possible) {
  if (snapshot.devices.empty()) return "there is no GPU on this machine";
  std::vector<Remark> remarks;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    const Device& device = snapshot.devices[i];
    const std::string never = never_reason(device, barred[i], fit(device, request, {}), request);
    const std::string hope = possible == 0 ? unknown_size_text(device) : "could be used";
    remarks.push_back({.device = device, .text = never.empty() ? hope : never});
  }
  return fmt::format("{} asked for, {}:\n", wish_text(request.criteria),
                     shortage(possible, static_cast<int>(snapshot.devices.size()))) +
         remark_lines(remarks);
}

std::string limit_text(const Criteria& criteria, int most) {
  return fmt::format(
      "{} asked for, but on this machine one user may hold at most {} at a time (max-per-user in "
      "the "
      "file `policy` of the lock directory)",
      wish_text(criteria), gpus(most));
}

bool is_one_try(const Options& options) { return options.timeout && options.timeout->count() == 0; }

std::string timeout_text(const Options& options) {
  const double seconds = std::chrono::duration<double>(*options.timeout).count();
  const Criteria& criteria = options.criteria;
  std::string wanted =
      criteria.count == 1 ? "no GPU was" : fmt::format("{} GPUs were not", criteria.count);
  if (criteria.share_mib) wanted = wish_text(criteria) + " were not";
  if (is_one_try(options)) return wanted + " free (--timeout 0: one try)";
  return fmt::format("{} free within {:g} s (--timeout)", wanted, seconds);
}

/// Names in the request what it may not have, and where that cannot be done, what it may have.
void name_devices(Request& request, const Snapshot& snapshot, const std::vector<Barred>& barred) {
  std::vector<std::string> allowed;
  bool all_barred_named = true;
  bool all_allowed_named = true;
  for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
    const std::string& uuid = snapshot.devices[i].uuid;
    const bool is_barred = barred[i] != Barred::no;
    if (uuid.empty()) {
      (is_barred ? all_barred_named : all_allowed_named) = false;
    } else {
      std::vector<std::string>& list = is_barred ? request.barred : allowed;
      if (std::find(list.begin(), list.end(), uuid) == list.end()) list.push_back(uuid);
    }
  }
  if (!all_barred_named && all_allowed_named) request.allowed = std::move(allowed);
}

/// Those on the devices that are this process or come of it.
std::vector<pid_t> processes_of(pid_t pid, const Snapshot& snapshot) {
  std::vector<pid_t> pids;
  for (const Device& device : snapshot.devices) {
    for (const GpuProcess& process : device.processes) {
      if (descends_from(process.pid, pid)) pids.push_back(process.pid);
    }
  }
  return pids;
}

/// The least that the request could come to hold.
Amount least_amount(const Criteria& criteria, const Snapshot& snapshot,
                    const std::vector<Barred>& barred) {
  const CardSizes sizes = card_sizes(snapshot, {});
  Amount least = amount_of(criteria, sizes);
  for (std::size_t i = 0; i < barred.size(); ++i) {
    if (barred[i] != Barred::no) continue;
    const Device& device = snapshot.devices[i];
    least = std::min(least, amount_on(device, criteria, sizes, snapshot) * criteria.count);
  }
  return least;
}

/// What was typed, as srun can start it; what is to be held for a process must be on its machine.
SlurmRemedy slurm_remedy(const Options& options) {
  std::vector<std::string> words{"gpu-gate"};
  words.insert(words.end(), options.words.begin(), options.words.end());
  const std::string line = options.pid ? "--pty bash" : shell_line(words).value_or("gpu-gate ...");
  return {.line = line, .gpus = options.criteria.count};
}

/// Turns the options into a request for the machine as it is; refuses at once what it can never
/// meet.
class RequestMaker {
 public:
  RequestMaker(const Options& options, Notices& notices, SlurmRemedy remedy)
      : options_(options), notices_(notices), remedy_(std::move(remedy)) {
    selection_.only = options.only;
    selection_.exclude = options.exclude;
  }

  Result<Request> operator()(const Surroundings& around) {
    selection_.claim_devices.reset();
    selection_.inherited = inherited_lists(environ, around.snapshot.vendor);
    notices_.set_visible(selection_.inherited);
    if (around.claim != nullptr) {
      selection_.claim_devices = around.claim->devices;
      // The claim says it all unless the job has narrowed it since. By number the same list may
      // mean other devices by now, since CUDA does not count one that is lost.
      const auto indices = env_variable(environ, env::kIndices);
      if (selection_.inherited.size() == 1 && selection_.inherited.front().value == indices) {
        selection_.inherited.clear();
      }
    }
    Result<Request> request = make_within_allocation(around);
    if (request) {
      last_ = *request;
    } else if (last_ && request.error().kind == ErrorKind::impossible) {
      // What was possible once may be again: a lost device is no reason to give up. Of those that
      // have come since, it may have no others than before.
      request = *last_;
      const std::vector<Barred> barred = bar_devices(selection_, around.snapshot);
      name_devices(*request, around.snapshot, barred);
      request->allowed = last_->allowed;
      notices_.set_barred(barred, around.snapshot);
    }
    return request;
  }

 private:
  /// A job of gpu-gate's has its claim, and asks nobody else.
  Result<Request> make_within_allocation(const Surroundings& around) {
    if (around.claim == nullptr) {
      const Vendor vendor = around.snapshot.vendor;
      if (Status allowed = check_allocation(environ, vendor, remedy_); !allowed) {
        return fail(allowed.error());
      }
    }
    return make(around);
  }

  Result<Request> make(const Surroundings& around) {
    const Snapshot& snapshot = around.snapshot;
    Request request{.criteria = options_.criteria, .barred = {}};
    if (options_.pid) request.own = processes_of(*options_.pid, snapshot);
    Criteria& criteria = request.criteria;
    if (around.claim != nullptr) {
      request.outer_share_mib = around.claim->share_mib;
      // A part that does not say how much takes all that there is.
      if (!criteria.share_mib) criteria.share_mib = around.claim->share_mib;
    }
    if (Status only = check_only(selection_, snapshot); !only) return fail(only.error());
    const std::vector<Barred> barred = bar_devices(selection_, snapshot);
    name_devices(request, snapshot, barred);
    const int possible = could_ever_count(snapshot, barred, request);
    if (possible < request.criteria.count) {
      std::string text = impossible_text(snapshot, barred, request, possible);
      if (std::find(barred.begin(), barred.end(), Barred::not_visible) != barred.end()) {
        const std::string by_slurm = allocation_advice(environ, remedy_);
        text += (by_slurm.empty() ? visible_advice(selection_.inherited) : by_slurm) + "\n";
      }
      return fail(ErrorKind::impossible, std::move(text));
    }
    if (const std::optional<int> most = around.policy.max_per_user;
        most && around.claim == nullptr &&
        least_amount(criteria, snapshot, barred) > kWholeGpu * *most) {
      return fail(ErrorKind::impossible, limit_text(criteria, *most));
    }
    notices_.set_barred(barred, snapshot);
    return request;
  }

  const Options& options_;
  Notices& notices_;
  SlurmRemedy remedy_;
  Selection selection_;
  std::optional<Request> last_;
};

}  // namespace

LockDirPaths lock_dir_paths() {
  LockDirPaths paths;
  paths.chosen = env_setting(environ, env::kLockDir);
  return paths;
}

namespace {

/// Whose GPUs are asked for: by the option, the environment, or the claim that this is a part of.
Result<std::optional<WantedVendor>> wanted_vendor(const Options& options) {
  using Wanted = std::optional<WantedVendor>;
  if (options.vendor) {
    return Wanted(
        {.vendor = *options.vendor, .asked = std::string("--vendor ") + word_of(*options.vendor)});
  }
  if (const auto word = env_setting(environ, env::kVendor)) {
    const std::string asked = std::string(env::kVendor) + " is " + quoted(*word);
    const std::optional<Vendor> vendor = vendor_of_word(*word);
    if (!vendor) return fail(ErrorKind::usage, asked + ": it must be nvidia or amd");
    return Wanted({.vendor = *vendor, .asked = asked});
  }
  const bool in_job = env_setting(environ, env::kClaim).has_value();
  const auto uuids = env_setting(environ, env::kUuids);
  if (in_job && uuids && is_amd_uuid(uuids->substr(0, uuids->find(',')))) {
    return Wanted({.vendor = Vendor::amd, .asked = "this job has AMD GPUs"});
  }
  return Wanted();
}

}  // namespace

Result<std::unique_ptr<GpuSource>> gpu_source_for(const Options& options) {
  Result<std::optional<WantedVendor>> wanted = wanted_vendor(options);
  if (!wanted) return fail(wanted.error());
  SourcePaths paths;
  if (const auto library = env_setting(environ, env::kNvml)) paths.nvml.driver_library = *library;
  return gpu_source(std::move(paths), std::move(*wanted));
}

Result<Granted> acquire(const Options& options, WaitOptions wait) {
  // Before the driver is asked, which the machine where a job was asked for may lack. What else is
  // to be had inside a claim turns out with that.
  const SlurmRemedy remedy = slurm_remedy(options);
  if (!env_setting(environ, env::kClaim)) {
    if (Status allowed = check_allocation(environ, options.vendor, remedy); !allowed) {
      return fail(allowed.error());
    }
  }
  const Result<std::unique_ptr<GpuSource>> source = gpu_source_for(options);
  if (!source) return fail(source.error());
  Notices notices(options.quiet, is_one_try(options), options.criteria);
  wait.owner.note = options.note;
  wait.poll = options.poll;
  wait.timeout = options.timeout;
  wait.within = number_of<Ticket>(env::kClaim);
  if (const auto mib = number_of<std::int64_t>(env::kShareMb); mib && *mib > 0) {
    wait.within_share_mib = mib;
  }
  Result<WaitEnd> end = wait_for_gpus(lock_dir_paths(), **source,
                                      RequestMaker(options, notices, remedy), wait, notices);
  notices.clear();
  if (!end) return fail(end.error());
  if (const auto* signalled = std::get_if<Signalled>(&*end)) {
    if (options.export_line) {
      [[maybe_unused]] const Status printed = print(failure_line(128 + signalled->signal));
    }
    die_of(signalled->signal);
  }
  if (std::holds_alternative<TimedOut>(*end)) {
    return fail(ErrorKind::timed_out, timeout_text(options));
  }
  if (std::holds_alternative<Abandoned>(*end)) {
    return fail(ErrorKind::timed_out, "gave up: the process to hold for has ended");
  }
  if (options.verb == Verb::run) {
    notices.granted(std::get<Granted>(*end));
    (*source)->close_for_exec();
  }
  return std::get<Granted>(std::move(*end));
}

}  // namespace gpu_gate
