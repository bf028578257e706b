#include "cluster/site_table.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/env.h"
#include "base/printable.h"
#include "base/process.h"

namespace gpu_gate {
namespace {

constexpr const char* kDefaultFile = "/etc/gpu-gate/slurm.toml";
constexpr std::size_t kMaxTableBytes = 65536;
constexpr std::string_view kSection = "memory_mb";
constexpr std::string_view kPrefer = "prefer";

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

/// As Slurm takes it in --gpus=TYPE:N.
bool is_type_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char c) { return is_key_character(c) || c == '.'; });
}

/// Reads the one document.
class TableReader {
 public:
  TableReader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Result<SiteTable> read() {
    while (at_ < text_.size()) {
      if (Status line = read_line(); !line) return fail(line.error());
    }
    if (table_.types.empty()) {
      return refused("there is no type under [memory_mb]; write one, as in h100 = 81559");
    }
    for (const auto& [name, line] : preferred_) {
      if (find(name) == table_.types.end()) {
        line_ = line;
        return refused("prefer names " + in_quotes(name) + ", which is not under [memory_mb]");
      }
      table_.prefer.push_back(name);
    }
    return std::move(table_);
  }

 private:
  tl::unexpected<Error> refused(const std::string& what) const {
    return fail(ErrorKind::usage, printable(file_) + ":" + std::to_string(line_) + ": " + what);
  }

  static std::string in_quotes(std::string_view text) { return "'" + printable(text) + "'"; }

  std::vector<SiteTable::Type>::const_iterator find(std::string_view name) const {
    return std::find_if(table_.types.begin(), table_.types.end(),
                        [&](const SiteTable::Type& type) { return type.name == name; });
  }

  bool at_end() const { return at_ == text_.size(); }
  char here() const { return at_end() ? '\0' : text_[at_]; }
  bool at_line_end() const { return at_end() || here() == '\n' || text_.substr(at_, 2) == "\r\n"; }

  void skip_blanks() {
    while (here() == ' ' || here() == '\t') ++at_;
  }

  /// The rest of a line, which may be a comment, and its end.
  Status end_line() {
    skip_blanks();
    if (here() == '#') {
      const std::size_t begin = at_;
      while (!at_line_end()) ++at_;
      std::string comment(text_.substr(begin, at_ - begin));
      std::replace(comment.begin(), comment.end(), '\t', ' ');
      if (printable(comment) != comment) {
        return refused("the comment has characters that are not UTF-8, or cannot be seen");
      }
    }
    if (!at_line_end()) return refused(in_quotes(rest_of_line()) + " is too much here");
    at_ += at_end() ? 0 : here() == '\r' ? 2 : 1;
    ++line_;
    return {};
  }

  std::string_view rest_of_line() const {
    const std::string_view rest = text_.substr(at_);
    return rest.substr(0, rest.find_first_of("\r\n"));
  }

  Status read_line() {
    skip_blanks();
    if (at_line_end() || here() == '#') return end_line();
    if (here() == '[') return read_section();
    Result<std::string> key = read_key();
    if (!key) return fail(key.error());
    skip_blanks();
    if (here() != '=') return refused("there is no = behind " + in_quotes(*key));
    ++at_;
    skip_blanks();
    Status value = *key == kPrefer ? read_prefer() : read_memory(*key);
    return value ? end_line() : value;
  }

  Status read_section() {
    ++at_;
    skip_blanks();
    const Result<std::string> name = read_key();
    if (!name) return fail(name.error());
    skip_blanks();
    if (*name != kSection || here() != ']') {
      return refused("the one section that there may be is [memory_mb]");
    }
    ++at_;
    if (std::exchange(in_section_, true)) return refused("[memory_mb] is there twice");
    return end_line();
  }

