#include "cli/columns.h"

#include <langinfo.h>

#include <algorithm>
#include <clocale>
#include <cwchar>

namespace gpu_gate {
namespace {

/// The bytes of the UTF-8 character at the start of a text (not empty).
std::size_t character_bytes(std::string_view text) {
  std::size_t bytes = 1;
  while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) ++bytes;
  return bytes;
}

std::size_t character_columns(std::string_view character) {
  std::mbstate_t state{};
  wchar_t wide = 0;
  const std::size_t bytes = std::mbrtowc(&wide, character.data(), character.size(), &state);
  const int width = bytes == character.size() ? ::wcwidth(wide) : 1;
  return static_cast<std::size_t>(width < 0 ? 1 : width);
}

}  // namespace

bool use_locale_characters() {
  return std::setlocale(LC_CTYPE, "") != nullptr &&
         std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
}

std::size_t columns(std::string_view text) {
  std::size_t sum = 0;
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    sum += character_columns(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return sum;
}

std::string cut(const std::string& text, std::size_t width, std::string_view ellipsis) {
  if (columns(text) <= width) return text;
  const std::string_view end = ellipsis.substr(0, columns(ellipsis) <= width ? ellipsis.npos : 0);
  std::size_t left = width - columns(end);
  std::string_view rest = text;
  std::string result;
  while (!rest.empty()) {
    const std::string_view character = rest.substr(0, character_bytes(rest));
    const std::size_t wide = character_columns(character);
    if (wide > left) break;
    left -= wide;
    result += character;
    rest.remove_prefix(character.size());
  }
  return result.append(end);
}

std::string in_ascii(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    result += static_cast<unsigned char>(text[0]) < 0x80 ? text[0] : '?';
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace gpu_gate
