#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gate/waiter.h"
#include "policy/test_machine.h"

// What a wait reads and whom it tells, for unit tests.
namespace gpu_gate {

/// A machine whose cards are what the test says.
class FakeSource : public GpuSource {
 public:
  Result<Snapshot> read() override {
    ++reads;
    if (on_read) on_read();
    if (error) return fail(*error);
    return machine;
  }
  Links links() override {
    ++link_reads;
    if (on_links) on_links();
    return known_links;
  }
  bool needs_open() override { return must_stay_open; }
  void close() override { ++closed; }

  Snapshot machine = idle_machine(1);
  std::function<void()> on_read;
  std::function<void()> on_links;
  std::optional<Error> error;
  Links known_links;
  bool must_stay_open = false;
  int reads = 0;
  int link_reads = 0;
  int closed = 0;
};

/// Remembers what it was told, and does what the test wants then.
class Recorder : public WaitObserver {
 public:
  void opened(const LockDir&) override {}
  void looked(const WaitReport& report) override {
    fits.push_back(report.fits);
    if (on_looked) on_looked();
  }
  void positioned(const Standing& standing) override { positions.push_back(standing.position); }
  bool wants_position() const override { return true; }
  std::chrono::milliseconds tick() const override { return ticks_every; }
  void ticked() override {
    if (on_tick) on_tick();
  }
  void driver_failed(const Error& error) override { failures.push_back(error.text); }
  void driver_returned() override { ++returns; }
  void mutex_delayed(std::optional<pid_t>) override {}

  std::function<void()> on_looked;
  std::function<void()> on_tick;
  std::chrono::milliseconds ticks_every{0};
  std::vector<std::vector<Fit>> fits;  // of each look
  std::vector<std::size_t> positions;
  std::vector<std::string> failures;  // of the driver, that it was told of
  int returns = 0;                    // of the driver
};

}  // namespace gpu_gate
