#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>

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

/// What processes of one claim, or of nobody's, use of one device.
struct Use {
  std::size_t device = 0;
  Ticket claim = 0;
  std::int64_t mib = 0;
};

class Scene {
 public:
  explicit Scene(unsigned seed) : random_(seed) {
    const int cards = pick(1, 8);
    for (int i = 0; i < cards; ++i) add_card(i);
    if (seed % 2 == 0) add_links(std::mt19937(seed));
    for (std::size_t i = 0; i < machine.devices.size(); ++i) add_claims(i);
    add_parts();
    for (std::size_t i = 0; i < machine.devices.size(); ++i) add_processes(i);
    if (!claims.empty() && pick(0, 3) == 0) {
      const Claim& claim = claims[at_random(claims.size())];
      if (claim.share_mib || claim.within == 0) within = claim.ticket;
    }
    occupancy = gpu_gate::occupancy(machine, claims, within, jobs);
    if (within == 0) held = holdings(claims, card_sizes(machine, claims));
    const int waiters = pick(0, 12);
    for (int i = 1; i <= waiters; ++i) add_waiter(static_cast<Ticket>(i));
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
    return {
        {.order = LineOrder::turns, .held = held, .sizes = card_sizes(machine, {})}, {}, queued};
  }
  LineRule rule() const {
    return {machine,
            occupancy,
            settled,
            {.most = most, .held = held, .sizes = card_sizes(machine, {})}};
  }
  const InLine& at(Ticket ticket) const { return line[ticket - 1]; }
  Waiting waiting(const InLine& waiter) const {
    return {.ticket = waiter.ticket,
            .uid = waiter.uid,
            .request = &waiter.request,
            .passed_over = waiter.passed_over};
  }

