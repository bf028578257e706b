#include "base/env.h"

#include <cstring>

namespace gpu_gate {

std::optional<std::string> env_variable(const char* const* environment, const char* name) {
  const std::size_t length = std::strlen(name);
  for (; *environment != nullptr; ++environment) {
    if (std::strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
      return std::string(*environment + length + 1);
    }
  }
  return std::nullopt;
}

std::optional<std::string> env_setting(const char* const* environment, const char* name) {
  std::optional<std::string> value = env_variable(environment, name);
  if (value && value->empty()) value.reset();
  return value;
}

}  // namespace gpu_gate
