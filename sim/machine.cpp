#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <string_view>

namespace sim {
namespace {

using Text = std::string_view;

constexpr uint64_t kMaxMib = uint64_t{1} << 32;
constexpr uint32_t kMaxMs = 3'600'000;
constexpr uint32_t kMaxErrorCode = 999;

constexpr bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }
constexpr bool is_printable(char c) { return c >= ' ' && c <= '~'; }
constexpr bool is_uuid_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

Text between(const char* begin, const char* end) {
  return {begin, static_cast<size_t>(end - begin)};
}

// One line, taken apart word by word; a `#` where a word would begin ends it.
struct Line {
  const char* at;
  const char* end;
  MachineError* error;

  bool fail(const char* what, Text culprit = {}) const {
    // The message must stay one line, whatever characters the file has.
    char shown[64];
    size_t length = 0;
    for (const char c : culprit) {
      if (length + 1 == sizeof(shown)) break;
      shown[length++] = is_printable(c) ? c : '?';
    }
    shown[length] = '\0';
    const bool named = !culprit.empty();
    snprintf(error->what, sizeof(error->what), "%s%s%s%s", what, named ? " '" : "", shown,
             named ? "'" : "");
    return false;
  }

  bool at_end() {
    while (at != end && is_space(*at)) ++at;
    return at == end || *at == '#';
  }

  // Call only when not at_end().
  Text word() {
    const char* begin = at;
    while (at != end && !is_space(*at)) ++at;
    return between(begin, at);
  }

  // `key=value` or `key="a value"`. Call only when not at_end().
  bool pair(Text& key, Text& value) {
    const char* begin = at;
    while (at != end && !is_space(*at) && *at != '=') ++at;
    key = between(begin, at);
    if (key.empty()) return fail("no key before", "=");
    if (at == end || *at != '=') return fail("expected key=value, found", key);
    ++at;
    if (at == end || *at != '"') {
      value = word();
      return true;
    }
    begin = ++at;
    while (at != end && *at != '"') ++at;
    if (at == end) return fail("no closing quote for", key);
    value = between(begin, at++);
    if (at != end && !is_space(*at)) return fail("no space after the quoted", key);
    return true;
  }
};

constexpr uint32_t digit_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<uint32_t>(c - 'A') + 10;
  return 16;
}

// Not std::from_chars: its table is a unique symbol, which would make dlclose() do nothing.
template <typename Number>
bool parse_number(Text text, Number max, Number& number, uint32_t base = 10) {
  uint64_t value = 0;
  for (const char c : text) {
    const uint32_t digit = digit_value(c);
    if (digit >= base) return false;
    value = value * base + digit;
    if (value > max) return false;
  }
  number = static_cast<Number>(value);
  return !text.empty();
}

bool parse_error_code(Text text, int& code) {
  uint32_t number = 0;
  if (!parse_number(text, kMaxErrorCode, number)) return false;
  code = static_cast<int>(number);
  return true;
}

bool parse_flag(Text text, bool& flag) {
  flag = text == "1";
  return flag || text == "0";
}

template <size_t Size>
bool copy_text(Text text, char (&to)[Size]) {
  if (text.empty() || text.size() >= Size) return false;
  for (const char c : text) {
    if (!is_printable(c)) return false;
  }
  memcpy(to, text.data(), text.size());
  to[text.size()] = '\0';
  return true;
}

// The state folder names its entries after the UUID, so a UUID must be a plain file name.
bool parse_uuid(Text text, char (&uuid)[96]) {
  for (const char c : text) {
    if (!is_uuid_char(c)) return false;
  }
  return text.size() <= 64 && copy_text(text, uuid);
}

bool take_hex(Text& text, char separator, uint32_t max, uint32_t& number) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  const char* stop = begin;
  while (stop != end && *stop != separator) ++stop;
  if (separator != '\0' && stop == end) return false;
  if (!parse_number(between(begin, stop), max, number, 16)) return false;
  text = stop == end ? Text{} : between(stop + 1, end);
  return true;
}

// domain:bus:device.function, in hexadecimal
bool parse_pci(Text text, PciAddress& pci) {
  return take_hex(text, ':', 0xFFFFFFFF, pci.domain) && take_hex(text, ':', 0xFF, pci.bus) &&
         take_hex(text, '.', 0x1F, pci.device) && take_hex(text, '\0', 7, pci.function);
}