  /// Bare or in quotes. (A string on several lines, '''...''', is none.)
  Result<std::string> read_key() {
    if (here() == '"' || here() == '\'') return read_string();
    const std::size_t begin = at_;
    while (is_key_character(here())) ++at_;
    if (at_ == begin) {
      return refused(in_quotes(rest_of_line()) +
                     " is neither [memory_mb], nor a type and its MiB, nor prefer");
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  Result<std::string> read_string() {
    const char quote = here();
    const std::size_t begin = ++at_;
    while (!at_line_end() && here() != quote) ++at_;
    const std::string_view inside = text_.substr(begin, at_ - begin);
    if (at_line_end()) return refused("a string has no closing quote");
    ++at_;
    if (!is_type_name(inside)) {
      return refused(in_quotes(inside) +
                     " is not the name of a type; it has letters, digits, _, - and . only");
    }
    return std::string(inside);
  }

  Status read_memory(const std::string& type) {
    if (!in_section_) return refused(in_quotes(type) + " must stand under [memory_mb]");
    if (find(type) != table_.types.end()) return refused(in_quotes(type) + " is there twice");
    const std::size_t begin = at_;
    while (is_key_character(here()) || here() == '.' || here() == '+') ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    const std::int64_t mib = whole_mib(word);
    if (mib == 0) {
      return refused(in_quotes(word.empty() ? rest_of_line() : word) +
                     " is not a number of MiB, as in " + type + " = 81559");
    }
    table_.types.push_back({.name = type, .memory_mib = mib});
    return {};
  }

  /// "81559", "81_559"; 0 where it is none, and for what is more than any GPU has.
  static std::int64_t whole_mib(std::string_view word) {
    std::string digits;
    for (std::size_t i = 0; i < word.size(); ++i) {
      const bool between = i > 0 && i + 1 < word.size() && word[i - 1] != '_';
      if (word[i] == '_' && between) continue;
      digits += word[i];
    }
    std::int64_t mib = 0;
    constexpr std::size_t kMostDigits = 12;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), mib);
    const bool whole = problem == std::errc{} && end == digits.data() + digits.size();
    return whole && digits.front() != '0' && digits.front() != '-' && digits.size() <= kMostDigits
               ? mib
               : 0;
  }

  /// Blanks, ends of lines and comments between the items of a list.
  Status skip_between_items() {
    for (skip_blanks(); !at_end() && (at_line_end() || here() == '#'); skip_blanks()) {
      if (Status line = end_line(); !line) return line;
    }
    return {};
  }

  Status read_prefer() {
    if (std::exchange(has_prefer_, true)) return refused("prefer is there twice");
    if (here() != '[') return refused("prefer is a list, as in prefer = [\"h100\", \"l40s\"]");
    ++at_;
    for (;;) {
      if (Status skipped = skip_between_items(); !skipped) return skipped;
      if (here() == ']') break;
      if (here() != '"' && here() != '\'') return not_in_list();
      const int line = line_;
      Result<std::string> name = read_string();
      if (!name) return fail(name.error());
      preferred_.emplace_back(*std::move(name), line);
      if (Status skipped = skip_between_items(); !skipped) return skipped;
      if (here() == ']') break;
      if (here() != ',') return not_in_list();
      ++at_;
    }
    ++at_;
    return {};
  }

  tl::unexpected<Error> not_in_list() const {
    if (at_end()) return refused("the list of prefer has no end");
    return refused(in_quotes(rest_of_line()) + " does not belong into a list of names in quotes");
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool in_section_ = false;
  bool has_prefer_ = false;
  std::vector<std::pair<std::string, int>> preferred_;  // and where each stands
  SiteTable table_;
};

}  // namespace

Result<SiteTable> parse_site_table(std::string_view text, const std::string& file) {
  return TableReader(text, file).read();
}

Result<std::optional<SiteTable>> read_site_table(const char* const* environment) {
  const std::optional<std::string> chosen = env_setting(environment, env::kSlurmTable);
  const std::string file = chosen.value_or(kDefaultFile);
  const std::optional<std::string> text = read_small_file(file, kMaxTableBytes);
  if (!text) {
    const int errnum = errno;
    if (!chosen && errnum == ENOENT) return std::optional<SiteTable>();
    return fail(ErrorKind::usage, printable(file) + ": " + std::strerror(errnum) +
                                      (chosen ? " (GPU_GATE_SLURM)" : ""));
  }
  if (text->size() == kMaxTableBytes) {
    return fail(ErrorKind::usage, printable(file) + ": it is larger than 64 KiB");
  }
  Result<SiteTable> table = parse_site_table(*text, file);
  if (!table) return fail(table.error());
  return std::optional(*std::move(table));
}

Result<std::string> type_with_memory(const SiteTable& table, std::int64_t mib) {
  const auto place = [&](const SiteTable::Type& type) {
    return std::find(table.prefer.begin(), table.prefer.end(), type.name) - table.prefer.begin();
  };
  const SiteTable::Type* best = nullptr;
  bool all = true;
  std::string types;
  for (const SiteTable::Type& type : table.types) {
    types +=
        (types.empty() ? "" : ", ") + type.name + " " + std::to_string(type.memory_mib) + " MiB";
    if (type.memory_mib < mib) {
      all = false;
      continue;
    }
    if (best == nullptr ||
        std::tuple(place(type), type.memory_mib) < std::tuple(place(*best), best->memory_mib)) {
      best = &type;
    }
  }
  if (best == nullptr) {
    return fail(ErrorKind::impossible,
                std::to_string(mib) +
                    " MiB asked for on each GPU, and no type of GPU here has so much: " + types);
  }
  return all ? "" : best->name;
}

}  // namespace gpu_gate