  /// The claim with this ticket on a device; null: there is none.
  const Claim* find(Ticket ticket, const std::string& uuid) const {
    const auto found = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
      return claim.ticket == ticket && claim.uuid == uuid;
    });
    return found == claims.end() ? nullptr : &*found;
  }
  /// The claim that this one is a part of: what it says of another user's is not so.
  const Claim* outer_of(const Claim& claim) const {
    const Claim* outer = find(claim.within, claim.uuid);
    return outer != nullptr && outer->uid == claim.uid ? outer : nullptr;
  }

  Snapshot machine;
  std::vector<Claim> claims;  // by ticket
  std::vector<Use> uses;
  Jobs jobs;
  Ticket within = 0;  // the claim inside which all wait
  std::vector<Occupancy> occupancy;
  Holdings held;
  std::set<std::string> settled;
  std::vector<InLine> line;
  std::optional<int> most;

 private:
  std::size_t at_random(std::size_t size) {
    return static_cast<std::size_t>(pick(0, static_cast<int>(size) - 1));
  }

  void add_card(int index) {
    Device device = card(index, 45468);
    if (pick(0, 3) == 0) device.memory_total_mib = 24564;
    if (pick(0, 9) == 0) device.health = Health::lost;
    if (pick(0, 3) == 0) device.utilization_pct = pick(0, 100);
    if (pick(0, 3) == 0) settled.insert(device.uuid);
    machine.devices.push_back(device);
  }

  void add_links(std::mt19937 chance) {
    machine.links = Links(machine.devices.size());
    for (std::size_t a = 0; a < machine.devices.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b)
        machine.links.set_score(a, b, 100 * static_cast<int>(chance() % 3));
    }
  }

  /// Nobody's, all of somebody's, or some shares of it, of which some have as much of another one.
  void add_claims(std::size_t device) {
    const std::string& uuid = machine.devices[device].uuid;
    const bool has_some = std::any_of(claims.begin(), claims.end(),
                                      [&](const Claim& claim) { return claim.uuid == uuid; });
    const int kind = pick(has_some ? 2 : 0, 4);
    if (kind == 1) claims.push_back({.ticket = ++last_ticket_, .uuid = uuid, .uid = user()});
    for (int shares = kind < 2 ? 0 : pick(1, 4); shares > 0; --shares) {
      const Claim claim{.ticket = ++last_ticket_,
                        .uuid = uuid,
                        .uid = user(),
                        .within = last_ticket_ > 1 && pick(0, 9) == 0 ? Ticket{1} : Ticket{0},
                        .share_mib = pick(1, 15000)};
      claims.push_back(claim);
      if (pick(0, 4) > 0 || device + 1 == machine.devices.size()) continue;
      claims.push_back(claim);
      claims.back().uuid = machine.devices[device + 1].uuid;
    }
  }

  /// Claims inside these, of all that they have or of a part of it.
  void add_parts() {
    const std::vector<Claim> outer = claims;
    for (const Claim& claim : outer) {
      if (pick(0, 2) > 0) continue;
      const auto most_mib = static_cast<int>(claim.share_mib.value_or(20000));
      for (int parts = pick(1, 2); parts > 0; --parts) {
        claims.push_back({.ticket = ++last_ticket_,
                          .uuid = claim.uuid,
                          .uid = claim.uid,
                          .within = claim.ticket});
        if (pick(0, 3) == 0) break;
        claims.back().share_mib = pick(1, std::max(1, most_mib / 2));
      }
    }
  }

  /// Of claims, of what is left of their jobs, of nobody; and memory that no process shows.
  void add_processes(std::size_t at) {
    Device& device = machine.devices[at];
    std::int64_t free = usable_mib(device);
    const auto add = [&](Ticket claim, int most_mib, const std::optional<Job>& job) {
      const std::int64_t mib = std::min<std::int64_t>(free, pick(0, most_mib));
      device.processes.push_back({.pid = ++last_pid_, .memory_mib = mib});
      uses.push_back({.device = at, .claim = claim, .mib = mib});
      if (job) jobs[last_pid_] = *job;
      free -= mib;
    };
    std::set<uid_t> seen;
    for (const Claim& claim : claims) {
      if (claim.uuid != device.uuid) continue;
      const bool is_first = seen.insert(claim.uid).second;
      if (pick(0, 2) == 0)
        add(claim.ticket, 12000,
            Job{.claims = with_outer_ones(claim), .uid = claim.uid, .not_of = {}});
      if (is_first && pick(0, 5) == 0)
        add(claim.ticket, 12000, Job{.claims = {}, .uid = claim.uid, .not_of = {}});
    }
    if (pick(0, 5) == 0) add(0, 20000, std::nullopt);
    if (pick(0, 5) == 0) add(0, 8000, Job{.claims = {9999}, .uid = user(), .not_of = {}});
    if (pick(0, 5) == 0) free -= std::min<std::int64_t>(free, pick(0, 20000));
    device.memory_free_mib = free;
    device.memory_used_mib = usable_mib(device) - free;
  }

  std::vector<Ticket> with_outer_ones(const Claim& claim) const {
    std::vector<Ticket> tickets;
    for (const Claim* at = &claim; at != nullptr; at = outer_of(*at)) tickets.push_back(at->ticket);
    return tickets;
  }

  void add_waiter(Ticket ticket) {
    InLine waiter{.ticket = ticket, .uid = user(), .request = wish(pick(1, 3))};
    waiter.request.within = within;
    waiter.passed_over = pick(0, 9) == 0;
    Criteria& criteria = waiter.request.criteria;
    if (pick(0, 1) == 0) {
      criteria.share_mib = pick(1, pick(0, 1) == 0 ? 6000 : 46000);
    } else if (pick(0, 2) == 0) {
      criteria.min_free_mib = pick(0, 46000);
    }
    if (pick(0, 5) == 0) criteria.max_util_pct = pick(0, 100);
    criteria.nice = pick(0, 4) == 0;
    for (const Device& device : machine.devices) {
      const Claim* outer = find(within, device.uuid);
      if (outer != nullptr) waiter.request.outer_share_mib = outer->share_mib;
      if ((within != 0 && outer == nullptr) || pick(0, 3) == 0)
        waiter.request.barred.push_back(device.uuid);
    }
    line.push_back(std::move(waiter));
  }

  std::mt19937 random_;
  Ticket last_ticket_ = 0;
  pid_t last_pid_ = 0;
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
  for (unsigned seed = 1; seed <= 150 * GPU_GATE_SEEDS_IN_TEN; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Scene scene(seed);
    test(scene, decide_all(scene));
    if (testing::Test::HasFailure()) return;
  }
}

