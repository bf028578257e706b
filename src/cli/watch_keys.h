#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_gate {

/// What the user has chosen to see of the live board.
struct WatchChoice {
  bool mine = false;     // nothing of others
  bool whole = false;    // whole commands
  bool frozen = false;   // as it was
  bool legend = false;   // what the words mean, instead of the board
  std::size_t from = 0;  // scrolled down by so much

  friend bool operator==(const WatchChoice&, const WatchChoice&) = default;
};

enum class Key {
  quit,
  mine,
  whole,
  freeze,
  legend,
  up,
  down,
  page_up,
  page_down,
  home,
  end,
  other
};

/// The keys in what a terminal has sent; `bytes` keeps the beginning of one that is not whole yet.
/// Escape sequences by ECMA-48, with the arrows of both cursor key modes.
std::vector<Key> take_keys(std::string& bytes);

/// What a key makes of the choice. `last`: how far it can be scrolled down; `page`: by how much at
/// once. (The key that ends it changes nothing.)
WatchChoice after_key(Key key, WatchChoice choice, std::size_t last, std::size_t page);

}  // namespace gpu_gate
