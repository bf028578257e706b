#include "cli/watch_keys.h"

#include <algorithm>
#include <utility>

namespace gpu_gate {
namespace {

constexpr char kEscape = '\x1b';

Key key_of_letter(char letter) {
  switch (letter) {
    case 'q':
    case 'Q':
    case '\x03':  // Ctrl-C, where the terminal makes no signal of it
      return Key::quit;
    case 'm':
      return Key::mine;
    case 'w':
      return Key::whole;
    case ' ':
      return Key::freeze;
    case '?':
    case 'h':
      return Key::legend;
    case 'k':
      return Key::up;
    case 'j':
      return Key::down;
    default:
      return Key::other;
  }
}

/// "A" or "5~": what stands at the end of a sequence.
Key key_of_sequence(std::string_view end) {
  constexpr std::pair<std::string_view, Key> kKnown[] = {
      {"A", Key::up},   {"B", Key::down},  {"5~", Key::page_up}, {"6~", Key::page_down},
      {"H", Key::home}, {"1~", Key::home}, {"7~", Key::home},    {"F", Key::end},
      {"4~", Key::end}, {"8~", Key::end}};
  for (const auto& [known, key] : kKnown) {
    if (end == known) return key;
  }
  return Key::other;
}

/// The bytes of the sequence at the start of a text; 0: it is not whole.
std::size_t sequence_bytes(std::string_view text) {
  if (text.size() < 2) return 0;
  if (text[1] != '[' && text[1] != 'O') return 1;  // the key Escape, or Alt and another
  for (std::size_t at = 2; at < text.size(); ++at) {
    if (text[at] >= 0x40 && text[at] <= 0x7E) return at + 1;
  }
  return 0;
}

std::size_t less(std::size_t number, std::size_t by) { return number - std::min(number, by); }

}  // namespace

std::vector<Key> take_keys(std::string& bytes) {
  std::vector<Key> keys;
  constexpr std::size_t kLongest = 32;
  while (!bytes.empty()) {
    if (bytes[0] != kEscape) {
      keys.push_back(key_of_letter(bytes[0]));
      bytes.erase(0, 1);
      continue;
    }
    const std::size_t length = sequence_bytes(bytes);
    if (length == 0) {
      if (bytes.size() > kLongest) bytes.clear();  // no key at all
      break;
    }
    keys.push_back(length < 3 ? Key::other
                              : key_of_sequence(std::string_view(bytes).substr(2, length - 2)));
    bytes.erase(0, length);
  }
  return keys;
}

WatchChoice after_key(Key key, WatchChoice choice, std::size_t last, std::size_t page) {
  const bool closes_legend = choice.legend;
  choice.legend = false;
  switch (key) {
    case Key::mine:
      choice.mine = !choice.mine;
      choice.from = 0;
      break;
    case Key::whole:
      choice.whole = !choice.whole;
      break;
    case Key::freeze:
      choice.frozen = !choice.frozen;
      break;
    case Key::legend:
      choice.legend = !closes_legend;
      break;
    case Key::up:
      choice.from = less(choice.from, 1);
      break;
    case Key::down:
      choice.from += 1;
      break;
    case Key::page_up:
      choice.from = less(choice.from, page);
      break;
    case Key::page_down:
      choice.from += page;
      break;
    case Key::home:
      choice.from = 0;
      break;
    case Key::end:
      choice.from = last;
      break;
    case Key::quit:
    case Key::other:
      break;
  }
  choice.from = std::min(choice.from, last);
  return choice;
}

}  // namespace gpu_gate
