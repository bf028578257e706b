#include "cli/tables.h"

#include <algorithm>
#include <cctype>

#include "base/printable.h"
#include "cli/meant_value.h"
#include "cli/values.h"
#include "gate/record.h"

namespace gpu_gate {
namespace {

constexpr std::chrono::nanoseconds kMinPoll = std::chrono::milliseconds(50);

constexpr VerbRow kVerbs[] = {
    {.verb = Verb::run,
     .name = "run",
     .synopsis = "[options] -- COMMAND [ARG ...]",
     .purpose = "wait, claim, run the command",
     .help = "Waits for free GPUs, claims them, and becomes the command.",
     .details = R"(
The command gets CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER=PCI_BUS_ID,
GPU_GATE_INDICES, GPU_GATE_UUIDS and GPU_GATE_CLAIM; with --share also
GPU_GATE_SHARE_MB and, as a part of the GPU's memory (0.173),
GPU_GATE_SHARE_FRACTION. For AMD GPUs it gets ROCR_VISIBLE_DEVICES. It is the
same process, with the same terminal and exit status.
)"},
    {.verb = Verb::wait,
     .name = "wait",
     .synopsis = "[options]",
     .purpose = "wait, print, claim nothing",
     .help = "Waits in the same line for free GPUs and prints them, as in 0,2.",
     .details = R"(
It claims nothing: somebody else may take them before you do. Prefer gpu-gate
run. With --json it prints
{"indices":[0,2],"uuids":[...],"cuda_visible_devices":"0,2"}.
)"},
    {.verb = Verb::hold,
     .name = "hold",
     .synopsis = "[options]",
     .purpose = "claim for another process",
     .help = "Claims free GPUs, prints them as wait does, and holds them for another process.",
     .details = R"help(
With --pid it holds in the background until that process ends. With --for it
holds for that long, or until it is interrupted (Ctrl-C, kill). With neither it
holds until its standard input, the pipe from its owner, ends.

Example, in a shell or a tmux pane that keeps its GPU:
  eval "$(gpu-gate hold --export --pid $$)"
In a script, write || exit behind it. In that shell gpu-gate run hands out the
shell's own GPUs.
)help"},
    {.verb = Verb::status,
     .name = "status",
     .synopsis = "[options]",
     .purpose = "who holds each GPU, who waits",
     .help = "Shows every GPU, who holds it, and who waits.",
     .details = R"(
"no claim" marks a process that uses a GPU without gpu-gate. With --json it
prints a list with an object for each GPU, with --metrics a page for Prometheus.
--watch stays and shows it anew: a board that fills the terminal, with the line,
and graphs of the last minutes.
)"},
    {.verb = Verb::queue,
     .name = "queue",
     .synopsis = "[--json]",
     .purpose = "who waits, in order of turns",
     .help = "Shows who waits, in the order of turns.",
     .details = R"(
The order changes with every claim: next is the user who holds fewest GPUs. With
--json it prints a list with an object for each request, and in "reason" why it
waits.
)"},
    {.verb = Verb::cancel,
     .name = "cancel",
     .synopsis = "[PID ...]",
     .purpose = "end your waits, never a job",
     .help = "Ends requests of yours that wait: all of them, or those you name.",
     .details = R"(
The process IDs are those that status and queue show. A job that runs is never
ended: kill does that. root may name the requests of others. Exit status 1: a
request could not be ended, or there was none.
)",
     .takes_pids = true},
    {.verb = Verb::history,
     .name = "history",
     .synopsis = "[options]",
     .purpose = "who used how much",
     .help = "Shows who used the GPUs through gpu-gate, and how much.",
     .details = R"(
It is kept where the directory /var/lib/gpu-gate exists; to begin one:
  sudo install -d -m 1777 /var/lib/gpu-gate
GPU_GATE_HISTORY names another one. What counts is each claim that overlaps the
time asked for.
)"},
    {.verb = Verb::doctor,
     .name = "doctor",
     .synopsis = "[--json]",
     .purpose = "what is wrong here, what helps",
     .help = "Tells what makes gpu-gate or GPU jobs fail on this machine, and what helps.",
     .details = R"(
Below each fault or note there is a line to paste into a shell. doctor itself
changes nothing. Exit status 1: there are faults. With --json it prints an
object with lock_directory and findings, a list of level, subject, what, remedy.
)"},
    {.verb = Verb::help,
     .name = "help",
     .synopsis = "[SUBCOMMAND]",
     .purpose = "help on a subcommand"},
};

constexpr GroupRow kGroups[] = {
    {.group = Group::choice,
     .title = "Which GPUs",
     .note =
         "LIST has items separated by commas: an index (2), a range (0-3), a UUID or the start "
         "of one (GPU-3f2a, MIG-...), a PCI address (0000:17:00.0), an instance of a GPU in MIG "
         "mode (0:1) or all of them (0:*). An index is the position in PCI bus order, as "
         "nvidia-smi shows it. M is a number of MiB, or one with a unit: 8000, 8000M, "
         "8G, 7.5GiB (powers of 1024)."},
    {.group = Group::waiting,
     .title = "Waiting",
     .note = "T is a number of seconds, or numbers with units: 90, 0.5s, 500ms, 45m, 2h, 1h30m, "
             "1d."},
    {.group = Group::holding, .title = "Holding"},
    {.group = Group::past,
     .title = "Which claims",
     .note = "T is so long ago (90, 45m, 2h, 7d); DATE is YYYY-MM-DD, where that day begins, or "
             "\"YYYY-MM-DD HH:MM\"."},
    {.group = Group::result, .title = "Result"},
    {.group = Group::cluster,
     .title = "On a Slurm cluster",
     .note = "Slurm's own line and limits hold there, and it gives whole GPUs of one node."},
    {.group = Group::other, .title = "Other"},
};

constexpr VerbSet kWaiters = verb_set({Verb::run, Verb::wait, Verb::hold});
/// Those that look at the GPUs and stand in no line.
constexpr VerbSet kViews = verb_set({Verb::status, Verb::queue, Verb::doctor});
constexpr const char* kTime =
    "seconds, or a number and a unit (90, 0.5s, 500ms, 45m, 2h, 1h30m, 1d)";
constexpr const char* kMoment =
    "how long ago (45m, 2h, 7d), or a date (YYYY-MM-DD or \"YYYY-MM-DD HH:MM\")";
constexpr const char* kSize = "MiB, or a number and a unit (8000, 8000M, 8G, 7.5GiB)";
constexpr const char* kVendors = "nvidia or amd";
constexpr const char* kList =
    "indices (2), ranges (0-3), instances (0:1, 0:*), UUIDs (GPU-3f2a...) or PCI addresses "
    "(0000:17:00.0), separated by commas";

template <class Target, class Value>
Status assign(Target& target, Result<Value> value) {
  if (!value) return fail(value.error());
  target = std::move(*value);
  return {};
}

Result<std::vector<GpuRef>> gpu_list(const std::string& text) {
  if (text.find_first_not_of(" \t") == std::string::npos) {
    return fail(ErrorKind::usage, "the list is empty");
  }
  Result<std::vector<GpuRef>> list = parse_gpu_list(text);
  if (list) return list;
  const std::string& item = list.error().text;  // in quotes, or "an empty item"
  return fail(ErrorKind::usage,
              (item == quoted(text) ? item : item + " in " + quoted(text)) + " is not a GPU");
}

/// "10", "10%".
Result<int> percent_value(const std::string& text) {
  const std::string number = text.substr(0, text.size() - (text.ends_with('%') ? 1 : 0));
  Result<int> percent = whole_number<int>(number, {.max = 100});
  if (percent) return percent;
  const std::string problem = percent.error().text.substr(quoted(number).size());
  return fail(ErrorKind::usage, quoted(text) + problem);
}

/// A word in another case, or in the plural.
std::string meant_word(const std::string& text) {
  std::string word = text;
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (word.ends_with('s')) word.pop_back();
  return word;
}

Result<Ids> ids_value(const std::string& text) {
  if (text == "index") return Ids::index;
  if (text == "uuid") return Ids::uuid;
  return fail(ErrorKind::usage, quoted(text) + " is not known");
}

Result<Vendor> vendor_value(const std::string& text) {
  if (const std::optional<Vendor> vendor = vendor_of_word(text)) return *vendor;
  return fail(ErrorKind::usage, quoted(text) + " is not known");
}

Result<std::string> note_value(const std::string& text) {
  if (first_characters(text, kMaxNoteCharacters).size() == text.size()) return text;
  return fail(ErrorKind::usage,
              "the text is longer than " + std::to_string(kMaxNoteCharacters) + " characters");
}

Result<std::chrono::nanoseconds> poll_value(const std::string& text) {
  Result<std::chrono::nanoseconds> poll = time_value(text);
  if (poll) *poll = std::max(*poll, kMinPoll);
  return poll;
}

/// Of --watch; "" where nothing is said.
Result<std::chrono::nanoseconds> watch_value(const std::string& text) {
  Result<std::chrono::nanoseconds> interval = time_value(text.empty() ? "1" : text);
  if (interval) *interval = std::max(*interval, kMinPoll);
  return interval;
}

Status read_on(Options& options, const std::string& value) {
  if (value != "slurm") return fail(ErrorKind::usage, quoted(value) + " is not known");
  options.on_slurm = true;
  return {};
}

/// Adds to those of an earlier --slurm-args.
Status read_slurm_args(Options& options, const std::string& value) {
  constexpr std::string_view kBlanks = " \t\n";
  std::vector<std::string> words;
  for (auto at = value.find_first_not_of(kBlanks); at != std::string::npos;) {
    const auto end = std::min(value.find_first_of(kBlanks, at), value.size());
    words.push_back(value.substr(at, end - at));
    at = value.find_first_not_of(kBlanks, end);
  }
  if (words.empty() || !words.front().starts_with('-')) {
    return fail(ErrorKind::usage, quoted(value) + " does not begin with an option");
  }
  options.slurm_args.insert(options.slurm_args.end(), words.begin(), words.end());
  return {};
}

constexpr OptionRow kOptions[] = {
    {.name = "--count",
     .letter = 'n',
     .value = "N",
     .fallback = "1",
     .wanted = "how many GPUs, 1 or more (for all of them, their number)",
     .verbs = kWaiters,
     .group = Group::choice,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.criteria.count, whole_number<int>(value, {.min = 1}));
         },
     .meant = meant_number,
     .summary = "how many GPUs, all or nothing"},
    {.name = "--min-free-mb",
     .value = "M",
     .wanted = kSize,
     .verbs = kWaiters,
     .group = Group::choice,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.criteria.min_free_mib, size_value(value));
         },
     .meant = meant_size,
     .summary = "memory that must be free on each",
     .details = "; 0: any unclaimed GPU"},
    {.name = "--share",
     .value = "M",
     .wanted = kSize,
     .verbs = kWaiters,
     .group = Group::choice,
     .read =
         [](Options& options, const std::string& value) {
           Result<std::int64_t> size = size_value(value);
           if (size && *size < 1)
             size = fail(ErrorKind::usage, quoted(value) + " is less than 1 MiB");
           return assign(options.criteria.share_mib, std::move(size));
         },
     .meant = meant_size,
     .summary = "how much memory to take of each, beside others who share it",
     .details = "; without it each GPU is yours alone",
     .manual =
         "There must be room for M beside all that others have there; *--max-util* may be added, "
         "*--min-free-mb* not. Nothing keeps the command to its share but the command itself; "
         "*ENVIRONMENT* says how it is told. See also *Shares* in *NOTES*."},
    {.name = "--max-util",
     .value = "P",
     .wanted = "a number from 0 to 100",
     .verbs = kWaiters,
     .group = Group::choice,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.criteria.max_util_pct, percent_value(value));
         },
     .meant = meant_number,
     .summary = "how busy each may be, in percent",
     .details = "; with neither this nor --min-free-mb nor --share, nobody else may use the GPU",
     .manual = "A GPU whose utilisation the driver does not report passes."},
    {.name = "--only",
     .value = "LIST",
     .wanted = kList,
     .verbs = kWaiters,
     .group = Group::choice,
     .completion = Completion::gpus,
     .read = [](Options& options,
                const std::string& value) { return assign(options.only, gpu_list(value)); },
     .meant = meant_list,
     .summary = "choose among these"},
    {.name = "--exclude",
     .value = "LIST",
     .wanted = kList,
     .verbs = kWaiters,
     .group = Group::choice,
     .completion = Completion::gpus,
     .read = [](Options& options,
                const std::string& value) { return assign(options.exclude, gpu_list(value)); },
     .meant = meant_list,
     .summary = "never take these"},
    {.name = "--nice",
     .verbs = kWaiters,
     .group = Group::waiting,
     .read =
         [](Options& options, const std::string&) {
           options.criteria.nice = true;
           return Status();
         },
     .summary = "let all requests without --nice go first",
     .details = ", also those that come later"},
    {.name = "--timeout",
     .value = "T",
     .fallback = "never",
     .wanted = kTime,
     .verbs = kWaiters,
     .group = Group::waiting,
     .read = [](Options& options,
                const std::string& value) { return assign(options.timeout, time_value(value)); },
     .meant = meant_time,
     .summary = "how long to wait before giving up",
     .details = ", with exit status 124; 0: one try",
     .manual = "The time that the command runs does not count."},
    {.name = "--poll",
     .value = "T",
     .fallback = "5s",
     .wanted = kTime,
     .verbs = kWaiters,
     .group = Group::waiting,
     .read = [](Options& options,
                const std::string& value) { return assign(options.poll, poll_value(value)); },
     .meant = meant_time,
     .summary = "time between looks at the GPUs",
     .details =
         "; one waiter looks for all, as often as the shortest T in line asks (another's T "
         "counts as 1s to 5s); the end of another gpu-gate job is noticed at once, whatever T is"},
    {.name = "--note",
     .value = "TEXT",
     .wanted = "a text of at most 64 characters",
     .verbs = kWaiters,
     .group = Group::waiting,
     .read = [](Options& options,
                const std::string& value) { return assign(options.note, note_value(value)); },
     .summary = "shown to others beside your name",
     .details = ", as on an account that several people share; at most 64 characters",
     .manual = "*status* and *queue* show it, and so do the notices of others who wait. It is not "
               "secret."},
    {.name = "--pid",
     .value = "PID",
     .wanted = "a process ID",
     .verbs = verb_set({Verb::hold}),
     .group = Group::holding,
     .completion = Completion::processes,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.pid, whole_number<pid_t>(value, {.min = 1}));
         },
     .meant = meant_number,
     .summary = "hold in the background for this process",
     .details = "; when it ends, so does the wait or the claim",
     .manual =
         "Where that process, or one that comes of it, uses GPUs already, these may be taken: "
         "they are no strangers there. (*--only* names them, where others are free too.)"},
    {.name = "--for",
     .value = "T",
     .wanted = kTime,
     .verbs = verb_set({Verb::hold}),
     .group = Group::holding,
     .read = [](Options& options,
                const std::string& value) { return assign(options.hold_for, time_value(value)); },
     .meant = meant_time,
     .summary = "hold for at most this long",
     .details = "; also with --pid"},
    {.name = "--since",
     .value = "T|DATE",
     .fallback = "7d",
     .wanted = kMoment,
     .verbs = verb_set({Verb::history}),
     .group = Group::past,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.history.since_ms, moment_value(value));
         },
     .summary = "from this time on",
     .details = ", or from so long before the end"},
    {.name = "--until",
     .value = "T|DATE",
     .fallback = "now",
     .wanted = kMoment,
     .verbs = verb_set({Verb::history}),
     .group = Group::past,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.history.until_ms, moment_value(value));
         },
     .summary = "before this time"},
    {.name = "--user",
     .value = "USER",
     .wanted = "a user's name or number",
     .verbs = verb_set({Verb::history}),
     .group = Group::past,
     .completion = Completion::users,
     .read =
         [](Options& options, const std::string& value) {
           return assign(options.history.user, user_value(value));
         },
     .summary = "only the claims of this user"},
    {.name = "--gpu",
     .value = "LIST",
     .wanted = kList,
     .verbs = verb_set({Verb::history}),
     .group = Group::past,
     .completion = Completion::gpus,
     .read = [](Options& options,
                const std::string& value) { return assign(options.history.gpus, gpu_list(value)); },
     .summary = "only those on these GPUs",
     .details = ", named as for run (gpu-gate run --help)"},
    {.name = "--jobs",
     .verbs = verb_set({Verb::history}),
     .group = Group::result,
     .read =
         [](Options& options, const std::string&) {
           options.history.jobs = true;
           return Status();
         },
     .summary = "print a line for each claim",
     .details = "; an end with <= before it was not written down: it came then or earlier"},
    {.name = "--svg",
     .value = "FILE",
     .wanted = "the name of a file",
     .verbs = verb_set({Verb::history}),
     .group = Group::result,
     .completion = Completion::files,
     .read =
         [](Options& options, const std::string& value) {
           options.history.svg = value;
           return Status();
         },
     .summary = "write a picture for any browser",
     .details = ": a row for each GPU, a bar for each claim"},
    {.name = "--ids",
     .value = "index|uuid",
     .fallback = "index",
     .wanted = "index or uuid",
     .verbs = kWaiters,
     .group = Group::result,
     .completion = Completion::words,
     .read = [](Options& options,
                const std::string& value) { return assign(options.ids, ids_value(value)); },
     .meant = meant_word,
     .summary = "how the GPUs are named",
     .details = " in CUDA_VISIBLE_DEVICES and in what is printed"},
    {.name = "--json",
     .verbs = kViews | verb_set({Verb::wait, Verb::hold, Verb::history}),
     .group = Group::result,
     .read =
         [](Options& options, const std::string&) {
           options.json = true;
           return Status();
         },
     .summary = "print JSON",
     .manual = "*wait* and *hold* print {\"indices\":[0,2],\"uuids\":[...],"
               "\"cuda_visible_devices\":\"0,2\"}; *status* prints a list with an object for each "
               "GPU, *queue* one with an object for each request, *history* one with an object for "
               "each claim; *doctor* prints "
               "{\"lock_directory\":...,\"findings\":[...]}. Keys are only "
               "ever added."},
    {.name = "--watch",
     .value = "T",
     .value_attached = true,
     .fallback = "1s",
     .wanted = kTime,
     .verbs = verb_set({Verb::status}),
     .group = Group::result,
     .read = [](Options& options,
                const std::string& value) { return assign(options.watch, watch_value(value)); },
     .summary = "stay, and show it anew every T",
     .details = " and when something happens; q ends it, ? shows what its words mean",
     .manual =
         "On a terminal it fills the screen. Its keys: *m* hides all of others, *w* shows whole "
         "commands, the space bar freezes it, the arrows scroll; none ends a job. The last "
         "picture stays. Elsewhere, and where TERM is dumb, it prints a board every T; with "
         "--json an object {\"gpus\":[...],\"waiting\":[...]} in a line, also when something "
         "happens. A driver that goes away does not end it. It stands in no line."},
    {.name = "--metrics",
     .verbs = verb_set({Verb::status}),
     .group = Group::result,
     .read =
         [](Options& options, const std::string&) {
           options.metrics = true;
           return Status();
         },
     .summary = "print metrics for Prometheus",
     .details = ", as node_exporter's textfile collector reads them",
     .manual =
         "What is unknown has no line. Those of each GPU have the labels gpu (its index), uuid and "
         "name: gpu_gate_gpu_memory_total_bytes, gpu_gate_gpu_memory_used_bytes, "
         "gpu_gate_gpu_memory_free_bytes, gpu_gate_gpu_utilization_ratio, "
         "gpu_gate_gpu_healthy. Those of each user have the label user: "
         "gpu_gate_claimed_gpus, gpu_gate_waiting_requests, gpu_gate_waiting_gpus, "
         "gpu_gate_longest_wait_seconds. gpu_gate_gpu_claimed has both. A share counts as its "
         "part of the GPU."},
    {.name = "--export",
     .verbs = verb_set({Verb::hold}),
     .group = Group::result,
     .read =
         [](Options& options, const std::string&) {
           options.export_line = true;
           return Status();
         },
     .summary = "print a line for eval",
     .details = " that sets what run would set, or that fails where hold does",
     .manual = "The line names the claim too, so that gpu-gate in that shell hands out the shell's "
               "own GPUs. Where *hold* fails it is (exit 3), say."},
    {.name = "--on",
     .value = "slurm",
     .wanted = "slurm",
     .verbs = verb_set({Verb::run, Verb::wait, Verb::status}),
     .group = Group::cluster,
     .completion = Completion::words,
     .read = read_on,
     .meant = meant_word,
     .summary = "on the Slurm cluster that this machine belongs to",
     .details = ", not on this machine",
     .manual = "See *SLURM*.",
     .elsewhere = "Slurm has salloc to hold GPUs, squeue, scancel and sacct"},
    {.name = "--slurm-args",
     .value = "WORDS",
     .repeatable = true,
     .wanted = "options of srun in quotes, as in --slurm-args='-p gpu -A lab'",
     .verbs = verb_set({Verb::run, Verb::wait}),
     .group = Group::cluster,
     .read = read_slurm_args,
     .summary = "options for srun, separated by blanks",
     .details = ", in quotes where they are several ('-p gpu -A lab'); may be repeated"},
    {.name = "--vendor",
     .value = "nvidia|amd",
     .wanted = kVendors,
     .verbs = kWaiters | kViews,
     .group = Group::other,
     .completion = Completion::words,
     .read = [](Options& options,
                const std::string& value) { return assign(options.vendor, vendor_value(value)); },
     .meant = meant_word,
     .summary = "whose GPUs, on a machine that has both",
     .details = "; without it NVIDIA's if there are any"},
    {.name = "--quiet",
     .letter = 'q',
     .verbs = kWaiters,
     .group = Group::other,
     .read =
         [](Options& options, const std::string&) {
           options.quiet = true;
           return Status();
         },
     .summary = "no notices, only errors"},
    {.name = "--help",
     .letter = 'h',
     .verbs = kWaiters | kViews | verb_set({Verb::cancel, Verb::history}),
     .group = Group::other,
     .summary = "show help on this subcommand"},
};

