// What changes of AMD cards while programs run, in the tree of amd_tree.h.
#pragma once

#include "machine.h"

namespace sim {

// Brings what changes while programs run up to date: the memory that is used, how busy the cards
// are, and KFD's processes. Any user may call it, with the state folder locked.
void show_use(const Machine& machine, int state_folder, int tree);

// Files of this name in the state folder are of this GPU.
void amd_key(const Machine& machine, const AmdNode& node, char (&key)[96]);

// What is used of a card now, by all its partitions' jobs and outside of jobs.
uint64_t amd_used_mib(const Machine& machine, int card, int state_folder);

}  // namespace sim