bool needs_a_lost_one(const Scene& scene, const InLine& waiter) {
  int hopeful = 0;
  for (const Device& device : scene.machine.devices) {
    const Fit f = fit(device, waiter.request, {});
    hopeful += could_ever(f) && f != Fit::unhealthy ? 1 : 0;
  }
  return hopeful < waiter.request.criteria.count;
}

/// What is left of each device as one after the other takes or keeps something of it, reckoned
/// from what the scene has put there.
class Ledger {
 public:
  struct Device {
    std::int64_t left_mib = 0;
    bool whole = false;   // somebody's, or kept
    bool shared = false;  // parts of it are
  };

  explicit Ledger(const Scene& scene) : scene_(scene), held_(scene.held) {
    for (std::size_t i = 0; i < scene.machine.devices.size(); ++i) devices_.push_back(at_first(i));
    at_first_ = devices_;
  }

  const Device& operator[](std::size_t device) const { return devices_[device]; }

  bool lets(const Request& request, std::size_t device) const {
    const Device& at = devices_[device];
    const Occupancy nothing{.outer_share_mib = request.outer_share_mib};
    if (fit(scene_.machine.devices[device], request, nothing) != Fit::usable) return false;
    if (const auto& share_mib = request.criteria.share_mib)
      return !at.whole && at.left_mib >= *share_mib;
    return !at.whole && !at.shared;
  }

  bool is_over_limit(const InLine& waiter) const {
    if (!scene_.most || scene_.within != 0) return false;
    const auto held = held_.find(waiter.uid);
    const Amount before = held == held_.end() ? 0 : held->second;
    return before + amount(waiter) > kWholeGpu * *scene_.most;
  }

  void follow(const Decided& each) {
    const InLine& waiter = *each.waiter;
    if (!each.decision.granted.empty()) {
      for (const std::size_t device : each.decision.granted) take(device, waiter);
      held_[waiter.uid] += amount(waiter);
    } else if (!waiter.passed_over && !is_over_limit(waiter) && !needs_a_lost_one(scene_, waiter)) {
      keep(each);
    }
  }

 private:
  Amount amount(const InLine& waiter) const {
    return amount_of(waiter.request.criteria, card_sizes(scene_.machine, {}));
  }

  bool counts(const Claim& claim) const {
    const Claim* outer = scene_.outer_of(claim);
    if (scene_.within == 0) return outer == nullptr;
    return claim.within == scene_.within;
  }

  Device at_first(std::size_t device) const {
    const gpu_gate::Device& card = scene_.machine.devices[device];
    const Claim* inside = scene_.find(scene_.within, card.uuid);
    if (scene_.within != 0 && inside == nullptr) return {.whole = true};
    const bool inside_share = inside != nullptr && inside->share_mib;
    const std::int64_t all_mib =
        inside_share ? *inside->share_mib : card.memory_total_mib - *card.memory_reserved_mib;
    Device at;
    std::int64_t taken_mib = used_by(device, 0, inside);
    for (const Claim& claim : scene_.claims) {
      if (claim.uuid != card.uuid || !counts(claim)) continue;
      (claim.share_mib ? at.shared : at.whole) = true;
      taken_mib += std::max(claim.share_mib.value_or(0), used_by(device, claim.ticket, inside));
    }
    if (!inside_share) taken_mib = std::max(taken_mib, card.memory_used_mib);
    at.left_mib = all_mib - taken_mib;
    return at;
  }