constexpr const char* kToShare = "to share a GPU";

constexpr MeantRow kMeant[] = {
    {.word = "gpus", .option = "--count"},
    {.word = "gpus", .option = "--only"},
    {.word = "num-gpus", .option = "--count"},
    {.word = "ngpus", .option = "--count"},
    {.word = "n-gpus", .option = "--count"},
    {.word = "gpu-count", .option = "--count"},
    {.word = "gpus-per-node", .option = "--count"},
    {.word = "gpus-per-task", .option = "--count"},
    {.word = "gres", .option = "--count"},
    {.word = "num", .option = "--count"},
    {.word = "number", .option = "--count"},
    {.word = "g", .option = "--count"},
    {.word = "g", .option = "--only"},
    {.word = "G", .option = "--count"},
    {.word = "c", .option = "--count"},
    {.word = "gpu", .option = "--only"},
    {.word = "gpu", .option = "--count"},
    {.word = "gpu-index", .option = "--only"},
    {.word = "gpu-id", .option = "--only"},
    {.word = "gpu-ids", .option = "--only"},
    {.word = "index", .option = "--only"},
    {.word = "device", .option = "--only"},
    {.word = "devices", .option = "--only"},
    {.word = "cuda", .option = "--only"},
    {.word = "i", .option = "--only"},
    {.word = "mem", .option = "--min-free-mb", .also = "--share", .also_for = kToShare},
    {.word = "memory", .option = "--min-free-mb", .also = "--share", .also_for = kToShare},
    {.word = "gpu-mem", .option = "--min-free-mb", .also = "--share", .also_for = kToShare},
    {.word = "gpu-memory", .option = "--min-free-mb", .also = "--share", .also_for = kToShare},
    {.word = "vram", .option = "--min-free-mb", .also = "--share", .also_for = kToShare},
    {.word = "m", .option = "--min-free-mb", .also = "--share", .also_for = kToShare},
    {.word = "min-memory", .option = "--min-free-mb"},
    {.word = "min-mem", .option = "--min-free-mb"},
    {.word = "min-vram", .option = "--min-free-mb"},
    {.word = "free", .option = "--min-free-mb"},
    {.word = "free-memory", .option = "--min-free-mb"},
    {.word = "shared", .option = "--share"},
    {.word = "util", .option = "--max-util"},
    {.word = "utilization", .option = "--max-util"},
    {.word = "utilisation", .option = "--max-util"},
    {.word = "load", .option = "--max-util"},
    {.word = "max-load", .option = "--max-util"},
    {.word = "skip", .option = "--exclude"},
    {.word = "not", .option = "--exclude"},
    {.word = "ignore", .option = "--exclude"},
    {.word = "except", .option = "--exclude"},
    {.word = "avoid", .option = "--exclude"},
    {.word = "no-wait", .option = "--timeout", .value = "0"},
    {.word = "nowait", .option = "--timeout", .value = "0"},
    {.word = "nonblock", .option = "--timeout", .value = "0"},
    {.word = "try", .option = "--timeout", .value = "0"},
    {.word = "wait", .option = "--timeout"},
    {.word = "max-wait", .option = "--timeout"},
    {.word = "time", .option = "--timeout"},
    {.word = "time-limit", .option = "--timeout"},
    {.word = "t", .option = "--timeout"},
    {.word = "w", .option = "--timeout"},
    {.word = "interval", .option = "--poll"},
    {.word = "priority", .option = "--nice"},
    {.word = "low-priority", .option = "--nice"},
    {.word = "comment", .option = "--note"},
    {.word = "job-name", .option = "--note"},
    {.word = "name", .option = "--note"},
    {.word = "label", .option = "--note"},
    {.word = "duration", .option = "--for"},
    {.word = "uuid", .option = "--ids", .value = "uuid"},
    {.word = "uuids", .option = "--ids", .value = "uuid"},
    {.word = "silent", .option = "--quiet"},
    {.word = "?", .option = "--help"},
};

