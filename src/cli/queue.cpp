#include <ctime>

#include "cli/acquire.h"
#include "cli/board_text.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "report/board.h"

namespace gpu_gate {

Status queue_command(const Options& options) {
  const Result<LockDir> dir = LockDir::open_existing(lock_dir_paths());
  if (!dir) return fail(dir.error());
  const Result<std::unique_ptr<GpuSource>> source = gpu_source_for(options);
  if (!source) return fail(source.error());
  const Result<Snapshot> snapshot = (*source)->read();
  const Result<Board> board = make_board(snapshot, *dir);
  if (!board) return fail(board.error());
  Status printed = print(options.json ? queue_json(*board, std::time(nullptr))
                                      : queue_text(*board, style_of_stdout()));
  if (!printed) return printed;
  if (!snapshot) return fail(snapshot.error());
  return {};
}

}  // namespace gpu_gate