  /// By a claim that counts; 0: by none of them, nor by what is beside the share.
  std::int64_t used_by(std::size_t device, Ticket ticket, const Claim* inside) const {
    std::int64_t mib = 0;
    for (const Use& use : scene_.uses) {
      if (use.device != device) continue;
      const Claim* claim = scene_.find(use.claim, scene_.machine.devices[device].uuid);
      while (claim != nullptr && claim != inside && !counts(*claim))
        claim = scene_.outer_of(*claim);
      const bool is_nobodys = claim == inside || (claim == nullptr && !inside->share_mib);
      const bool is_its = ticket == 0 ? is_nobodys : claim != nullptr && claim->ticket == ticket;
      if (is_its) mib += use.mib;
    }
    return mib;
  }

  void take(std::size_t device, const InLine& waiter) {
    Device& at = devices_[device];
    const auto& share_mib = waiter.request.criteria.share_mib;
    (share_mib ? at.shared : at.whole) = true;
    at.left_mib -= share_mib.value_or(0);
  }

  void keep(const Decided& each) {
    const Request& request = each.waiter->request;
    auto lacking = static_cast<std::size_t>(request.criteria.count);
    std::vector<std::size_t> shared;
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      const Fit f = each.decision.fits[i];
      if (f == Fit::usable) {
        take(i, *each.waiter);
        --lacking;
      } else if (at_first_[i].shared && !devices_[i].whole &&
                 (f == Fit::claimed || f == Fit::room_low || f == Fit::reserved)) {
        shared.push_back(i);
      }
    }
    std::sort(shared.begin(), shared.end(), [&](std::size_t a, std::size_t b) {
      return std::make_pair(-devices_[a].left_mib, a) < std::make_pair(-devices_[b].left_mib, b);
    });
    shared.resize(std::min(shared.size(), lacking));
    for (const std::size_t i : shared) devices_[i].whole = true;
  }

  const Scene& scene_;
  std::vector<Device> devices_;
  std::vector<Device> at_first_;
  Holdings held_;
};

/// Each decision, and what those ahead have left.
void for_many_decisions(
    const std::function<void(const Scene&, const Decided&, const Ledger&)>& test) {
  for_many_scenes([&](const Scene& scene, const std::vector<Decided>& all) {
    Ledger ledger(scene);
    for (const Decided& each : all) {
      test(scene, each, ledger);
      ledger.follow(each);
    }
  });
}

TEST(DecisionProperty, EveryoneIsDecidedOnOnce) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    EXPECT_EQ(all.size(), scene.line.size());
  });
}

TEST(DecisionProperty, RoomIsWhatIsNeitherPromisedNorInUse) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>&) {
    const Ledger ledger(scene);
    for (std::size_t i = 0; i < scene.occupancy.size(); ++i) {
      const Device& device = scene.machine.devices[i];
      if (scene.within != 0 && scene.find(scene.within, device.uuid) == nullptr) continue;
      EXPECT_EQ(scene.occupancy[i].whole, ledger[i].whole);
      if (ledger[i].whole) continue;
      EXPECT_EQ(scene.occupancy[i].shared, ledger[i].shared);
      if (scene.within != 0) continue;
      EXPECT_EQ(room_mib(device, scene.occupancy[i]), ledger[i].left_mib);
    }
  });
}

TEST(DecisionProperty, AWholeDeviceHasOneOwnerAndNoShares) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    const Ledger ledger(scene);
    std::set<std::size_t> whole;
    std::set<std::size_t> shared;
    for (const Decided& each : all) {
      const Criteria& criteria = each.waiter->request.criteria;
      if (each.decision.granted.empty()) continue;
      EXPECT_EQ(each.decision.granted.size(), static_cast<std::size_t>(criteria.count));
      for (const std::size_t device : each.decision.granted) {
        EXPECT_FALSE(ledger[device].whole || whole.contains(device));
        EXPECT_TRUE(ledger.lets(each.waiter->request, device));
        if (criteria.share_mib) {
          shared.insert(device);
        } else {
          EXPECT_FALSE(ledger[device].shared || shared.contains(device));
          whole.insert(device);
        }
      }
    }
  });
}