constexpr MeantVerbRow kMeantVerbs[] = {
    {.words = " list ls ps top info show gpus monitor ", .verb = "status"},
    {.words = " jobs line squeue waiting waiters ", .verb = "queue"},
    {.words = " submit exec execute start launch batch sbatch srun ", .verb = "run"},
    {.words = " kill stop end abort remove rm delete del scancel release free unlock ",
     .verb = "cancel"},
    {.words = " lock reserve claim acquire salloc allocate alloc take ", .verb = "hold"},
    {.words = " await block ", .verb = "wait"},
    {.words = " check diagnose debug ", .verb = "doctor"},
    {.words = " log logs usage report sacct accounting ", .verb = "history"},
};

}  // namespace

std::span<const VerbRow> verb_rows() { return kVerbs; }
std::span<const GroupRow> group_rows() { return kGroups; }
std::span<const OptionRow> option_rows() { return kOptions; }
std::span<const MeantRow> meant_rows() { return kMeant; }

const VerbRow* meant_verb(const std::string& word) {
  const bool one = !word.empty() && word.find(' ') == std::string::npos;
  for (const MeantVerbRow& row : kMeantVerbs) {
    if (one && row.words.find(" " + word + " ") != std::string_view::npos) {
      return find_verb(row.verb);
    }
  }
  return nullptr;
}

