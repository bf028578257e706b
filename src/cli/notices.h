#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "cli/wait_line.h"
#include "gate/waiter.h"
#include "policy/barred.h"

namespace gpu_gate {

/// What a user should know of this lock directory, a line; "" where there is nothing.
std::string lock_dir_notice(const LockDir& dir);

/// "GPU 2 (NVIDIA L40S, 44211 MiB free)", "8000 MiB of GPU 2 (...)".
std::string granted_text(const Granted& granted);

/// How a hold will end.
struct Holding {
  pid_t holder = 0;                         // the process that holds
  std::optional<pid_t> pid = std::nullopt;  // that it holds for
  std::optional<std::chrono::nanoseconds> at_most = std::nullopt;
  bool keyboard = false;       // else, without both: until its standard input, a pipe, ends
  bool interruptible = false;  // by Ctrl-C
};

/// "holding GPU 0 (...) until process 4242 ends; kill 4711 ends it sooner": a line.
std::string holding_text(const Granted& granted, const Holding& holding);

/// Tells the user on stderr how a wait goes: why each GPU will not do and the place in line, then
/// only what changed. In the foreground of a terminal the last line shows the time and the place
/// and is rewritten. What stderr does not take at once is dropped: whoever does not read it delays
/// no waiter.
class Notices final : public WaitObserver {
 public:
  Notices(bool quiet, bool one_try, const Criteria& criteria);

  void opened(const LockDir& dir) override;
  void looked(const WaitReport& report) override;
  void positioned(const Standing& standing) override;
  bool wants_position() const override { return !quiet_; }
  std::chrono::milliseconds tick() const override;
  void ticked() override;
  void driver_failed(const Error& error) override;
  void driver_returned() override;
  void mutex_delayed(std::optional<pid_t> holder) override;

  /// Why devices are not among the allowed ones, an entry for each, for the reasons that are told.
  void set_barred(const std::vector<Barred>& barred, const Snapshot& snapshot);

  /// The inherited lists of visible devices.
  void set_visible(std::vector<VisibleList> lists) { visible_ = std::move(lists); }

  /// Tells which GPUs the wait brought.
  void granted(const Granted& granted);

  /// Takes the rewritten line off the terminal, if it is still there: other text follows.
  void clear() { line_.clear(); }

 private:
  bool quiet_;
  bool one_try_;  // it does not wait: only the reasons are told
  Criteria criteria_;
  std::map<std::string, Barred> barred_;  // by name_of(device)
  std::vector<VisibleList> visible_;
  std::map<std::string, std::string> keys_;  // of the reasons told last, by name_of(device)
  std::string standing_;                     // in line, in words
  std::string told_standing_;
  std::size_t position_ = 0;  // in line
  bool began_ = false;
  bool delay_told_ = false;
  bool dir_told_ = false;
  bool driver_failing_ = false;
  WaitLine line_;
};

}  // namespace gpu_gate