// "8.9" (Not by substr, which may throw: that would need libstdc++.)
bool parse_capability(Text text, Gpu& gpu) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* dot = begin;
  while (dot != end && *dot != '.') ++dot;
  return dot != end && parse_number(between(begin, dot), uint32_t{99}, gpu.capability_major) &&
         parse_number(between(dot + 1, end), uint32_t{99}, gpu.capability_minor);
}

// up to four numbers: socket/host bridge/bridge/switch
bool parse_path(Text text, PciPath& path) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  path = PciPath{};
  while (path.steps < kPathSteps) {
    const char* stop = begin;
    while (stop != end && *stop != '/') ++stop;
    if (!parse_number(between(begin, stop), uint32_t{255}, path.numbers[path.steps])) return false;
    ++path.steps;
    if (stop == end) return true;
    begin = stop + 1;
  }
  return false;
}

bool parse_compute_mode(Text text, uint32_t& mode) {
  if (text == "default") {
    mode = 0;
  } else if (text == "prohibited") {
    mode = 2;
  } else if (text == "exclusive") {
    mode = 3;
  } else {
    return false;
  }
  return true;
}

bool parse_mig(Text text, Mig& mig) {
  bool enabled = false;
  if (!parse_flag(text, enabled)) return false;
  mig = enabled ? Mig::enabled : Mig::disabled;
  return true;
}

bool parse_process_kind(Text text, ProcessKind& kind) {
  if (text == "compute") {
    kind = ProcessKind::compute;
  } else if (text == "graphics") {
    kind = ProcessKind::graphics;
  } else if (text == "mps") {
    kind = ProcessKind::mps;
  } else {
    return false;
  }
  return true;
}

bool parse_process_lists(Text text, ProcessLists& lists) {
  if (text == "checked") {
    lists = ProcessLists::checked;
  } else if (text == "counted") {
    lists = ProcessLists::counted;
  } else if (text == "filled") {
    lists = ProcessLists::filled;
  } else {
    return false;
  }
  return true;
}

bool parse_memory_or_unknown(Text text, uint64_t& mib, bool& unknown) {
  unknown = text == "unknown";
  return unknown || parse_number(text, kMaxMib, mib);
}