TEST(DecisionProperty, NoMoreIsPromisedThanThereIs) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    std::vector<std::int64_t> promised_mib(scene.machine.devices.size());
    for (const Decided& each : all) {
      for (const std::size_t device : each.decision.granted) {
        promised_mib[device] += each.waiter->request.criteria.share_mib.value_or(0);
      }
    }
    const Ledger ledger(scene);
    for (std::size_t i = 0; i < promised_mib.size(); ++i) {
      EXPECT_TRUE(promised_mib[i] == 0 || promised_mib[i] <= ledger[i].left_mib) << "device " << i;
    }
  });
}

TEST(DecisionProperty, NobodyTakesWhatOneAheadKeeps) {
  for_many_decisions([](const Scene&, const Decided& each, const Ledger& left) {
    for (const std::size_t device : each.decision.granted) {
      EXPECT_TRUE(left.lets(each.waiter->request, device)) << "device " << device;
    }
  });
}

TEST(DecisionProperty, WhatNobodyAheadTakesOrKeepsIsHadAtOnce) {
  for_many_decisions([](const Scene& scene, const Decided& each, const Ledger& left) {
    const InLine& waiter = *each.waiter;
    if (waiter.passed_over || left.is_over_limit(waiter)) return;
    int enough = waiter.request.criteria.count;
    for (std::size_t i = 0; i < scene.machine.devices.size(); ++i) {
      if (left.lets(waiter.request, i) && !each.decision.contested[i]) --enough;
    }
    EXPECT_TRUE(enough > 0 || !each.decision.granted.empty());
  });
}

TEST(DecisionProperty, AShareGoesBesideOthersWhereLeastRoomIsLeft) {
  for_many_decisions([](const Scene&, const Decided& each, const Ledger& left) {
    if (!each.waiter->request.criteria.share_mib || each.decision.granted.empty()) return;
    const std::vector<std::size_t>& granted = each.decision.granted;
    const auto rank = [&](std::size_t device) {
      return std::make_pair(!left[device].shared, left[device].left_mib);
    };
    for (std::size_t i = 0; i < each.decision.fits.size(); ++i) {
      if (each.decision.fits[i] != Fit::usable) continue;
      if (std::find(granted.begin(), granted.end(), i) != granted.end()) continue;
      for (const std::size_t device : granted) EXPECT_LE(rank(device), rank(i));
    }
  });
}

TEST(DecisionProperty, NobodyHoldsMoreThanOneUserMay) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    if (!scene.most || scene.within != 0) return;
    Holdings held = scene.held;
    for (const Decided& each : all) {
      if (each.decision.granted.empty()) continue;
      Amount& has = held[each.waiter->uid];
      has += amount_of(each.waiter->request.criteria, card_sizes(scene.machine, {}));
      EXPECT_LE(has, kWholeGpu * *scene.most);
    }
  });
}

TEST(DecisionProperty, WhatNobodyAheadCouldEverUseIsHadAtOnce) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    Ledger ledger(scene);
    for (std::size_t at = 0; at < all.size(); ++at) {
      const InLine& waiter = *all[at].waiter;
      int alone = 0;
      for (std::size_t device = 0; device < scene.machine.devices.size(); ++device) {
        const bool wanted_ahead = std::any_of(
            all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at), [&](const Decided& ahead) {
              return could_ever(
                  fit(scene.machine.devices[device], ahead.waiter->request, Occupancy{}));
            });
        alone += !wanted_ahead && ledger.lets(waiter.request, device) ? 1 : 0;
      }
      const bool may = !waiter.passed_over && !ledger.is_over_limit(waiter);
      EXPECT_TRUE(!may || alone < waiter.request.criteria.count ||
                  !all[at].decision.granted.empty());
      ledger.follow(all[at]);
    }
  });
}

