#include "cluster/step.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/env.h"
#include "base/printable.h"
#include "base/signals.h"
#include "base/wait_set.h"
#include "cluster/child.h"
#include "cluster/errands.h"
#include "cluster/flow.h"
#include "cluster/guard.h"
#include "cluster/slurm_client.h"
#include "cluster/srun_report.h"
#include "cluster/step_input.h"

namespace gpu_gate {
namespace {

// srun that gets no answer takes 9 s to say so, scontrol ping 3 ms. Where srun has said nothing for
// so long, it is asked.
constexpr std::chrono::milliseconds kUsualStart{200};
constexpr std::chrono::seconds kPingTime{3};     // that an answer may take
constexpr std::chrono::seconds kFirstReason{1};  // Slurm knows it by its next turn
constexpr std::chrono::seconds kMostBetweenReasons{60};
constexpr std::chrono::milliseconds kEndTime{5000};  // that srun may take to take a request back
constexpr std::chrono::milliseconds kShortEndTime{500};
constexpr std::chrono::milliseconds kPushTime{300};

/// Reads a pipe in which there is nothing more to come; false, and closes it, when it is empty.
bool read_last(UniqueFd& from, std::string& bytes) {
  bytes.clear();
  if (from) read_from(from.get(), bytes);
  if (bytes.empty()) from.reset();
  return !bytes.empty();
}

class StepRun {
 public:
  StepRun(const StepOptions& options, SlurmClient client, const char* const* environment,
          StepObserver& observer)
      : options_(options),
        client_(std::move(client)),
        observer_(observer),
        variables_(srun_environment(environment)) {}

  Result<StepEnd> run() {
    if (Status begun = begin(); !begun) return fail(begun.error());
    while (srun_ != 0) {
      if (Status slept = sleep(); !slept) {
        ::kill(srun_, SIGKILL);
        return fail(slept.error());
      }
      carry();
      hear_signals();
      keep_time();
    }
    carry();
    drain();
    return end();
  }

 private:
  Status begin();
  Status sleep();
  void carry();
  void tell_wait();
  void carry_errors();
  void drain();
  bool carry_last();
  void add_times(WaitSet& set) const;
  void hear_signals();
  void reap();
  void keep_time();
  void on_signal(int signal);
  void pass_on(int signal);
  void give_back(StepEnd::How how, int number);
  void push();
  void start_errand(const Errand& errand, const std::vector<std::string>& words);
  void finish(const ErrandDone& done);
  void on_start();
  void ask_reason();
  bool waits() const { return !started_ && !taken_back_; }
  bool is_queued() const;
  Result<StepEnd> end();

  const StepOptions& options_;
  SlurmClient client_;
  StepObserver& observer_;
  std::vector<std::string> variables_;  // of srun
  // Those that end a process by default, and may be meant for the command.
  sigset_t heeded_ = heeded({SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2});
  SignalBlock block_{set_of({SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD})};
  const ChildStatuses statuses_;
  UniqueFd signals_;
  pid_t srun_ = 0;
  int srun_status_ = 0;  // of waitpid(2)
  std::optional<Guard> guard_;
  Errands errands_{variables_};

  // What comes of srun: the command's two streams, and its own words.
  UniqueFd output_;
  UniqueFd errors_;
  UniqueFd words_;
  Flow to_output_{STDOUT_FILENO};
  Flow to_errors_{STDERR_FILENO};
  StepErrors step_errors_;
  SrunReport report_;
  bool output_trouble_told_ = false;
  bool broken_pipe_passed_ = false;

  StepInput input_;

