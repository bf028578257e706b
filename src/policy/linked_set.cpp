#include "policy/linked_set.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

namespace gpu_gate {
namespace {

/// What counts of a set before the order of its devices; less is better. `scattered` is the sum of
/// scores between its devices and all eligible ones. Among sets with the same sum inside, that of
/// the scores to those that it leaves is less where this one is.
struct SetCost {
  int wanting_care = 0;
  std::int64_t inside = 0;
  std::int64_t scattered = 0;

  auto key() const { return std::make_tuple(wanting_care, -inside, scattered); }
};

/// By their places in `equals`, ascending: the best first.
using Members = std::vector<std::size_t>;

class SetSearch {
 public:
  SetSearch(const std::vector<std::size_t>& equals, const std::vector<std::size_t>& eligible,
            const Snapshot& snapshot)
      : size_(equals.size()), alone_(size_), scores_(size_ * size_) {
    for (std::size_t i = 0; i < size_; ++i) {
      alone_[i].wanting_care = wants_care(snapshot.devices[equals[i]]) ? 1 : 0;
      for (const std::size_t other : eligible) {
        if (other != equals[i]) alone_[i].scattered += snapshot.links.score(equals[i], other);
      }
      for (std::size_t j = 0; j < size_; ++j) {
        scores_[i * size_ + j] = snapshot.links.score(equals[i], equals[j]);
      }
    }
  }

  /// The best of all sets, in the order of their members: the first of equals stays.
  Members try_all(std::size_t count) const {
    Members set(count);
    std::iota(set.begin(), set.end(), std::size_t{0});
    std::vector<SetCost> costs(count + 1);  // of the first so many members
    Members best;
    SetCost best_cost;
    for (std::size_t changed = 0;;) {
      for (std::size_t i = changed; i < count; ++i) {
        std::int64_t to_set = 0;
        for (std::size_t j = 0; j < i; ++j) to_set += scores_[set[j] * size_ + set[i]];
        costs[i + 1] = grown(costs[i], set[i], to_set);
      }
      if (best.empty() || costs[count].key() < best_cost.key()) {
        best = set;
        best_cost = costs[count];
      }
      std::size_t last = count;  // the last member that can still move on
      while (last > 0 && set[last - 1] == size_ - count + last - 1) --last;
      if (last == 0) return best;
      changed = last - 1;
      for (std::size_t i = count; i > changed; --i) set[i - 1] = set[changed] + i - changed;
    }
  }

  /// The best of those that grow from each device by the one that then costs least.
  Members grow(std::size_t count) const {
    Members best;
    SetCost best_cost;
    for (std::size_t first = 0; first < size_; ++first) {
      SetCost cost;
      Members set = grown_from(first, count, cost);
      const bool better =
          best.empty() || std::make_tuple(cost.key(), set) < std::make_tuple(best_cost.key(), best);
      if (!better) continue;
      best = std::move(set);
      best_cost = cost;
    }
    return best;
  }

 private:
  Members grown_from(std::size_t first, std::size_t count, SetCost& cost) const {
    std::vector<std::int64_t> to_set(size_, 0);  // the scores between each and the members
    std::vector<bool> is_member(size_, false);
    Members set;
    cost = SetCost{};
    for (std::size_t next = first;; next = cheapest(cost, to_set, is_member)) {
      cost = grown(cost, next, to_set[next]);
      is_member[next] = true;
      set.push_back(next);
      if (set.size() == count) break;
      for (std::size_t i = 0; i < size_; ++i) to_set[i] += scores_[next * size_ + i];
    }
    std::sort(set.begin(), set.end());
    return set;
  }

  /// Which one more costs least; of equals the first.
  std::size_t cheapest(const SetCost& cost, const std::vector<std::int64_t>& to_set,
                       const std::vector<bool>& is_member) const {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < size_; ++i) {
      if (is_member[i]) continue;
      if (!best || grown(cost, i, to_set[i]).key() < grown(cost, *best, to_set[*best]).key()) {
        best = i;
      }
    }
    return *best;
  }

  /// With one more, whose scores to the members sum up to this.
  SetCost grown(SetCost cost, std::size_t next, std::int64_t to_set) const {
    cost.wanting_care += alone_[next].wanting_care;
    cost.inside += to_set;
    cost.scattered += alone_[next].scattered;
    return cost;
  }

  std::size_t size_;
  std::vector<SetCost> alone_;  // of each as the only member
  std::vector<int> scores_;     // of each two
};

/// How many sets of so many there are, as far as the limit: then more than that.
std::size_t count_sets(std::size_t of, std::size_t members, std::size_t limit) {
  std::size_t sets = 1;
  members = std::min(members, of - members);
  for (std::size_t i = 1; i <= members && sets <= limit; ++i) sets = sets * (of - members + i) / i;
  return sets;
}

}  // namespace

bool wants_care(const Device& device) { return device.repair != Repair::none; }

std::vector<std::size_t> best_linked_set(const std::vector<std::size_t>& equals,
                                         const std::vector<std::size_t>& eligible,
                                         std::size_t count, const Snapshot& snapshot) {
  const SetSearch search(equals, eligible, snapshot);
  const bool few = count_sets(equals.size(), count, kMostSets) <= kMostSets;
  std::vector<std::size_t> set = few ? search.try_all(count) : search.grow(count);
  for (std::size_t& member : set) member = equals[member];
  return set;
}

}  // namespace gpu_gate
