#pragma once

#include <tl/expected.hpp>

#include "base/error.h"

namespace gpu_gate {

/// A value or the Error that prevented it. Nobody may drop one unread.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

inline tl::unexpected<Error> fail(ErrorKind kind, std::string text, int errnum = 0) {
  return fail(Error{.kind = kind, .text = std::move(text), .errnum = errnum});
}

}  // namespace gpu_gate
