// What anybody may have put into the directory of the history, to the text, the table and the
// picture.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cli/history_text.h"
#include "history/journal.h"
#include "history/past_claims.h"
#include "history/picture.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_gate;
  History history;
  read_lines({reinterpret_cast<const char*>(data), size}, 7, history);
  constexpr std::int64_t kNowMs = 1'800'000'000'000;
  HistoryView view{.span = {.from_ms = 0, .to_ms = kNowMs},
                   .now_ms = kNowMs,
                   .claims = {},
                   .all = past_claims(std::move(history.entries),
                                      {.now_ms = kNowMs,
                                       .boot = {.id = "this", .began_ms = 1},
                                       .lives = [](const HistoryEntry&) { return false; }}),
                   .user_name = [](uid_t) { return std::string("alice"); }};
  view.claims = view.all;
  history_text(view);
  history_jobs_text(view, 80);
  picture_svg({.span = view.span,
               .now_ms = view.now_ms,
               .claims = view.claims,
               .all = view.all,
               .user_name = view.user_name});
  return 0;
}