const VerbRow* find_verb(std::string_view name) {
  const auto* row = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                 [&](const VerbRow& each) { return name == each.name; });
  return row == std::end(kVerbs) ? nullptr : row;
}

bool belongs(const OptionRow& option, Verb verb) { return (option.verbs & verb_set({verb})) != 0; }

bool is_named(const OptionRow& option, std::string_view name) {
  const bool is_letter = name.size() == 2 && option.letter != '\0' && name[1] == option.letter;
  return name == option.name || is_letter;
}

const OptionRow* find_option(Verb verb, std::string_view name) {
  const auto* row = std::find_if(
      std::begin(kOptions), std::end(kOptions),
      [&](const OptionRow& option) { return belongs(option, verb) && is_named(option, name); });
  return row == std::end(kOptions) ? nullptr : row;
}

std::string written(const OptionRow& option) {
  std::string text = option.name;
  if (option.value_attached) return text + "[=" + option.value + "]";
  return *option.value == '\0' ? text : text + " " + option.value;
}

std::string described(const OptionRow& option) {
  std::string text = option.summary;
  text += option.details;
  if (*option.fallback != '\0') text.append(" (default: ").append(option.fallback).append(")");
  return text;
}

std::vector<std::string> verb_names(const OptionRow& option) {
  std::vector<std::string> names;
  for (const VerbRow& row : kVerbs) {
    if (belongs(option, row.verb)) names.emplace_back(row.name);
  }
  return names;
}

}  // namespace gpu_gate