uint64_t scramble(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// Scrambled, so that a short prefix already tells the devices of a machine apart.
void set_default_uuid(const char* kind, int device, char (&uuid)[96]) {
  const uint64_t a = scramble(static_cast<uint64_t>(device));
  const uint64_t b = scramble(a);
  snprintf(uuid, sizeof(uuid), "%s-%08x-%04x-4%03x-8%03x-%012llx", kind,
           static_cast<unsigned>(a >> 32), static_cast<unsigned>(a >> 16) & 0xFFFF,
           static_cast<unsigned>(a) & 0xFFF, static_cast<unsigned>(b >> 48) & 0xFFF,
           static_cast<unsigned long long>(b & 0xFFFFFFFFFFFF));
}

void set_defaults(int index, Gpu& gpu) {
  gpu = Gpu{};
  gpu.instance_of.gpu = kNoCard;
  strcpy(gpu.name, "NVIDIA L40S");
  set_default_uuid("GPU", index, gpu.uuid);
  gpu.pci.bus = static_cast<uint32_t>(index) + 1;
  gpu.minor = kNoMinor;
  gpu.capability_major = 8;
  gpu.capability_minor = 9;
  gpu.numa_node = kNoNode;
  gpu.memory_mib = 46068;
  gpu.reserved_mib = 600;
  gpu.persistence = true;
}

// An instance, and what its line says of it that the device does not have.
struct InstanceLine {
  Gpu device;
  char profile[32];
};

void set_defaults(const Machine& machine, InstanceLine& line) {
  line = InstanceLine{};
  strcpy(line.profile, "1g.5gb");
  Gpu& device = line.device;
  set_default_uuid("MIG", kMaxGpus + machine.instance_count, device.uuid);
  device.instance_of.slot = UINT32_MAX;
  device.minor = kNoMinor;
  device.numa_node = kNoNode;
  device.memory_mib = 4864;
}

// As many render nodes as the driver makes for a card.
uint32_t minors_of(const AmdCard& card) { return card.xcc > 1 ? uint32_t{kMaxXcc} : 1; }

void set_defaults(int index, AmdCard& card) {
  card = AmdCard{};
  strcpy(card.chip, "ip discovery");
  card.pci.bus = static_cast<uint32_t>(index) + 0x41;
  card.device_id = 0x744c;
  card.vram_mib = 24560;
  card.unique_id = scramble(static_cast<uint64_t>(index) + 1000);
  card.card = kNoMinor;
  card.minor = kNoMinor;
  card.xcc = 1;
  card.units = 96;
  card.nps = 1;
  card.gfx = 110000;
}

enum class Assigned { yes, bad_value, unknown_key };

Assigned assigned(bool good) { return good ? Assigned::yes : Assigned::bad_value; }

// What it hangs on.
Assigned assign_links(Gpu& gpu, Text key, Text value) {
  if (key == "path") return assigned(parse_path(value, gpu.path));
  if (key == "nvswitch") return assigned(parse_number(value, kMaxLinks, gpu.switch_links));
  if (key == "open_links") return assigned(parse_number(value, kMaxLinks, gpu.open_links));
  return Assigned::unknown_key;
}

// What is wrong with it.
Assigned assign_fault(Gpu& gpu, Text key, Text value) {
  if (key == "recovery") return assigned(parse_number(value, uint32_t{99}, gpu.recovery_action));
  if (key == "remap_pending") return assigned(parse_flag(value, gpu.remap_pending));
  if (key == "remap_failed") return assigned(parse_flag(value, gpu.remap_failed));
  if (key == "retire_pending") return assigned(parse_flag(value, gpu.retire_pending));
  if (key == "lost") return assigned(parse_flag(value, gpu.lost));
  if (key == "handle_error") return assigned(parse_error_code(value, gpu.handle_error));
  if (key == "memory_error") return assigned(parse_error_code(value, gpu.memory_error));
  if (key == "memory_v2_error") return assigned(parse_error_code(value, gpu.memory_v2_error));
  if (key == "util_error") return assigned(parse_error_code(value, gpu.util_error));
  if (key == "process_error") return assigned(parse_error_code(value, gpu.process_error));
  if (key == "process_memory") {
    gpu.process_memory_unknown = value == "unknown";
    return assigned(gpu.process_memory_unknown || value == "known");
  }
  return Assigned::unknown_key;
}

Assigned assign(Gpu& gpu, Text key, Text value) {
  if (key == "name") return assigned(copy_text(value, gpu.name));
  if (key == "uuid") return assigned(parse_uuid(value, gpu.uuid));
  if (key == "pci") return assigned(parse_pci(value, gpu.pci));
  if (key == "minor") return assigned(parse_number(value, uint32_t{1023}, gpu.minor));
  if (key == "memory") return assigned(parse_number(value, kMaxMib, gpu.memory_mib));
  if (key == "reserved") return assigned(parse_number(value, kMaxMib, gpu.reserved_mib));
  if (key == "reserved_in_used") return assigned(parse_flag(value, gpu.reserved_in_used));
  if (key == "used") return assigned(parse_number(value, kMaxMib, gpu.used_mib));
  if (key == "util") return assigned(parse_number(value, uint32_t{100}, gpu.util_percent));
  if (key == "mode") return assigned(parse_compute_mode(value, gpu.compute_mode));
  if (key == "mig") return assigned(parse_mig(value, gpu.mig));
  if (key == "persistence") return assigned(parse_flag(value, gpu.persistence));
  if (key == "capability") return assigned(parse_capability(value, gpu));
  if (key == "numa_node") return assigned(parse_number(value, uint32_t{1023}, gpu.numa_node));
  const Assigned links = assign_links(gpu, key, value);
  return links != Assigned::unknown_key ? links : assign_fault(gpu, key, value);
}

bool parse_amd_mode(Text text, AmdMode& mode) {
  constexpr Text kNames[] = {"none", "SPX", "DPX", "TPX", "QPX", "CPX"};
  for (int i = 0; i < static_cast<int>(sizeof(kNames) / sizeof(kNames[0])); ++i) {
    if (text != kNames[i]) continue;
    mode = static_cast<AmdMode>(i);
    return true;
  }
  return false;
}

bool parse_amd_closed(Text text, AmdClosed& closed) {
  constexpr Text kNames[] = {"0", "1", "gone", "cgroup"};
  for (int i = 0; i < static_cast<int>(sizeof(kNames) / sizeof(kNames[0])); ++i) {
    if (text != kNames[i]) continue;
    closed = static_cast<AmdClosed>(i);
    return true;
  }
  return false;
}

bool parse_number_or(Text text, Text none, uint32_t max, uint32_t& number, bool& is_none) {
  is_none = text == none;
  return is_none || parse_number(text, max, number);
}

bool parse_unique_id(Text text, uint64_t& id) {
  if (text == "none") {
    id = 0;
    return true;
  }
  return text.size() <= 16 && parse_number(text, UINT64_MAX, id, 16) && id != 0;
}

// What the card is and where.
Assigned assign_place(AmdCard& card, Text key, Text value) {
  if (key == "name") return assigned(copy_text(value, card.name));
  if (key == "chip") return assigned(copy_text(value, card.chip));
  if (key == "pci") return assigned(parse_pci(value, card.pci));
  if (key == "device") return assigned(parse_number(value, uint32_t{0xFFFF}, card.device_id, 16));
  if (key == "unique_id") return assigned(parse_unique_id(value, card.unique_id));
  if (key == "card") return assigned(parse_number(value, uint32_t{511}, card.card));
  if (key == "minor") return assigned(parse_number(value, uint32_t{1023}, card.minor));
  if (key == "gfx") return assigned(parse_number(value, uint32_t{999'999}, card.gfx));
  if (key == "units") return assigned(parse_number(value, uint32_t{999}, card.units));
  if (key == "numa") return assigned(parse_number(value, uint32_t{7}, card.numa));
  if (key == "hive") return assigned(parse_number(value, UINT64_MAX, card.hive, 16));
  if (key == "apu") return assigned(parse_flag(value, card.apu));
  return Assigned::unknown_key;
}

Assigned assign(AmdCard& card, Text key, Text value) {
  if (key == "vram") return assigned(parse_number(value, kMaxMib, card.vram_mib));
  if (key == "used") return assigned(parse_number(value, kMaxMib, card.used_mib));
  if (key == "busy") {
    return assigned(parse_number_or(value, "none", 100, card.busy_percent, card.busy_unknown));
  }
  if (key == "xcc") {
    return assigned(parse_number(value, uint32_t{kMaxXcc}, card.xcc) && card.xcc > 0);
  }
  if (key == "partition") return assigned(parse_amd_mode(value, card.mode));
  if (key == "nps") return assigned(parse_number(value, uint32_t{8}, card.nps) && card.nps > 0);
  if (key == "own_ids") return assigned(parse_flag(value, card.own_ids));
  if (key == "asleep") return assigned(parse_flag(value, card.asleep));
  if (key == "lost") return assigned(parse_flag(value, card.lost));
  if (key == "closed") return assigned(parse_amd_closed(value, card.closed));
  return assign_place(card, key, value);
}

bool parse_gpu_number(Text text, int& gpu) {
  uint32_t number = 0;
  if (!parse_number(text, uint32_t{kMaxGpus - 1}, number)) return false;
  gpu = static_cast<int>(number);
  return true;
}

bool parse_slot(Text text, int& slot) {
  uint32_t number = 0;
  if (!parse_number(text, kSlots - 1, number)) return false;
  slot = static_cast<int>(number);
  return true;
}

Assigned assign(InstanceLine& line, Text key, Text value) {
  constexpr uint32_t kMost = 255;
  Gpu& device = line.device;
  InstanceOf& of = device.instance_of;
  if (key == "gpu") return assigned(parse_gpu_number(value, of.gpu));
  if (key == "slot") return assigned(parse_number(value, kSlots - 1, of.slot));
  if (key == "gi") return assigned(parse_number(value, kMost, of.gpu_instance));
  if (key == "ci") return assigned(parse_number(value, kMost, of.compute_instance));
  if (key == "profile") return assigned(copy_text(value, line.profile));
  if (key == "old_name") return assigned(parse_flag(value, of.old_name));
  if (key == "uuid") return assigned(parse_uuid(value, device.uuid));
  if (key == "memory") return assigned(parse_number(value, kMaxMib, device.memory_mib));
  if (key == "reserved") return assigned(parse_number(value, kMaxMib, device.reserved_mib));
  if (key == "used") return assigned(parse_number(value, kMaxMib, device.used_mib));
  if (key == "mode") return assigned(parse_compute_mode(value, device.compute_mode));
  if (key == "memory_error") return assigned(parse_error_code(value, device.memory_error));
  if (key == "memory_v2_error") return assigned(parse_error_code(value, device.memory_v2_error));
  if (key == "process_error") return assigned(parse_error_code(value, device.process_error));
  return Assigned::unknown_key;
}

Assigned assign(StaticProcess& process, Text key, Text value) {
  if (key == "gpu") return assigned(parse_gpu_number(value, process.gpu));
  if (key == "instance") return assigned(parse_slot(value, process.slot));
  if (key == "pid") return assigned(parse_number(value, uint32_t{0x7FFFFFFF}, process.pid));
  if (key == "memory") {
    return assigned(parse_memory_or_unknown(value, process.memory_mib, process.memory_unknown));
  }
  if (key == "type") return assigned(parse_process_kind(value, process.kind));
  if (key == "amd") return assigned(parse_gpu_number(value, process.amd));
  if (key == "part") return assigned(parse_number(value, uint32_t{kMaxXcc - 1}, process.part));
  if (key == "queue") return assigned(parse_flag(value, process.queue));
  return Assigned::unknown_key;
}

Assigned assign(LinkLine& link, Text key, Text value) {
  if (key == "gpu") return assigned(parse_gpu_number(value, link.gpu));
  if (key == "to") return assigned(parse_gpu_number(value, link.to));
  if (key == "count") return assigned(parse_number(value, kMaxLinks, link.count));
  return Assigned::unknown_key;
}

template <typename Record>
bool parse_pairs(Line& line, Record& record) {
  while (!line.at_end()) {
    Text key;
    Text value;
    if (!line.pair(key, value)) return false;
    switch (assign(record, key, value)) {
      case Assigned::yes:
        break;
      case Assigned::bad_value:
        return line.fail("bad value for", key);
      case Assigned::unknown_key:
        return line.fail("unknown key", key);
    }
  }
  return true;
}

bool has_uuid(const Machine& machine, const char* uuid) {
  for (int device = next_device(machine, -1); device < kMaxDevices;
       device = next_device(machine, device)) {
    if (strcmp(machine.gpus[device].uuid, uuid) == 0) return true;
  }
  return false;
}

bool parse_instance(Line& line, Machine& machine) {
  if (machine.instance_count == kMaxInstances) return line.fail("more than 128 instance lines");
  InstanceLine parsed;
  set_defaults(machine, parsed);
  if (!parse_pairs(line, parsed)) return false;
  InstanceOf& of = parsed.device.instance_of;
  if (of.gpu >= machine.gpu_count) return line.fail("an instance stands before its gpu line");
  const Gpu& card = machine.gpus[of.gpu];
  if (card.mig != Mig::enabled) return line.fail("an instance of a gpu without mig=1");
  if (of.slot == UINT32_MAX) {
    of.slot = 0;
    while (instance_in_slot(machine, of.gpu, of.slot) != kMaxDevices) ++of.slot;
  }
  if (instance_in_slot(machine, of.gpu, of.slot) != kMaxDevices)
    return line.fail("slot used twice");
  if (has_uuid(machine, parsed.device.uuid)) return line.fail("uuid used twice");
  if (parsed.device.reserved_mib > parsed.device.memory_mib) {
    return line.fail("more reserved than memory");
  }
  snprintf(parsed.device.name, sizeof(parsed.device.name), "%.60s MIG %s", card.name,
           parsed.profile);
  machine.gpus[kMaxGpus + machine.instance_count] = parsed.device;
  ++machine.instance_count;
  return true;
}

bool parse_gpu(Line& line, Machine& machine) {
  if (machine.gpu_count == kMaxGpus) return line.fail("more than 64 gpu lines");
  Gpu& gpu = machine.gpus[machine.gpu_count];
  set_defaults(machine.gpu_count, gpu);
  if (!parse_pairs(line, gpu)) return false;
  if (gpu.reserved_mib > gpu.memory_mib) return line.fail("more reserved than memory");
  if (has_uuid(machine, gpu.uuid)) return line.fail("uuid used twice");
  ++machine.gpu_count;
  return true;
}

bool is_same(const PciAddress& a, const PciAddress& b) {
  return a.domain == b.domain && a.bus == b.bus && a.device == b.device && a.function == b.function;
}

// Behind those of the cards before it.
void set_default_minors(const Machine& machine, AmdCard& card) {
  constexpr uint32_t kFirstRenderMinor = 128;
  uint32_t next = kFirstRenderMinor;
  uint32_t next_card = 0;
  for (int other = 0; other < machine.amd_count; ++other) {
    const AmdCard& before = machine.amd_cards[other];
    const uint32_t minors = minors_of(before);
    if (before.minor + minors > next) next = before.minor + minors;
    if (before.card + minors > next_card) next_card = before.card + minors;
  }
  if (card.minor == kNoMinor) card.minor = next;
  if (card.card == kNoMinor) card.card = next_card;
}

bool overlap(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count) {
  return a < b + b_count && b < a + a_count;
}

bool parse_amd(Line& line, Machine& machine) {
  if (machine.amd_count == kMaxGpus) return line.fail("more than 64 amd lines");
  AmdCard& card = machine.amd_cards[machine.amd_count];
  set_defaults(machine.amd_count, card);
  if (!parse_pairs(line, card)) return false;
  set_default_minors(machine, card);
  if (card.used_mib > card.vram_mib) return line.fail("more used than vram");
  if (parts_of(card) > card.xcc) return line.fail("more partitions than xcc");
  uint32_t parts = parts_of(card);
  for (int other = 0; other < machine.amd_count; ++other) {
    const AmdCard& before = machine.amd_cards[other];
    parts += parts_of(before);
    if (is_same(before.pci, card.pci)) return line.fail("pci used twice");
    if (overlap(before.minor, minors_of(before), card.minor, minors_of(card))) {
      return line.fail("minor used twice");
    }
    if (overlap(before.card, minors_of(before), card.card, minors_of(card))) {
      return line.fail("card used twice");
    }
  }
  if (parts > kMaxGpus) return line.fail("more than 64 partitions of amd cards");
  ++machine.amd_count;
  return true;
}

bool parse_process(Line& line, Machine& machine) {
  if (machine.process_count == kMaxProcesses) return line.fail("more than 1024 process lines");
  StaticProcess& process = machine.processes[machine.process_count];
  process = StaticProcess{};
  process.slot = -1;
  process.line = line.error->line;
  process.gpu = -1;
  process.amd = -1;
  process.queue = true;
  if (!parse_pairs(line, process)) return false;
  if (process.pid == 0) return line.fail("a process needs a pid");
  if (process.gpu >= 0 && process.amd >= 0) return line.fail("a process is on gpu or on amd");
  if (process.amd < 0 && process.gpu < 0) process.gpu = 0;
  ++machine.process_count;
  return true;
}

bool parse_link(Line& line, Machine& machine) {
  if (machine.link_count == kMaxLinkLines) return line.fail("more than 512 link lines");
  LinkLine& link = machine.links[machine.link_count];
  link = LinkLine{.line = line.error->line, .gpu = 0, .to = 0, .count = 1};
  if (!parse_pairs(line, link)) return false;
  if (link.gpu == link.to) return line.fail("a link needs two cards");
  ++machine.link_count;
  return true;
}

bool parse_setting(Line& line, Text keyword, Machine& machine) {
  if (line.at_end()) return line.fail("no value for", keyword);
  const Text value = line.word();
  if (!line.at_end()) return line.fail("more than one value for", keyword);
  bool good = false;
  if (keyword == "driver") {
    good = copy_text(value, machine.driver);
  } else if (keyword == "log") {
    good = copy_text(value, machine.log);
  } else if (keyword == "linger_ms") {
    good = parse_number(value, kMaxMs, machine.linger_ms);
  } else if (keyword == "delay_ms") {
    good = parse_number(value, kMaxMs, machine.delay_ms);
  } else if (keyword == "init_error") {
    good = parse_error_code(value, machine.init_error);
  } else if (keyword == "process_lists") {
    good = parse_process_lists(value, machine.process_lists);
  } else if (keyword == "layouts") {
    machine.old_layouts = value == "old";
    good = machine.old_layouts || value == "new";
  } else if (keyword == "driver_error") {
    good = parse_error_code(value, machine.driver_error);
  } else {
    return line.fail("unknown keyword", keyword);
  }
  return good || line.fail("bad value for", keyword);
}

bool parse_failure(Line& line, Machine& machine) {
  if (machine.failure_count == kMaxFailures) return line.fail("more than 64 fails lines");
  Failure& failure = machine.failures[machine.failure_count];
  if (line.at_end() || !copy_text(line.word(), failure.function)) return line.fail("fails what?");
  if (line.at_end() || !parse_error_code(line.word(), failure.error) || !line.at_end()) {
    return line.fail("expected one error for", failure.function);
  }
  ++machine.failure_count;
  return true;
}

bool parse_line(Line& line, Machine& machine) {
  if (line.at_end()) return true;
  const Text keyword = line.word();
  if (keyword == "gpu") return parse_gpu(line, machine);
  if (keyword == "instance") return parse_instance(line, machine);
  if (keyword == "amd") return parse_amd(line, machine);
  if (keyword == "process") return parse_process(line, machine);
  if (keyword == "link") return parse_link(line, machine);
  if (keyword == "fails") return parse_failure(line, machine);
  return parse_setting(line, keyword, machine);
}

// Finds the instances of processes, which may stand above them.
bool every_process_has_a_device(Machine& machine, MachineError& error) {
  for (int i = 0; i < machine.process_count; ++i) {
    StaticProcess& process = machine.processes[i];
    error.line = process.line;
    if (process.amd >= machine.amd_count) {
      snprintf(error.what, sizeof(error.what), "process on amd %d, of %d amd lines", process.amd,
               machine.amd_count);
      return false;
    }
    if (process.amd >= 0 && process.part >= parts_of(machine.amd_cards[process.amd])) {
      snprintf(error.what, sizeof(error.what), "process on partition %u, of %u", process.part,
               parts_of(machine.amd_cards[process.amd]));
      return false;
    }
    if (process.amd >= 0) continue;
    if (process.gpu >= machine.gpu_count) {
      snprintf(error.what, sizeof(error.what), "process on gpu %d, of %d gpu lines", process.gpu,
               machine.gpu_count);
      return false;
    }
    if (process.slot < 0) continue;
    const int instance =
        instance_in_slot(machine, process.gpu, static_cast<uint32_t>(process.slot));
    if (instance == kMaxDevices) {
      snprintf(error.what, sizeof(error.what), "process on instance %d of gpu %d, which has none",
               process.slot, process.gpu);
      return false;
    }
    process.gpu = instance;
  }
  return true;
}

bool every_link_has_two_devices(const Machine& machine, MachineError& error) {
  for (int i = 0; i < machine.link_count; ++i) {
    const LinkLine& link = machine.links[i];
    const int last = link.gpu > link.to ? link.gpu : link.to;
    if (last < machine.gpu_count) continue;
    error.line = link.line;
    snprintf(error.what, sizeof(error.what), "link of gpu %d, of %d gpu lines", last,
             machine.gpu_count);
    return false;
  }
  return true;
}

bool no_card_has_too_many_links(const Machine& machine, MachineError& error) {
  for (int gpu = 0; gpu < machine.gpu_count; ++gpu) {
    if (links_of(machine, gpu) <= kMaxLinks) continue;
    error.line = 0;
    snprintf(error.what, sizeof(error.what), "more than %u NVLinks of gpu %d",
             static_cast<unsigned>(kMaxLinks), gpu);
    return false;
  }
  return true;
}

}  // namespace

ptrdiff_t read_machine_text(const char* path, char* text, size_t capacity) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -1;
  size_t size = 0;
  ssize_t got = 0;
  while (size < capacity) {
    got = read(fd, text + size, capacity - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  const int read_error = got < 0 ? errno : size == capacity ? EFBIG : 0;
  close(fd);
  if (read_error == 0) return static_cast<ptrdiff_t>(size);
  errno = read_error;
  return -1;
}

bool parse_machine(const char* text, size_t size, Machine& machine, MachineError& error) {
  machine.driver[0] = '\0';
  machine.log[0] = '\0';
  machine.linger_ms = 0;
  machine.delay_ms = 0;
  machine.init_error = 0;
  machine.process_lists = ProcessLists::checked;
  machine.old_layouts = false;
  machine.failure_count = 0;
  machine.driver_error = 0;
  machine.gpu_count = 0;
  machine.instance_count = 0;
  machine.process_count = 0;
  machine.link_count = 0;
  machine.amd_count = 0;
  error = MachineError{};

  const char* at = text;
  const char* end = text + size;
  while (at != end) {
    const char* newline = static_cast<const char*>(memchr(at, '\n', static_cast<size_t>(end - at)));
    const char* line_end = newline != nullptr ? newline : end;
    ++error.line;
    Line line{.at = at, .end = line_end, .error = &error};
    if (!parse_line(line, machine)) return false;
    at = newline != nullptr ? newline + 1 : end;
  }
  return every_process_has_a_device(machine, error) && every_link_has_two_devices(machine, error) &&
         no_card_has_too_many_links(machine, error);
}

uint32_t links_of(const Machine& machine, int gpu) {
  uint32_t links = machine.gpus[gpu].open_links + machine.gpus[gpu].switch_links;
  for (int i = 0; i < machine.link_count; ++i) {
    const LinkLine& line = machine.links[i];
    if (line.gpu == gpu || line.to == gpu) links += line.count;
  }
  return links;
}

FarEnd far_end(const Machine& machine, int gpu, uint32_t link, int& card) {
  uint32_t before = machine.gpus[gpu].open_links;
  if (link < before) return FarEnd::nothing;
  for (int i = 0; i < machine.link_count; ++i) {
    const LinkLine& line = machine.links[i];
    if (line.gpu != gpu && line.to != gpu) continue;
    before += line.count;
    if (link >= before) continue;
    card = line.gpu == gpu ? line.to : line.gpu;
    return FarEnd::card;
  }
  return FarEnd::nvswitch;
}

bool has_device(const Machine& machine, int device) {
  if (device < 0) return false;
  if (device < kMaxGpus) return device < machine.gpu_count;
  return device - kMaxGpus < machine.instance_count;
}

int next_device(const Machine& machine, int device) {
  do {
    ++device;
  } while (device < kMaxDevices && !has_device(machine, device));
  return device;
}

int instance_in_slot(const Machine& machine, int gpu, uint32_t slot) {
  for (int i = 0; i < machine.instance_count; ++i) {
    const InstanceOf& of = machine.gpus[kMaxGpus + i].instance_of;
    if (of.gpu == gpu && of.slot == slot) return kMaxGpus + i;
  }
  return kMaxDevices;
}

bool takes_memory_of(const Machine& machine, int device, int other) {
  if (device == other) return true;
  const InstanceOf& one = machine.gpus[device].instance_of;
  const InstanceOf& two = machine.gpus[other].instance_of;
  if (one.gpu == kNoCard) return two.gpu == device;
  return one.gpu == two.gpu && one.gpu_instance == two.gpu_instance;
}

uint64_t static_use_mib(const Machine& machine, int device) {
  uint64_t listed_mib = 0;
  for (int i = 0; i < machine.process_count; ++i) {
    if (machine.processes[i].gpu == device) listed_mib += machine.processes[i].memory_mib;
  }
  const uint64_t used_mib = machine.gpus[device].used_mib;
  return used_mib > listed_mib ? used_mib : listed_mib;
}

uint64_t amd_static_use_mib(const Machine& machine, int card) {
  uint64_t listed_mib = 0;
  for (int i = 0; i < machine.process_count; ++i) {
    if (machine.processes[i].amd == card) listed_mib += machine.processes[i].memory_mib;
  }
  const uint64_t used_mib = machine.amd_cards[card].used_mib;
  return used_mib > listed_mib ? used_mib : listed_mib;
}

uint32_t parts_of(const AmdCard& card) {
  switch (card.mode) {
    case AmdMode::none:
    case AmdMode::spx:
      return 1;
    case AmdMode::dpx:
      return 2;
    case AmdMode::tpx:
      return 3;
    case AmdMode::qpx:
      return 4;
    case AmdMode::cpx:
      return card.xcc;
  }
  return 1;
}

AmdNodes amd_nodes(const Machine& machine) {
  AmdNodes all{};
  for (int card = 0; card < machine.amd_count; ++card) {
    const AmdCard& amd = machine.amd_cards[card];
    for (uint32_t part = 0; part < parts_of(amd); ++part) {
      // A number like those that KFD makes: of the card and its partition, and nobody else's. Lost
      // cards take part, so that the others' numbers stay as they are.
      const uint64_t place = (uint64_t{amd.pci.domain} << 32) | (amd.pci.bus << 16) |
                             (amd.pci.device << 11) | (amd.pci.function << 8) | part;
      uint32_t gpu_id = static_cast<uint32_t>(scramble(place) & 0xFFFF);
      const auto is_taken = [&] {
        for (int i = 0; i < all.count; ++i) {
          if (all.nodes[i].gpu_id == gpu_id) return true;
        }
        return gpu_id == 0;
      };
      while (is_taken()) gpu_id = (gpu_id + 1) & 0xFFFF;
      all.nodes[all.count++] = {
          .card = card, .part = part, .gpu_id = gpu_id, .minor = amd.minor + part};
    }
  }
  int kept = 0;
  for (int i = 0; i < all.count; ++i) {
    if (!machine.amd_cards[all.nodes[i].card].lost) all.nodes[kept++] = all.nodes[i];
  }
  all.count = kept;
  return all;
}

}  // namespace sim