  bool started_ = false;  // the command was told to start
  bool waiting_told_ = false;
  std::optional<StepEnd> taken_back_;  // the request, and how it then ends
  std::optional<Error> failure_;       // for which it was taken back
  std::string reason_;
  std::vector<int> passed_on_;
  Clock::time_point asked_ = Clock::now();
  Clock::time_point last_word_ = asked_;  // of srun
  bool pinged_ = false;
  Clock::time_point next_reason_;
  std::chrono::nanoseconds between_reasons_{};
  // Where srun does not end by itself it gets a signal, at last SIGKILL.
  std::optional<Clock::time_point> push_at_;
  std::optional<Clock::time_point> kill_at_;
  Clock::time_point next_tick_ = Clock::now();
};

Status StepRun::begin() {
  Result<Pipe> input = open_pipe(OwnEnd::write);
  Result<Pipe> output = open_pipe(OwnEnd::read);
  Result<Pipe> errors = open_pipe(OwnEnd::read);
  Result<Pipe> words = open_pipe(OwnEnd::read);
  for (const Result<Pipe>* pipe : {&input, &output, &errors, &words}) {
    if (!*pipe) return fail(pipe->error());
  }
  sigset_t heard = heeded_;
  ::sigaddset(&heard, SIGCHLD);
  signals_ = UniqueFd(::signalfd(-1, &heard, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_) return fail(system_error(ErrorKind::system, "signalfd", "", errno));

  const int errors_end = errors->write_end.get();
  std::vector<std::string> all{client_.srun};
  for (std::string& word : srun_options(options_.request, errors_end))
    all.push_back(std::move(word));
  for (std::string& word : step_words(options_.directory, options_.command)) {
    all.push_back(std::move(word));
  }
  const Result<pid_t> child = start_child(all, variables_,
                                          {.in = input->read_end.get(),
                                           .out = output->write_end.get(),
                                           .err = words->write_end.get(),
                                           .kept = {errors_end}});
  if (!child) return fail(child.error());
  srun_ = *child;
  Result<Guard> guard = Guard::over(srun_);
  if (!guard) {
    ::kill(srun_, SIGKILL);
    return fail(guard.error());
  }
  guard_.emplace(*std::move(guard));
  input_.open(std::move(input->write_end));
  output_ = std::move(output->read_end);
  errors_ = std::move(errors->read_end);
  words_ = std::move(words->read_end);
  return {};
}

Status StepRun::sleep() {
  WaitSet set;
  set.add(signals_.get(), POLLIN);
  set.add(words_.get(), POLLIN);
  if (to_errors_.is_empty()) set.add(errors_.get(), POLLIN);
  if (to_output_.is_empty()) set.add(output_.get(), POLLIN);
  to_errors_.add_to(set);
  to_output_.add_to(set);
  input_.add_to(set);
  add_times(set);
  return set.sleep();
}

/// When something is to be done though nothing has come.
void StepRun::add_times(WaitSet& set) const {
  errands_.add_to(set);
  if (push_at_) set.until(*push_at_);
  if (taken_back_ && !kill_at_ && !is_queued()) set.until(last_word_ + kUsualStart);
  if (!waits()) return;
  if (!waiting_told_ && options_.request.of_allocation) set.until(asked_ + kFirstReason);
  if (options_.timeout && !options_.request.at_once) set.until(asked_ + *options_.timeout);
  if (!pinged_ && !report_.waits()) set.until(asked_ + kUsualStart);
  if (waiting_told_ && options_.ask_reason) set.until(next_reason_);
  if (waiting_told_ && observer_.tick().count() > 0) set.until(next_tick_);
}

/// Whatever has come goes on its way.
void StepRun::carry() {
  std::string bytes;
  if (words_ && !read_from(words_.get(), bytes)) words_.reset();
  if (!bytes.empty()) last_word_ = Clock::now();
  report_.take(bytes);
  if (started_) {
    for (const std::string& line : report_.news()) observer_.said(printable(line));
  } else if (report_.waits() && waits() && !waiting_told_) {
    tell_wait();
  }
  carry_errors();
  guard_->allow_signal(started_ || is_queued());
  to_output_.go_on();
  bytes.clear();
  if (to_output_.is_empty() && output_ && !read_from(output_.get(), bytes)) output_.reset();
  to_output_.put(bytes);
  if (to_output_.errnum() != 0 && !std::exchange(output_trouble_told_, true)) {
    observer_.said(std::string("cannot write to standard output: ") +
                   std::strerror(to_output_.errnum()));
  }
  if ((to_output_.lost_reader() || to_errors_.lost_reader()) && started_ &&
      !std::exchange(broken_pipe_passed_, true)) {
    pass_on(SIGPIPE);
  }
  input_.carry();
}

void StepRun::tell_wait() {
  waiting_told_ = true;
  observer_.waiting(report_.job(), "");
  next_reason_ = Clock::now() + kFirstReason;
  between_reasons_ = options_.poll;
}

void StepRun::carry_errors() {
  std::string bytes;
  to_errors_.go_on();
  if (to_errors_.is_empty() && errors_ && !read_from(errors_.get(), bytes)) errors_.reset();
  const bool known = step_errors_.start().has_value();
  const std::string passed = step_errors_.take(bytes);
  // The command is not told to start before its start is told.
  if (!known && step_errors_.start() && waits()) on_start();
  to_errors_.put(passed);
  for (const std::string& line : step_errors_.said()) {
    const bool by_us = taken_back_ || !passed_on_.empty();
    if (!by_us || line.find("CANCELLED") == std::string::npos) {
      observer_.said(printable(line));
    }
  }
}

void StepRun::on_start() {
  started_ = true;
  if (options_.command.empty()) {
    input_.end();  // which ends it
    return;
  }
  observer_.started(*step_errors_.start());
  input_.start();
}

/// After srun's end: the last of its output. Its reader may take as long as it likes, but a signal
/// ends that.
void StepRun::drain() {
  while (carry_last()) {
    WaitSet set;
    const WaitSet::Id signal = set.add(signals_.get(), POLLIN);
    to_output_.add_to(set);
    to_errors_.add_to(set);
    if (!set.sleep()) return;
    struct signalfd_siginfo info{};
    const bool heard =
        set.fired(signal) && ::read(signals_.get(), &info, sizeof info) == sizeof info;
    if (heard && info.ssi_signo != SIGCHLD) return;
  }
}

/// False when all of it is gone.
bool StepRun::carry_last() {
  std::string bytes;
  to_output_.go_on();
  while (to_output_.is_empty() && read_last(output_, bytes)) to_output_.put(bytes);
  to_errors_.go_on();
  while (to_errors_.is_empty() && read_last(errors_, bytes)) {
    to_errors_.put(step_errors_.take(bytes));
  }
  if (!errors_) to_errors_.put(step_errors_.rest());
  return !to_output_.is_empty() || !to_errors_.is_empty();
}

void StepRun::hear_signals() {
  struct signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      reap();
    } else {
      on_signal(static_cast<int>(info.ssi_signo));
    }
  }
}

void StepRun::reap() {
  if (::waitpid(srun_, &srun_status_, WNOHANG) == srun_) srun_ = 0;
  for (const ErrandDone& done : errands_.reap()) finish(done);
}

void StepRun::on_signal(int signal) {
  if (started_) {
    if (!options_.command.empty()) pass_on(signal);
    return;
  }
  if (taken_back_) push();  // the second one
  give_back(StepEnd::How::signalled, signal);
}

/// To every process of the step, as a terminal's Ctrl-C does.
void StepRun::pass_on(int signal) {
  passed_on_.push_back(signal);
  const StepStart& start = *step_errors_.start();
  start_errand({.purpose = Errand::For::signal, .signal = signal},
               {client_.scancel, "--quiet", "--signal=" + std::to_string(signal),
                start.job + "." + start.step});
}

/// The command does not start any more. A srun that waits takes the request back at a signal. One
/// that starts the step must not get any: it would kill the step before there is one, and
/// slurmstepd 22.05 then stays for ever, with the GPU. (Seen; its threads wait for each other.) The
/// step ends by itself, since it reads the end of its input instead of the word that it waits for.
void StepRun::give_back(StepEnd::How how, int number) {
  if (taken_back_) return;
  taken_back_ = StepEnd{.how = how, .number = number, .start = {}};
  input_.end();
  // Of a controller that does not answer, nothing is to be hoped for.
  push_at_ = Clock::now() + (failure_ ? kShortEndTime : kEndTime);
  if (is_queued()) push();
}

/// Does srun wait for GPUs, and do nothing else? Of a job it says so. Of a step of an allocation it
/// says so when it tries again, and that is when it gets it: then a signal would leave a step that
/// nobody ends. It is in order while it is silent, for longer than a start takes.
bool StepRun::is_queued() const {
  if (report_.was_granted() || started_) return false;
  if (!options_.request.of_allocation) return report_.waits();
  return Clock::now() >= last_word_ + kUsualStart;
}

/// Has srun end.
void StepRun::push() {
  const Clock::time_point now = Clock::now();
  if (!kill_at_) kill_at_ = now + (failure_ ? kShortEndTime : kEndTime);
  if (srun_ != 0) ::kill(srun_, now < *kill_at_ ? SIGTERM : SIGKILL);
  push_at_ = now + kPushTime;  // srun loses a signal now and then
}

void StepRun::start_errand(const Errand& errand, const std::vector<std::string>& words) {
  if (const Status begun = errands_.start(errand, words); !begun) {
    observer_.said(begun.error().text);
  }
}

void StepRun::finish(const ErrandDone& done) {
  const std::string& text = done.output;
  switch (done.errand.purpose) {
    case Errand::For::ping:
      if (report_.waits() || !waits() || text.find(" UP") != std::string::npos) return;
      failure_ = slurm_unreachable(text.empty() ? "scontrol ping gets no answer"
                                                : printable(text.substr(0, text.find('\n'))));
      give_back(StepEnd::How::exited, 0);
      return;
    case Errand::For::reason:
      if (!done.well || !waits() || text.empty() || text == "None" || text == reason_) return;
      reason_ = text;
      observer_.waiting(report_.job(), printable(reason_));
      return;
    case Errand::For::signal:
      if (!done.well && srun_ != 0) {
        observer_.said(std::string("could not pass ") + ::strsignal(done.errand.signal) +
                       " on to the command, send it again: " + printable(text));
      }
      return;
  }
}

void StepRun::ask_reason() {
  next_reason_ = Clock::now() + between_reasons_;
  between_reasons_ = std::min<std::chrono::nanoseconds>(
      2 * between_reasons_, std::max<std::chrono::nanoseconds>(options_.poll, kMostBetweenReasons));
  if (report_.job().empty()) return;
  start_errand({.purpose = Errand::For::reason, .until = Clock::now() + kPingTime},
               {client_.squeue, "--noheader", "--format=%r", "--jobs=" + report_.job()});
}

void StepRun::keep_time() {
  const Clock::time_point now = Clock::now();
  errands_.keep_time(now);
  const bool queued_since = taken_back_ && !kill_at_ && is_queued();
  if (queued_since || (push_at_ && now >= *push_at_)) push();
  if (!waits() || srun_ == 0) return;
  if (options_.timeout && !options_.request.at_once && now >= asked_ + *options_.timeout) {
    give_back(StepEnd::How::late, 0);
    return;
  }
  if (!report_.waits() && now >= asked_ + kUsualStart && !std::exchange(pinged_, true)) {
    start_errand({.purpose = Errand::For::ping, .until = now + kPingTime},
                 {client_.scontrol, "ping"});
  }
  if (!waiting_told_ && options_.request.of_allocation && now >= asked_ + kFirstReason) tell_wait();
  if (waiting_told_ && options_.ask_reason && now >= next_reason_) ask_reason();
  const std::chrono::milliseconds tick = observer_.tick();
  if (waiting_told_ && tick.count() > 0 && now >= next_tick_) {
    next_tick_ = now + tick;
    observer_.ticked();
  }
}

Result<StepEnd> StepRun::end() {
  if (failure_) return fail(*failure_);
  if (taken_back_) return *taken_back_;
  const int status = WIFEXITED(srun_status_) ? WEXITSTATUS(srun_status_) : -1;
  if (step_errors_.lacks_directory()) {
    return fail(ErrorKind::not_executable,
                "the node has no directory " + printable(options_.directory) +
                    ", or it may not be entered; --slurm-args=--chdir=DIR starts in another one");
  }
  if (!started_) {
    if (report_.was_cancelled()) {
      observer_.said("job " + report_.job() + " was cancelled while it waited");
      return StepEnd{.how = StepEnd::How::signalled, .number = SIGTERM, .start = {}};
    }
    Error refusal = report_.refusal(status);
    if (refusal.kind == ErrorKind::timed_out)
      return StepEnd{.how = StepEnd::How::late, .start = {}};
    return fail(std::move(refusal));
  }
  const bool lost = !report_.told_end() && (status == kSrunFailed || report_.lost_node());
  if (status < 0 || lost) {
    return fail(ErrorKind::system,
                status < 0 ? std::string("srun was killed: ") + ::strsignal(WTERMSIG(srun_status_))
                           : "Slurm has lost the command");
  }
  const bool ours =
      std::find(passed_on_.begin(), passed_on_.end(), status - 128) != passed_on_.end();
  return StepEnd{.how = StepEnd::How::exited,
                 .number = status,
                 .start = step_errors_.start(),
                 .by_our_signal = ours};
}

}  // namespace

Result<StepEnd> run_step(const StepOptions& options, const char* const* environment,
                         StepObserver& observer) {
  Result<SlurmClient> client = find_slurm_client(environment);
  if (!client) return fail(client.error());
  return StepRun(options, *std::move(client), environment, observer).run();
}

}  // namespace gpu_gate
