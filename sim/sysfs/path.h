// Where things stand in the tree of amd_tree.h.
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "machine.h"

namespace sim {

// A text made as with printf, cut off where it is too long.
struct Path {
  char text[512];

  [[gnu::format(printf, 2, 3)]] explicit Path(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
  }
  operator const char*() const { return text; }  // NOLINT(google-explicit-constructor)
};

inline Path address_of(const PciAddress& pci) {
  return Path("%04x:%02x:%02x.%x", pci.domain, pci.bus, pci.device, pci.function);
}

// Of a card's files, those that jobs change are links to here, where any user may replace them.
inline Path values_of(const AmdCard& card) {
  const Path address = address_of(card.pci);
  return Path("sys/values/%s", address.text);
}

}  // namespace sim
