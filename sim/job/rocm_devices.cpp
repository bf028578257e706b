#include "job/rocm_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sysfs/amd_tree.h"

namespace sim {
namespace {

constexpr int kNone = -1;
constexpr size_t kIdSize = 32;

bool contains(const Devices& devices, int gpu) {
  for (int i = 0; i < devices.count; ++i) {
    if (devices.gpus[i] == gpu) return true;
  }
  return false;
}

void name_of(const Machine& machine, const AmdNode& node, char (&name)[kIdSize]) {
  const uint64_t id = unique_id_of(machine, node);
  name[0] = '\0';
  if (id != 0) snprintf(name, sizeof(name), "GPU-%016" PRIx64, id);
}

// A word of the list, without the blanks around it.
bool next_word(const char*& at, char (&word)[64]) {
  if (at == nullptr) return false;
  const char* end = strchrnul(at, ',');
  const char* begin = at;
  at = *end == ',' ? end + 1 : nullptr;
  while (begin != end && *begin == ' ') ++begin;
  while (begin != end && end[-1] == ' ') --end;
  const size_t size = static_cast<size_t>(end - begin);
  if (size == 0 || size >= sizeof(word)) return false;
  memcpy(word, begin, size);
  word[size] = '\0';
  return true;
}

// The place in `from` of the only GPU whose name begins so.
int by_name(const Machine& machine, const AmdNodes& all, const Devices& from, const char* word) {
  const size_t length = strlen(word);
  int found = kNone;
  if (length < 5 || length > 20) return kNone;
  for (int i = 0; i < from.count; ++i) {
    char name[kIdSize];
    name_of(machine, all.nodes[from.gpus[i]], name);
    if (strncasecmp(name, word, length) != 0) continue;
    if (found != kNone) return kNone;
    found = i;
  }
  return found;
}

int by_number(const Devices& from, const char* word, int base) {
  char* end = nullptr;
  errno = 0;
  const long number = strtol(word, &end, base);
  if (errno != 0 || *end != '\0' || number < 0 || number >= from.count) return kNone;
  return static_cast<int>(number);
}

Devices shown_by_rocr(const Machine& machine, const AmdNodes& all, const Devices& from,
                      const char* list) {
  if (list == nullptr) return from;
  Devices shown{};
  char word[64];
  while (shown.count < from.count && next_word(list, word)) {
    const bool is_name = word[0] == 'G' || word[0] == 'g';
    const int place = is_name ? by_name(machine, all, from, word) : by_number(from, word, 0);
    if (place == kNone || contains(shown, from.gpus[place])) break;
    shown.gpus[shown.count++] = from.gpus[place];
  }
  return shown;
}

Devices shown_by_hip(const Machine& machine, const AmdNodes& all, const Devices& from,
                     const char* list) {
  Devices shown{};
  char word[64];
  while (next_word(list, word)) {
    const bool is_name = strncmp(word, "GPU-", 4) == 0;
    const int place = is_name ? by_name(machine, all, from, word) : by_number(from, word, 10);
    if (place == kNone) break;
    // A GPU that is named twice is there once.
    if (!contains(shown, from.gpus[place])) shown.gpus[shown.count++] = from.gpus[place];
  }
  return shown;
}

bool can_open(const char* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

bool has_text(const char* list) { return list != nullptr && list[0] != '\0'; }

}  // namespace

Devices rocm_devices(const Machine& machine, const AmdNodes& all, const RocmVariables& variables) {
  Devices found{};
  if (!can_open("/dev/kfd")) return found;
  for (int i = 0; i < all.count; ++i) {
    char path[64];
    snprintf(path, sizeof(path), "/dev/dri/renderD%u", all.nodes[i].minor);
    if (can_open(path)) {
      found.gpus[found.count++] = i;
    } else if (errno == EACCES) {
      return Devices{};  // ROCr passes over what is missing or forbidden (EPERM), and fails here
    }
  }
  found = shown_by_rocr(machine, all, found, variables.rocr);
  if (has_text(variables.hip)) return shown_by_hip(machine, all, found, variables.hip);
  if (has_text(variables.cuda)) return shown_by_hip(machine, all, found, variables.cuda);
  return found;
}

}  // namespace sim
