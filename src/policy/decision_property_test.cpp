#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "policy/line_rule.h"
#include "policy/test_machine.h"
#include "policy/turn_order.h"

// What holds of the whole decision, the order of turns and the rule along it, whatever the machine,
// the claims and the line: tried on many at random, the same for the same seed.
namespace gpu_gate {
namespace {

struct InLine {
  Ticket ticket = 0;
  uid_t uid = 0;
  Request request;
  bool passed_over = false;
};

class Scene {
 public:
  explicit Scene(unsigned seed) : random_(seed) {
    const int cards = pick(1, 8);
    for (int i = 0; i < cards; ++i) {
      Device device = card(i, pick(0, 3) == 0 ? pick(0, 45000) : 45468);
      if (pick(0, 9) == 0) device.health = Health::lost;
      machine.devices.push_back(device);
      occupancy.push_back({.whole = pick(0, 1) == 0});
      if (occupancy.back().whole) held[user()] += kWholeGpu;
      if (pick(0, 3) == 0) settled.insert(device.uuid);
    }
    const int waiters = pick(0, 12);
    for (int i = 1; i <= waiters; ++i) {
      InLine waiter{.ticket = static_cast<Ticket>(i), .uid = user(), .request = wish(pick(1, 3))};
      if (pick(0, 2) == 0) waiter.request.criteria.min_free_mib = pick(0, 46000);
      waiter.request.criteria.nice = pick(0, 4) == 0;
      for (const Device& device : machine.devices) {
        if (pick(0, 3) == 0) waiter.request.barred.push_back(device.uuid);
      }
      waiter.passed_over = pick(0, 9) == 0;
      line.push_back(std::move(waiter));
    }
    if (pick(0, 2) == 0) most = pick(1, 4);
  }

  int pick(int least, int most_of_all) {
    return std::uniform_int_distribution<>(least, most_of_all)(random_);
  }
  uid_t user() { return 1000 + static_cast<uid_t>(pick(0, 2)); }

  TurnOrder order() const {
    std::vector<Queued> queued;
    queued.reserve(line.size());
    for (const InLine& waiter : line)
      queued.push_back({.ticket = waiter.ticket, .uid = waiter.uid});
    return {{.order = LineOrder::turns, .held = held}, {}, queued};
  }
  LineRule rule() const { return {machine, occupancy, settled, {.most = most, .held = held}}; }
  const InLine& at(Ticket ticket) const { return line[ticket - 1]; }
  Waiting waiting(const InLine& waiter) const {
    return {.ticket = waiter.ticket,
            .uid = waiter.uid,
            .request = &waiter.request,
            .passed_over = waiter.passed_over};
  }

  Snapshot machine;
  std::vector<Occupancy> occupancy;
  Holdings held;
  std::set<std::string> settled;
  std::vector<InLine> line;
  std::optional<int> most;

 private:
  std::mt19937 random_;
};

struct Decided {
  const InLine* waiter = nullptr;
  Decision decision;
};

/// What everybody gets, in the order of turns.
std::vector<Decided> decide_all(const Scene& scene) {
  std::vector<Decided> decided;
  TurnOrder order = scene.order();
  LineRule rule = scene.rule();
  while (const auto named = order.next()) {
    const InLine& waiter = scene.at(named->ticket);
    if (order.put(waiter.request.criteria)) {
      decided.push_back({.waiter = &waiter, .decision = rule.next(scene.waiting(waiter))});
    }
  }
  return decided;
}

void for_many_scenes(const std::function<void(const Scene&, const std::vector<Decided>&)>& test) {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Scene scene(seed);
    test(scene, decide_all(scene));
  }
}

bool could_use(const Scene& scene, const InLine& waiter, std::size_t device) {
  return fit(scene.machine.devices[device], waiter.request, scene.occupancy[device]) == Fit::usable;
}

bool is_over_limit(const Decided& decided) {
  const std::vector<Fit>& fits = decided.decision.fits;
  return std::find(fits.begin(), fits.end(), Fit::over_limit) != fits.end();
}

bool needs_a_lost_one(const Scene& scene, const InLine& waiter) {
  int hopeful = 0;
  for (const Device& device : scene.machine.devices) {
    const Fit f = fit(device, waiter.request, {});
    hopeful += could_ever(f) && f != Fit::unhealthy ? 1 : 0;
  }
  return hopeful < waiter.request.criteria.count;
}

TEST(DecisionProperty, EveryoneIsDecidedOnOnce) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    EXPECT_EQ(all.size(), scene.line.size());
  });
}

