#pragma once

#include <string>
#include <vector>

#include "cli/board_text.h"
#include "cli/options.h"
#include "gate/waiter.h"
#include "gpu/source.h"
#include "report/board.h"

namespace gpu_gate {

/// The whole program: reads the words after its name, does what they say, returns the exit code.
int run_cli(const std::vector<std::string>& words);

/// One subcommand each. run returns only if the command could not be started.
Status run_command(const Options& options);
Status wait_command(const Options& options);
Status hold_command(const Options& options);
Status status_command(const Options& options);
Status queue_command(const Options& options);
Status cancel_command(const Options& options);
Status history_command(const Options& options);
Status doctor_command(const Options& options);

/// status --on slurm. Errors: gpu_state where Slurm cannot be asked.
Status slurm_status_command(const Options& options);

/// A board as standard output takes it. Sets the locale (use_locale_characters).
BoardStyle style_of_stdout();

/// status --watch. Returns where the user has ended it. Errors: as status, at the first look.
Status watch_board(const Options& options, GpuSource& source);

/// The result of wait and hold on stdout, as the options ask for it.
Status print_devices(const Options& options, const Granted& granted);

/// The text of --help for the program ("") or a subcommand.
std::string help_text(const std::string& topic);

}  // namespace gpu_gate
