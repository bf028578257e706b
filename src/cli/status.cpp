#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "cli/acquire.h"
#include "cli/board.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"

namespace gpu_gate {

Status status_command(const Options& options) {
  Result<std::optional<LockDir>> dir = LockDir::open_existing(lock_dir_places());
  if (!dir) return fail(dir.error());
  const Result<Snapshot> snapshot = gpu_source()->read();
  if (!snapshot) return fail(snapshot.error());
  std::optional<Ledger> ledger;
  if (*dir) ledger.emplace(**dir);
  const Result<Board> board = make_board(*snapshot, ledger ? &*ledger : nullptr);
  if (!board) return fail(explain_lock_error(board.error(), (*dir)->path()));

  const char* no_colour = std::getenv("NO_COLOR");  // no-color.org: set and not empty
  BoardStyle style;
  style.colour = ::isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
  style.now = std::time(nullptr);
  return print(options.json ? status_json(*board) : board_text(*board, style));
}

}  // namespace gpu_gate