TEST(DecisionProperty, NoDeviceHasTwoOwnersAndEachSuitsItsOwn) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    std::set<std::size_t> given;
    for (const Decided& each : all) {
      const auto count = static_cast<std::size_t>(each.waiter->request.criteria.count);
      if (each.decision.granted.empty()) continue;
      EXPECT_EQ(each.decision.granted.size(), count);
      for (const std::size_t device : each.decision.granted) {
        EXPECT_TRUE(given.insert(device).second);
        EXPECT_TRUE(could_use(scene, *each.waiter, device));
      }
    }
  });
}

TEST(DecisionProperty, NobodyHoldsMoreThanOneUserMay) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    if (!scene.most) return;
    Holdings held = scene.held;
    for (const Decided& each : all) {
      if (each.decision.granted.empty()) continue;
      held[each.waiter->uid] += kWholeGpu * each.waiter->request.criteria.count;
      EXPECT_LE(held[each.waiter->uid], kWholeGpu * *scene.most);
    }
  });
}

TEST(DecisionProperty, NobodyGetsWhatOneAheadWaitsForAndCouldUse) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    for (std::size_t ahead = 0; ahead < all.size(); ++ahead) {
      const InLine& waits = *all[ahead].waiter;
      if (!all[ahead].decision.granted.empty() || waits.passed_over || is_over_limit(all[ahead]) ||
          needs_a_lost_one(scene, waits)) {
        continue;
      }
      for (std::size_t behind = ahead + 1; behind < all.size(); ++behind) {
        for (const std::size_t device : all[behind].decision.granted) {
          // It could, but one still further ahead may keep it from it for a while only.
          const bool was_free_to_it = all[ahead].decision.fits[device] == Fit::usable;
          EXPECT_FALSE(could_use(scene, waits, device) && was_free_to_it);
        }
      }
    }
  });
}

TEST(DecisionProperty, WhatNobodyAheadCouldEverUseIsHadAtOnce) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    for (std::size_t at = 0; at < all.size(); ++at) {
      const InLine& waiter = *all[at].waiter;
      if (waiter.passed_over || is_over_limit(all[at])) continue;
      int alone = 0;
      for (std::size_t device = 0; device < scene.machine.devices.size(); ++device) {
        const bool wanted_ahead = std::any_of(
            all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at), [&](const Decided& ahead) {
              return could_ever(
                  fit(scene.machine.devices[device], ahead.waiter->request, Occupancy{}));
            });
        alone += !wanted_ahead && could_use(scene, waiter, device) ? 1 : 0;
      }
      if (alone >= waiter.request.criteria.count) {
        EXPECT_FALSE(all[at].decision.granted.empty());
      }
    }
  });
}

TEST(DecisionProperty, WhoHoldsLeastOfThoseWhoCouldUseAFreeDeviceGetsIt) {
  // Where all ask for one, and may have any.
  for_many_scenes([](const Scene& made, const std::vector<Decided>&) {
    Scene scene = made;
    scene.most.reset();
    for (InLine& waiter : scene.line) {
      waiter.request = wish(1);
      waiter.request.criteria.min_free_mib = 0;
      waiter.passed_over = false;
    }
    Holdings held = scene.held;
    std::set<const InLine*> left;
    for (const InLine& waiter : scene.line) left.insert(&waiter);
    for (const Decided& each : decide_all(scene)) {
      if (each.decision.granted.empty()) break;
      for (const InLine* other : left) EXPECT_LE(held[each.waiter->uid], held[other->uid]);
      held[each.waiter->uid] += kWholeGpu;
      left.erase(each.waiter);
    }
  });
}

TEST(DecisionProperty, WhoeverAsksGetsTheSameAnswer) {
  // Each goes through those ahead of it only, and no further than there is anything left for it.
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    for (const Decided& each : all) {
      TurnOrder order = scene.order();
      LineRule rule = scene.rule();
      while (rule.leaves_any_for(each.waiter->request)) {
        const auto named = order.next();
        ASSERT_TRUE(named);
        const InLine& waiter = scene.at(named->ticket);
        if (!order.put(waiter.request.criteria)) continue;
        if (&waiter == each.waiter) break;
        rule.next(scene.waiting(waiter));
      }
      EXPECT_EQ(rule.next(scene.waiting(*each.waiter)).granted, each.decision.granted);
    }
  });
}

