// bench-linked-sets LIBRARY MACHINE...: how well the cards of one job are linked after a random mix
// of jobs has broken up a simulated machine, by three ways to choose them. The links are read from
// the simulated NVML as gpu-gate reads them, and its rule is src/policy itself. Prints
// bench/README's table.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "gpu/nvml.h"
#include "policy/choose.h"

namespace gpu_gate {
namespace {

using Cards = std::vector<std::size_t>;

constexpr int kJobs = 20000;
constexpr std::size_t kSizes[] = {1, 2, 4};

/// Chooses so many of the free cards, at least as many as that.
using Rule = std::function<Cards(const Snapshot&, const Cards& free, std::size_t count)>;

Cards chosen(const Snapshot& machine, const Cards& free, std::size_t count) {
  const std::vector<Occupancy> occupancy(machine.devices.size());
  const Criteria criteria{.count = static_cast<int>(count)};
  return choose(free, {.snapshot = machine, .occupancy = occupancy, .criteria = criteria});
}

Cards by_index(const Snapshot& machine, const Cards& free, std::size_t count) {
  Snapshot unlinked = machine;
  unlinked.links = {};
  return chosen(unlinked, free, count);
}

/// The first free card, then again and again the one that is linked best to those chosen.
Cards greedily(const Snapshot& machine, const Cards& free, std::size_t count) {
  Cards left = free;
  Cards set;
  while (set.size() < count) {
    const auto sum = [&](std::size_t card) {
      return std::accumulate(set.begin(), set.end(), 0, [&](int total, std::size_t member) {
        return total + machine.links.score(card, member);
      });
    };
    const auto best = std::max_element(
        left.begin(), left.end(), [&](std::size_t a, std::size_t b) { return sum(a) < sum(b); });
    set.push_back(*best);
    left.erase(best);
  }
  return set;
}

int inside(const Snapshot& machine, const Cards& set) {
  int sum = 0;
  for (std::size_t i = 0; i < set.size(); ++i) {
    for (std::size_t j = i + 1; j < set.size(); ++j) sum += machine.links.score(set[i], set[j]);
  }
  return sum;
}

/// What the jobs of one size had, of the most that the machine has for one.
struct Share {
  double sum = 0;
  int jobs = 0;
};

/// Half of the time a job comes, of a size by chance, and half of the time one of those that run
/// ends; one that finds too few cards waits until enough have ended. Returns the mean share for 2
/// and for 4 cards.
std::vector<double> mean_shares(const Snapshot& machine, const Rule& rule) {
  std::mt19937 chance(3);
  Cards free(machine.devices.size());
  std::iota(free.begin(), free.end(), std::size_t{0});
  const Cards all = free;
  std::vector<Cards> running;
  const auto end_one = [&] {
    const auto ended = running.begin() + static_cast<std::ptrdiff_t>(chance() % running.size());
    free.insert(free.end(), ended->begin(), ended->end());
    std::sort(free.begin(), free.end());
    running.erase(ended);
  };
  std::vector<Share> shares(machine.devices.size() + 1);
  for (int i = 0; i < kJobs;) {
    if (!running.empty() && chance() % 2 == 0) {
      end_one();
      continue;
    }
    const std::size_t count = kSizes[chance() % std::size(kSizes)];
    while (free.size() < count) end_one();
    Cards set = rule(machine, free, count);
    shares[count].sum += static_cast<double>(inside(machine, set)) /
                         std::max(1, inside(machine, chosen(machine, all, count)));
    ++shares[count].jobs;
    std::erase_if(free, [&](std::size_t card) {
      return std::find(set.begin(), set.end(), card) != set.end();
    });
    running.push_back(std::move(set));
    ++i;
  }
  return {shares[2].sum / shares[2].jobs, shares[4].sum / shares[4].jobs};
}

bool print_row(const std::string& library, const std::string& path) {
  ::setenv("GPU_SIM_MACHINE", path.c_str(), 1);
  const auto source = nvml_source({.driver_library = library});
  Result<Snapshot> machine = source->read();
  if (!machine) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), machine.error().text.c_str());
    return false;
  }
  machine->links = source->links();
  const std::string file = path.substr(path.rfind('/') + 1);
  std::printf("| %s |", file.substr(0, file.rfind('.')).c_str());
  for (const Rule& rule : {Rule(by_index), Rule(greedily), Rule(chosen)}) {
    const std::vector<double> mean = mean_shares(*machine, rule);
    std::printf(" %.2f / %.2f |", mean[0], mean[1]);
  }
  std::puts("");
  return true;
}

}  // namespace
}  // namespace gpu_gate

int main(int argc, char** argv) {
  std::puts("| machine | lowest index | greedy | gpu-gate |");
  std::puts("|---|---|---|---|");
  bool good = argc > 2;
  for (int i = 2; i < argc; ++i) good = gpu_gate::print_row(argv[1], argv[i]) && good;
  return good ? 0 : 1;
}
