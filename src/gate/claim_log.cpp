#include "gate/claim_log.h"

#include <charconv>
#include <cstdio>

namespace gpu_gate {
namespace {

constexpr std::size_t kHashDigits = 8;

/// FNV-1a (draft-eastlake-fnv), 32 bits. Two devices with one hash cost a look more.
std::uint32_t hash(std::string_view text) {
  std::uint32_t value = 2166136261U;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 16777619U;
  return value;
}

}  // namespace

ClaimLog ClaimLog::parse(std::string_view text) {
  ClaimLog log;
  if (text.size() < kTextSize) return log;
  for (std::size_t i = 0; i < kDevices; ++i) {
    const char* begin = text.data() + i * kHashDigits;
    std::from_chars(begin, begin + kHashDigits, log.hashes_[i], 16);
  }
  const char* end = text.data() + kTextSize;
  const char* begin = text.data() + kDevices * kHashDigits + 1;
  const auto first = std::from_chars(begin, end, log.grants_);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ' ') return ClaimLog();
  if (std::from_chars(first.ptr + 1, end, log.noted_).ec != std::errc{}) return ClaimLog();
  return log;
}

std::string ClaimLog::text() const {
  std::string text(kTextSize + 1, '\0');
  char* at = text.data();
  // By hand, since it is written under the mutex, and snprintf would take 10 us for all of them.
  for (const std::uint32_t hash : hashes_) {
    for (int shift = 28; shift >= 0; shift -= 4) *at++ = "0123456789abcdef"[hash >> shift & 15U];
  }
  std::snprintf(at, text.size() - kDevices * kHashDigits, "\n%020ju %020ju\n",
                static_cast<std::uintmax_t>(grants_), static_cast<std::uintmax_t>(noted_));
  text.pop_back();
  return text;
}

void ClaimLog::note(const std::vector<std::string>& uuids, std::uint64_t grants) {
  if (grants_ + 1 != grants) noted_ += kDevices + 1;  // more than anybody looks back
  for (const std::string& uuid : uuids) hashes_[noted_++ % kDevices] = hash(uuid);
  grants_ = grants;
}

std::optional<std::size_t> ClaimLog::claims_since(const ClaimMark& mark, std::uint64_t grants,
                                                  std::string_view uuid) const {
  if (grants == mark.grants) return 0;
  if (grants != grants_) return std::nullopt;
  const std::uint64_t since = noted_ - mark.noted;
  if (since > kDevices) return std::nullopt;
  const std::uint32_t wanted = hash(uuid);
  std::size_t count = 0;
  for (std::uint64_t i = 1; i <= since; ++i) {
    if (hashes_[(noted_ - i) % kDevices] == wanted) ++count;
  }
  return count;
}

}  // namespace gpu_gate
