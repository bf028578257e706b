// bench-fair-share: five users share eight GPUs in simulated time, by the decision of src/policy.
// Prints which jobs started where and when, as CSV; bench/fair_share.py draws it.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "policy/line_rule.h"

namespace gpu_gate {
namespace {

constexpr int kDevices = 8;

/// Who comes when with how many jobs.
struct Arrival {
  uid_t uid;
  double minute;
  int jobs;
};

constexpr Arrival kArrivals[] = {{.uid = 1, .minute = 0, .jobs = 500},
                                 {.uid = 2, .minute = 60, .jobs = 40},
                                 {.uid = 3, .minute = 90, .jobs = 20},
                                 {.uid = 4, .minute = 120, .jobs = 10},
                                 {.uid = 5, .minute = 150, .jobs = 5}};

/// The jobs take 5 to 15 minutes. (The standard says what mt19937 gives, but not what its
/// distributions do.)
double draw_minutes(std::mt19937& chance) { return 5 + static_cast<double>(chance() % 601) / 60; }

struct Job {
  Ticket ticket = 0;
  uid_t uid = 0;
  double came = 0;
  double takes = 0;
  Request request;
};

struct Running {
  double end = 0;
  Claim claim;
  friend bool operator>(const Running& a, const Running& b) { return a.end > b.end; }
};

class Machine {
 public:
  explicit Machine(LineOrder order) : order_(order) {
    for (int i = 0; i < kDevices; ++i) {
      Device device;
      device.index = i;
      device.uuid = "GPU-" + std::to_string(i);
      device.memory_total_mib = device.memory_free_mib = 46068;
      snapshot_.devices.push_back(device);
    }
  }

  /// Until all jobs are done.
  void run() {
    std::mt19937 chance(11);
    for (const Arrival& arrival : kArrivals) {
      while (!running_.empty() && running_.top().end <= arrival.minute) end_next();
      for (int i = 0; i < arrival.jobs; ++i) {
        line_.push_back({.ticket = ++last_ticket_,
                         .uid = arrival.uid,
                         .came = arrival.minute,
                         .takes = draw_minutes(chance),
                         .request = {}});
        start_what_can(arrival.minute);
      }
    }
    while (!running_.empty()) end_next();
  }

 private:
  void end_next() {
    const Running ended = running_.top();
    running_.pop();
    std::erase_if(claims_, [&](const Claim& c) { return c.ticket == ended.claim.ticket; });
    start_what_can(ended.end);
  }

  void start_what_can(double now) {
    while (start_first(now)) {
    }
  }

  /// Goes through the line in the order of turns, as waiters do, until one of them gets a device.
  bool start_first(double now) {
    if (claims_.size() == kDevices) return false;
    const Holdings held = holdings(claims_, {});
    std::vector<Queued> places;
    places.reserve(line_.size());
    for (const Job& job : line_) places.push_back({.ticket = job.ticket, .uid = job.uid});
    TurnOrder turns({.order = order_, .held = held}, last_turns_, places);
    LineRule rule(snapshot_, occupancy(snapshot_, claims_, 0), {}, {.most = {}, .held = held});
    while (const std::optional<Queued> queued = turns.next()) {
      const auto job = std::find_if(line_.begin(), line_.end(), [&](const Job& waiting) {
        return waiting.ticket == queued->ticket;
      });
      if (!turns.put(job->request.criteria)) continue;
      const Decision decision =
          rule.next({.ticket = job->ticket, .uid = job->uid, .request = &job->request});
      if (decision.granted.empty()) continue;
      start(*job, decision.granted.front(), now);
      line_.erase(job);
      return true;
    }
    return false;
  }

  void start(const Job& job, std::size_t device, double now) {
    const Claim claim{
        .ticket = ++last_ticket_, .uuid = snapshot_.devices[device].uuid, .uid = job.uid};
    claims_.push_back(claim);
    last_turns_[job.uid] = claim.ticket;
    running_.push({.end = now + job.takes, .claim = claim});
    std::printf("%s,%u,%zu,%.3f,%.3f,%.3f\n", order_ == LineOrder::turns ? "turns" : "arrival",
                job.uid, device, job.came, now, now + job.takes);
  }

  LineOrder order_;
  Snapshot snapshot_;
  std::vector<Job> line_;  // by ticket
  std::vector<Claim> claims_;
  std::priority_queue<Running, std::vector<Running>, std::greater<>> running_;
  LastTurns last_turns_;
  Ticket last_ticket_ = 0;
};

}  // namespace
}  // namespace gpu_gate

int main() {
  std::puts("order,user,gpu,came_min,start_min,end_min");
  for (const auto order : {gpu_gate::LineOrder::turns, gpu_gate::LineOrder::arrival}) {
    gpu_gate::Machine(order).run();
  }
  return 0;
}