/// Where all ask for the same, of one device, and may have any.
void expect_turns_by_what_users_hold(Scene scene, const Request& request) {
  scene.most.reset();
  for (InLine& waiter : scene.line) {
    waiter.request = request;
    waiter.passed_over = false;
  }
  Holdings held = scene.held;
  std::set<const InLine*> left;
  for (const InLine& waiter : scene.line) left.insert(&waiter);
  for (const Decided& each : decide_all(scene)) {
    if (each.decision.granted.empty()) break;
    for (const InLine* other : left) EXPECT_LE(held[each.waiter->uid], held[other->uid]);
    held[each.waiter->uid] += amount_of(request.criteria, card_sizes(scene.machine, {}));
    left.erase(each.waiter);
  }
}

TEST(DecisionProperty, WhoHoldsLeastOfThoseWhoCouldUseAFreeDeviceGetsIt) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>&) {
    if (scene.within != 0) return;
    Request whole = wish(1);
    whole.criteria.min_free_mib = 0;
    expect_turns_by_what_users_hold(scene, whole);
    expect_turns_by_what_users_hold(scene, share_wish(3000));
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

TEST(DecisionProperty, WhereNothingIsLeftNobodyBehindGetsAny) {
  for_many_scenes([](const Scene& scene, const std::vector<Decided>& all) {
    LineRule rule = scene.rule();
    for (const Decided& each : all) {
      EXPECT_TRUE(rule.leaves_any() || each.decision.granted.empty());
      rule.next(scene.waiting(*each.waiter));
    }
  });
}

/// A machine on which jobs start whose turn it is, and end.
class Running {
 public:
  explicit Running(int cards, LineOrder order = LineOrder::turns)
      : machine_(idle_machine(cards)), order_(order) {}

  Ticket ask(uid_t uid, const Request& request) {
    line_.push_back({.ticket = ++last_ticket_, .uid = uid, .request = request});
    return last_ticket_;
  }

  /// Serves whose turn it is; tells whether `ticket` was among them.
  bool serve(Ticket ticket) {
    bool served = false;
    std::vector<Queued> queued;
    for (const InLine& waiter : line_)
      queued.push_back({.ticket = waiter.ticket, .uid = waiter.uid});
    const CardSizes sizes = card_sizes(machine_, {});
    TurnOrder order({.order = order_, .held = holdings(claims_, sizes), .sizes = sizes},
                    last_turns_, queued);
    LineRule rule(machine_, occupancy(machine_, claims_, 0), {});
    while (rule.leaves_any()) {
      const auto named = order.next();
      if (!named) break;
      const auto waiter = std::find_if(line_.begin(), line_.end(), [&](const InLine& each) {
        return each.ticket == named->ticket;
      });
      order.put(waiter->request.criteria);
      const Decision decision =
          rule.next({.ticket = waiter->ticket, .uid = waiter->uid, .request = &waiter->request});
      if (decision.granted.empty()) continue;
      start(*waiter, decision.granted);
      served = served || waiter->ticket == ticket;
      line_.erase(waiter);
    }
    return served;
  }

  /// The job that has run longest ends.
  void end_one() {
    if (!claims_.empty()) end(claims_.front().ticket);
  }

  /// All end of which that is true.
  void end_those(const std::function<bool(Ticket)>& ends) {
    std::set<Ticket> ending;
    for (const Claim& claim : claims_) ending.insert(claim.ticket);
    for (const Ticket ticket : ending) {
      if (ends(ticket)) end(ticket);
    }
  }

 private:
  void start(const InLine& waiter, const std::vector<std::size_t>& devices) {
    ++last_ticket_;
    last_turns_[waiter.uid] = last_ticket_;
    for (const std::size_t device : devices) {
      claims_.push_back({.ticket = last_ticket_,
                         .uuid = machine_.devices[device].uuid,
                         .uid = waiter.uid,
                         .share_mib = waiter.request.criteria.share_mib});
    }
  }

  void end(Ticket ticket) {
    std::erase_if(claims_, [&](const Claim& claim) { return claim.ticket == ticket; });
  }

  Snapshot machine_;
  LineOrder order_;
  std::vector<Claim> claims_;  // of what runs, by ticket
  std::vector<InLine> line_;
  LastTurns last_turns_;
  Ticket last_ticket_ = 0;
};

TEST(DecisionProperty, ARequestForAllCardsIsServedThoughOthersHaveNoEndOfSmallOnes) {
  for (int cards = 1; cards <= 8; ++cards) {
    Running machine(cards);
    for (int i = 0; i < 200; ++i) machine.ask(1000 + static_cast<uid_t>(i % 3), wish(1));
    machine.serve(0);
    const Ticket wide = machine.ask(2000, wish(cards));
    int turns = 0;
    while (!machine.serve(wide) && turns < 100) {
      machine.end_one();
      machine.ask(1000 + static_cast<uid_t>(turns++ % 3), wish(1));
    }
    // Those that hold nothing either may be served before it, each once.
    EXPECT_LE(turns, 2 * cards + 3) << cards << " cards";
  }
}

TEST(DecisionProperty, OfManyUsersWithNoEndOfJobsEachComesToItsTurn) {
  for (const int cards : {1, 2, 3, 8}) {
    constexpr uid_t kUsers = 5;
    Running machine(cards);
    for (int i = 0; i < 500; ++i) machine.ask(1000, wish(1));
    machine.serve(0);
    for (uid_t user = 1; user < kUsers; ++user) {
      const Ticket first = machine.ask(1000 + user, wish(1));
      int turns = 0;
      while (!machine.serve(first) && turns < 600) {
        machine.end_one();
        ++turns;
      }
      EXPECT_LE(turns, static_cast<int>(kUsers) + 1) << cards << " cards, user " << user;
      for (int i = 0; i < 100; ++i) machine.ask(1000 + user, wish(1));
    }
  }
}

/// In how many steps the request is served while five users, of whom none had anything before, and
/// now and then a new one, fill every card with small shares and each job takes up to 20 steps.
int steps_until_served(int cards, const Request& request, LineOrder order, unsigned seed) {
  constexpr int kTooMany = 2000;
  constexpr Ticket kLongest = 20;
  std::mt19937 random(seed);
  const auto pick = [&](int least, int most) {
    return std::uniform_int_distribution<>(least, most)(random);
  };
  Running machine(cards, order);
  const auto ask_small = [&](int step) {
    const auto newcomer = static_cast<uid_t>(3000 + step);
    machine.ask(pick(0, 9) == 0 ? newcomer : 1000 + static_cast<uid_t>(pick(0, 4)),
                share_wish(pick(1000, 8000)));
  };
  for (int i = 0; i < 10 * cards; ++i) ask_small(0);
  machine.serve(0);
  const Ticket ticket = machine.ask(2000, request);
  std::map<Ticket, int> ends;  // of jobs, in steps
  int step = 0;
  while (!machine.serve(ticket) && step < kTooMany) {
    ++step;
    machine.end_those([&](Ticket job) {
      const auto [end, is_new] = ends.try_emplace(job, 0);
      if (is_new) end->second = step + pick(0, static_cast<int>(kLongest) - 1);
      return end->second <= step;
    });
    for (int i = 0; i < 3 * cards; ++i) ask_small(step);
  }
  return step;
}

TEST(DecisionProperty, SmallSharesWithoutEndStarveNeitherAWholeCardNorALargeShare) {
  for (unsigned seed = 1; seed <= GPU_GATE_SEEDS_IN_TEN; ++seed) {
    for (const int cards : {1, 2, 4, 8}) {
      for (const LineOrder order : {LineOrder::turns, LineOrder::arrival}) {
        int most = 0;
        for (const Request& request : {wish(1), wish((cards + 1) / 2), wish(cards),
                                       share_wish(30000), share_wish(45468, (cards + 1) / 2)}) {
          most = std::max(most, steps_until_served(cards, request, order, seed));
        }
        EXPECT_LE(most, 100) << cards << " cards, seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace gpu_gate
