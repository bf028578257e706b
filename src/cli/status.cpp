#include <unistd.h>

#include <ctime>

#include "base/env.h"
#include "cli/acquire.h"
#include "cli/board_text.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "cli/metrics_text.h"
#include "cli/notices.h"
#include "report/board.h"

namespace gpu_gate {

BoardStyle style_of_stdout() {
  BoardStyle style{.colour = takes_escapes(STDOUT_FILENO) && !env_setting(environ, env::kNoColor),
                   .now = std::time(nullptr)};
  const bool utf8 = use_locale_characters();
  if (::isatty(STDOUT_FILENO) == 1) {
    style.utf8 = utf8;
    style.width = terminal_width(STDOUT_FILENO);
  }
  return style;
}

namespace {

std::string text_of_board(const Options& options, const Board& board) {
  if (options.metrics) return metrics_text(board, std::time(nullptr));
  return options.json ? status_json(board) : board_text(board, style_of_stdout());
}

}  // namespace

Status status_command(const Options& options) {
  const Result<std::unique_ptr<GpuSource>> chosen = gpu_source_for(options);
  if (!chosen) return fail(chosen.error());
  GpuSource& source = **chosen;
  if (options.watch) return watch_board(options, source);
  const Result<LockDir> dir = LockDir::open_existing(lock_dir_paths());
  if (!dir) return fail(dir.error());
  const Result<Snapshot> snapshot = source.read();
  Result<Board> board = make_board(snapshot, *dir);
  if (!board) return fail(board.error());
  board->driver_kept_open = !board->waiters.empty() && source.needs_open();
  const bool for_people = !options.json && !options.metrics;
  if (for_people && dir->root() >= 0) say(lock_dir_notice(*dir));
  Status printed = print(text_of_board(options, *board));
  if (!printed) return printed;
  if (!snapshot) return fail(snapshot.error());
  return {};
}

}  // namespace gpu_gate
