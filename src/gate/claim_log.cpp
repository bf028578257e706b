#include "gate/claim_log.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace gpu_gate {
namespace {

constexpr std::size_t kHashDigits = 8;
constexpr std::size_t kEndsOffset = ClaimLog::kDevices * kHashDigits;

/// FNV-1a (draft-eastlake-fnv), 32 bits. Two devices with one hash cost a look more.
std::uint32_t hash(std::string_view text) {
  std::uint32_t value = 2166136261U;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 16777619U;
  return value;
}

}  // namespace

// The text is kept as it is: of its 256 numbers a look needs few, and most looks none.
ClaimLog::ClaimLog() : text_(kTextSize, '0') { put_ends(); }

ClaimLog ClaimLog::parse(std::string_view text) {
  ClaimLog log;
  const Ends ends = parse_ends(text);
  if (ends.noted == 0) return log;
  log.text_ = text.substr(0, kTextSize);
  log.ends_ = ends;
  return log;
}

ClaimLog::Ends ClaimLog::parse_ends(std::string_view text) {
  if (text.size() < kTextSize) return {};
  const char* const end = text.data() + kTextSize;
  const char* const begin = text.data() + kEndsOffset;
  const char* before = begin;
  Ends ends;
  for (std::uint64_t* const number : {&ends.grants, &ends.noted, &ends.last_claim}) {
    if (before == end || *before != (before == begin ? '\n' : ' ')) return {};
    const auto read = std::from_chars(before + 1, end, *number);
    if (read.ec != std::errc{}) return {};
    before = read.ptr;
  }
  return ends;
}

std::uint32_t ClaimLog::hash_at(std::uint64_t n) const {
  const char* begin = text_.data() + n % kDevices * kHashDigits;
  std::uint32_t hash = 0;
  std::from_chars(begin, begin + kHashDigits, hash, 16);
  return hash;
}

void ClaimLog::put_hash(std::uint64_t n, std::uint32_t hash) {
  std::array<char, kHashDigits + 1> digits{};
  std::snprintf(digits.data(), digits.size(), "%08x", hash);
  text_.replace(n % kDevices * kHashDigits, kHashDigits, digits.data());
}

void ClaimLog::put_ends() {
  std::array<char, kTextSize - kEndsOffset + 1> ends{};
  std::snprintf(ends.data(), ends.size(), "\n%020ju %020ju %020ju\n",
                static_cast<std::uintmax_t>(ends_.grants), static_cast<std::uintmax_t>(ends_.noted),
                static_cast<std::uintmax_t>(ends_.last_claim));
  text_.replace(kEndsOffset, kTextSize - kEndsOffset, ends.data());
}

void ClaimLog::note(const std::vector<std::string>& uuids, std::uint64_t grants, Ticket ticket) {
  if (ends_.grants + 1 != grants) ends_.noted += kDevices + 1;  // more than anybody looks back
  for (const std::string& uuid : uuids) put_hash(ends_.noted++, hash(uuid));
  ends_.grants = grants;
  ends_.last_claim = ticket;
  put_ends();
}

std::optional<std::size_t> ClaimLog::claims_since(const ClaimMark& mark, std::uint64_t grants,
                                                  std::string_view uuid) const {
  if (grants == mark.grants) return 0;
  if (grants != ends_.grants) return std::nullopt;
  const std::uint64_t since = ends_.noted - mark.noted;
  if (since > kDevices) return std::nullopt;
  const std::uint32_t wanted = hash(uuid);
  std::size_t count = 0;
  for (std::uint64_t i = 1; i <= since; ++i) {
    if (hash_at(ends_.noted - i) == wanted) ++count;
  }
  return count;
}

}  // namespace gpu_gate