/// A machine on which jobs of one user after the other end, the one that began first.
class Running {
 public:
  explicit Running(int cards)
      : machine_(idle_machine(cards)), jobs_(static_cast<std::size_t>(cards)) {}

  Ticket ask(uid_t uid, int count) {
    line_.push_back({.ticket = ++last_ticket_, .uid = uid, .request = wish(count)});
    return last_ticket_;
  }

  /// Serves whose turn it is; tells whether `ticket` was among them.
  bool serve(Ticket ticket) {
    bool served = false;
    std::vector<Queued> queued;
    std::vector<Occupancy> occupancy(jobs_.size());
    Holdings held;
    for (const InLine& waiter : line_)
      queued.push_back({.ticket = waiter.ticket, .uid = waiter.uid});
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      occupancy[i].whole = jobs_[i].has_value();
      if (jobs_[i]) held[jobs_[i]->uid] += kWholeGpu;
    }
    TurnOrder order({.order = LineOrder::turns, .held = held}, last_turns_, queued);
    LineRule rule(machine_, occupancy, {});
    while (const auto named = order.next()) {
      const auto waiter = std::find_if(line_.begin(), line_.end(), [&](const InLine& each) {
        return each.ticket == named->ticket;
      });
      order.put(waiter->request.criteria);
      const Decision decision =
          rule.next({.ticket = waiter->ticket, .uid = waiter->uid, .request = &waiter->request});
      if (decision.granted.empty()) continue;
      ++last_ticket_;
      last_turns_[waiter->uid] = last_ticket_;
      for (const std::size_t i : decision.granted)
        jobs_[i] = {.ticket = last_ticket_, .uid = waiter->uid};
      served = served || waiter->ticket == ticket;
      line_.erase(waiter);
    }
    return served;
  }

  /// The job that has run longest ends.
  void end_one() {
    std::optional<Queued> first;
    for (const std::optional<Queued>& job : jobs_) {
      if (job && (!first || job->ticket < first->ticket)) first = job;
    }
    if (!first) return;
    for (std::optional<Queued>& job : jobs_) {
      if (job && job->ticket == first->ticket) job.reset();
    }
  }

 private:
  Snapshot machine_;
  std::vector<std::optional<Queued>> jobs_;  // on each card
  std::vector<InLine> line_;
  LastTurns last_turns_;
  Ticket last_ticket_ = 0;
};

TEST(DecisionProperty, ARequestForAllCardsIsServedThoughOthersHaveNoEndOfSmallOnes) {
  for (int cards = 1; cards <= 8; ++cards) {
    Running machine(cards);
    for (int i = 0; i < 200; ++i) machine.ask(1000 + static_cast<uid_t>(i % 3), 1);
    machine.serve(0);
    const Ticket wide = machine.ask(2000, cards);
    int turns = 0;
    while (!machine.serve(wide) && turns < 100) {
      machine.end_one();
      machine.ask(1000 + static_cast<uid_t>(turns++ % 3), 1);
    }
    // Those that hold nothing either may be served before it, each once.
    EXPECT_LE(turns, 2 * cards + 3) << cards << " cards";
  }
}

TEST(DecisionProperty, OfManyUsersWithNoEndOfJobsEachComesToItsTurn) {
  for (const int cards : {1, 2, 3, 8}) {
    constexpr uid_t kUsers = 5;
    Running machine(cards);
    for (int i = 0; i < 500; ++i) machine.ask(1000, 1);
    machine.serve(0);
    for (uid_t user = 1; user < kUsers; ++user) {
      const Ticket first = machine.ask(1000 + user, 1);
      int turns = 0;
      while (!machine.serve(first) && turns < 600) {
        machine.end_one();
        ++turns;
      }
      EXPECT_LE(turns, static_cast<int>(kUsers) + 1) << cards << " cards, user " << user;
      for (int i = 0; i < 100; ++i) machine.ask(1000 + user, 1);
    }
  }
}

}  // namespace
}  // namespace gpu_gate
