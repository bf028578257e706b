#include "sysfs/amd_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs/amd_tree.h"
#include "sysfs/folder.h"
#include "sysfs/path.h"
#include "usage.h"

namespace sim {
namespace {

constexpr uint64_t kMib = uint64_t{1024} * 1024;

// What a process has on one GPU, or what is left of it.
struct Use {
  int card;
  uint32_t part;
  uint32_t gpu_id;
  uint32_t pid;
  uint64_t mib;
  uint32_t busy_percent;
  bool listed;  // it is among KFD's processes
  bool queue;
  bool of_job;  // not in the machine file
};

struct Uses {
  int count;
  Use all[kMaxProcesses + kMaxJobsPerDevice];
};

void add(Uses& uses, const Use& use) {
  constexpr int kRoom = static_cast<int>(sizeof(uses.all) / sizeof(uses.all[0]));
  if (uses.count < kRoom) uses.all[uses.count++] = use;
}

void collect_jobs(const Machine& machine, const AmdNode& node, int state_folder, Uses& uses) {
  static JobUse jobs[kMaxJobsPerDevice];
  char key[96];
  amd_key(machine, node, key);
  const int count = read_jobs(state_folder, key, jobs, kMaxJobsPerDevice);
  for (int i = 0; i < count; ++i) {
    add(uses, {.card = node.card,
               .part = node.part,
               .gpu_id = node.gpu_id,
               .pid = jobs[i].pid,
               .mib = jobs[i].memory_mib,
               .busy_percent = jobs[i].running ? jobs[i].util_percent : 0,
               .listed = jobs[i].running && !jobs[i].graphics,
               .queue = true,
               .of_job = true});
  }
}

void collect(const Machine& machine, const AmdNodes& all, int state_folder, Uses& uses) {
  uses.count = 0;
  for (int i = 0; i < all.count; ++i) {
    const AmdNode& node = all.nodes[i];
    for (int p = 0; p < machine.process_count; ++p) {
      const StaticProcess& process = machine.processes[p];
      if (process.amd != node.card || process.part != node.part) continue;
      add(uses, {.card = node.card,
                 .part = node.part,
                 .gpu_id = node.gpu_id,
                 .pid = process.pid,
                 .mib = process.memory_mib,
                 .busy_percent = 0,
                 .listed = process.kind != ProcessKind::graphics,
                 .queue = process.queue,
                 .of_job = false});
    }
    collect_jobs(machine, node, state_folder, uses);
  }
}

uint64_t used_mib(const Machine& machine, int card, const Uses& uses) {
  uint64_t mib = amd_static_use_mib(machine, card);
  for (int i = 0; i < uses.count; ++i) {
    if (uses.all[i].card == card && uses.all[i].of_job) mib += uses.all[i].mib;
  }
  return mib < machine.amd_cards[card].vram_mib ? mib : machine.amd_cards[card].vram_mib;
}

// Of a card that is not (yet) in the tree, nothing is shown.
void show_number(int tree, const char* folder, const char* name, uint64_t number) {
  const Path fresh("new/%s.%d", name, static_cast<int>(getpid()));
  char text[32];
  const int size = snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
  remove_all(tree, fresh);
  if (!make_file(tree, fresh, 0666, text, static_cast<size_t>(size))) return;
  if (renameat(tree, fresh, tree, Path("%s/%s", folder, name)) != 0) remove_all(tree, fresh);
}

void show_card(const Machine& machine, int card, const Uses& uses, int tree) {
  const AmdCard& amd = machine.amd_cards[card];
  const Path folder = values_of(amd);
  const uint64_t bytes = used_mib(machine, card, uses) * kMib;
  uint64_t busy = 0;
  for (int i = 0; i < uses.count; ++i) {
    if (uses.all[i].card == card) busy += uses.all[i].busy_percent;
  }
  busy = amd.busy_percent + busy / parts_of(amd);
  show_number(tree, folder, "mem_info_vram_used", bytes);
  show_number(tree, folder, "mem_info_vis_vram_used", bytes);
  show_number(tree, folder, "gpu_busy_percent", busy < 100 ? busy : 100);
}

bool is_listed(const Uses& uses, uint32_t pid) {
  for (int i = 0; i < uses.count; ++i) {
    if (uses.all[i].pid == pid && uses.all[i].listed) return true;
  }
  return false;
}

// The files of a process, as KFD has them: memory for each GPU that it could open, and the queues.
void add_process(Tree& tree, const Machine& machine, const AmdNodes& all, const Uses& uses,
                 uint32_t pid) {
  tree.file_with("pasid", 0666, "%u\n", 0x8000 + pid % 0x4000);
  tree.folder("queues", 0777);
  for (int i = 0; i < all.count; ++i) {
    if (machine.amd_cards[all.nodes[i].card].closed != AmdClosed::no) continue;
    const uint32_t gpu_id = all.nodes[i].gpu_id;
    uint64_t bytes = 0;
    for (int u = 0; u < uses.count; ++u) {
      const Use& use = uses.all[u];
      if (use.pid == pid && use.gpu_id == gpu_id && use.listed) bytes += use.mib * kMib;
    }
    tree.file_with(Path("vram_%u", gpu_id), 0666, "%" PRIu64 "\n", bytes);
    tree.file_with(Path("sdma_%u", gpu_id), 0666, "0\n");
    tree.folder(Path("stats_%u", gpu_id), 0777);
    tree.file_with(Path("stats_%u/evicted_ms", gpu_id), 0666, "0\n");
    tree.file_with(Path("stats_%u/cu_occupancy", gpu_id), 0666, "0\n");
  }
  uint32_t queue = 0;
  for (int u = 0; u < uses.count; ++u) {
    const Use& use = uses.all[u];
    if (use.pid != pid || !use.listed || !use.queue) continue;
    const Path folder("queues/%u", queue++);
    tree.folder(folder, 0777);
    // Without a newline, as in the kernel.
    tree.file_with(Path("%s/gpuid", folder.text), 0666, "%u", use.gpu_id);
    tree.file_with(Path("%s/size", folder.text), 0666, "4096");
    tree.file_with(Path("%s/type", folder.text), 0666, "0");
  }
}

bool is_number(const char* name) { return strspn(name, "0123456789") == strlen(name); }

// Made ready aside, so that the process appears with all its files at once.
void show_process(const Machine& machine, const AmdNodes& all, const Uses& uses, uint32_t pid,
                  int fresh, int processes) {
  const Path name("%u", pid);
  remove_all(fresh, name);
  const int folder = make_folder(fresh, name, 0777);
  if (folder < 0) return;
  Tree tree(folder);
  add_process(tree, machine, all, uses, pid);
  if (tree.error() == 0 && renameat(fresh, name, processes, name) != 0) {
    const int old = open_folder(processes, name);
    if (old >= 0) {
      move_folder(folder, old, nullptr);
      close(old);
    }
  }
  close(folder);
  remove_all(fresh, name);
}

void remove_ended(const Uses& uses, int fresh, int processes) {
  const int again = openat(processes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = again < 0 ? nullptr : fdopendir(again);
  if (listing == nullptr) return;
  while (const dirent* entry = readdir(listing)) {
    if (!is_number(entry->d_name)) continue;
    if (is_listed(uses, static_cast<uint32_t>(strtoul(entry->d_name, nullptr, 10)))) continue;
    remove_all(fresh, entry->d_name);
    if (renameat(processes, entry->d_name, fresh, entry->d_name) == 0) {
      remove_all(fresh, entry->d_name);
    }
  }
  closedir(listing);
}

void show_processes(const Machine& machine, const AmdNodes& all, const Uses& uses, int tree) {
  const int fresh = open_folder(tree, "new");
  const int processes = open_folder(tree, "sys/class/kfd/kfd/proc");
  if (fresh >= 0 && processes >= 0) {
    remove_ended(uses, fresh, processes);
    for (int i = 0; i < uses.count; ++i) {
      const uint32_t pid = uses.all[i].pid;
      bool first = uses.all[i].listed;
      for (int before = 0; before < i; ++before) {
        if (uses.all[before].pid == pid && uses.all[before].listed) first = false;
      }
      if (first) show_process(machine, all, uses, pid, fresh, processes);
    }
  }
  if (fresh >= 0) close(fresh);
  if (processes >= 0) close(processes);
}

}  // namespace

void amd_key(const Machine& machine, const AmdNode& node, char (&key)[96]) {
  const PciAddress& pci = machine.amd_cards[node.card].pci;
  snprintf(key, sizeof(key), "amd-%04x-%02x-%02x-%x-%u", pci.domain, pci.bus, pci.device,
           pci.function, node.part);
}

void show_use(const Machine& machine, int state_folder, int tree) {
  static Uses uses;
  static AmdNodes all;
  all = amd_nodes(machine);
  collect(machine, all, state_folder, uses);
  for (int card = 0; card < machine.amd_count; ++card) {
    if (!machine.amd_cards[card].lost) show_card(machine, card, uses, tree);
  }
  show_processes(machine, all, uses, tree);
}

uint64_t amd_used_mib(const Machine& machine, int card, int state_folder) {
  static Uses uses;
  static AmdNodes all;
  all = amd_nodes(machine);
  collect(machine, all, state_folder, uses);
  return used_mib(machine, card, uses);
}

}  // namespace sim
