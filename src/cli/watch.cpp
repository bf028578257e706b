#include <poll.h>
#include <unistd.h>

#include <array>
#include <ctime>

#include "base/env.h"
#include "cli/acquire.h"
#include "cli/board_text.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/console.h"
#include "cli/json_output.h"
#include "cli/screen.h"
#include "cli/watch_frame.h"
#include "report/live_board.h"

namespace gpu_gate {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string clock_text(std::time_t now) {
  struct tm local{};
  std::array<char, 16> text{};
  if (::localtime_r(&now, &local) == nullptr) return "";
  return std::string(text.data(), std::strftime(text.data(), text.size(), "%H:%M:%S", &local));
}

/// The live board on a terminal: looks, paints, and does what keys say.
class Watch {
 public:
  Watch(LiveBoard& live, std::chrono::nanoseconds interval, bool utf8)
      : live_(live),
        interval_(interval),
        trends_(std::max<std::chrono::nanoseconds>(std::chrono::seconds(5), 2 * interval)),
        host_(host_name()) {
    style_.utf8 = utf8;
    style_.colour = !env_setting(environ, env::kNoColor);
  }

  /// Until the user ends it; signals end the process. Errors: system, output.
  Status run() {
    Result<std::unique_ptr<Screen>> screen = Screen::open();
    if (!screen) return fail(screen.error());
    note_look();
    Clock::time_point next = Clock::now() + interval_;
    show(**screen);
    while (!(*screen)->is_gone()) {
      WaitSet set;
      (*screen)->add_to(set);
      const WaitSet::Id keys = set.add((*screen)->keys(), POLLIN);
      if (!choice_.frozen) live_.add_to(set);
      if (!choice_.frozen) set.until(next);
      if (Status slept = set.sleep(); !slept) return slept;
      bool changed = (*screen)->woke(set);
      if (set.fired(keys)) {
        if (!take(**screen)) return {};
        changed = true;
      }
      if (!choice_.frozen && (live_.woke(set) || Clock::now() >= next)) {
        live_.look();
        note_look();
        next = Clock::now() + interval_;
        changed = true;
      }
      if (changed) show(**screen);
    }
    return fail(ErrorKind::output, "the terminal takes no output any more");
  }

 private:
  void note_look() {
    now_ = std::time(nullptr);
    trends_.note(live_.board(), Clock::now());
  }

  std::vector<std::string> troubles() const {
    std::vector<std::string> lines;
    for (const auto& trouble : {live_.driver_trouble(), live_.dir_trouble()}) {
      if (trouble) lines.push_back(trouble->text.substr(0, trouble->text.find('\n')));
    }
    for (const std::string& line : live_.board().policy.unread) {
      lines.push_back("ignored in the policy file: " + line);
    }
    return lines;
  }

  void show(Screen& screen) {
    const ScreenSize size = Screen::size();
    style_.width = size.width;
    const WatchView view{.scene = {.board = live_.board(),
                                   .trends = &trends_,
                                   .now = now_,
                                   .me = ::geteuid(),
                                   .style = style_},
                         .choice = choice_,
                         .height = size.height,
                         .host = host_,
                         .clock = clock_text(now_),
                         .troubles = troubles()};
    WatchFrame frame = watch_frame(view);
    last_ = frame.last;
    page_ = std::max<std::size_t>(size.height / 2, 1);
    screen.show(std::move(frame.lines));
  }

  /// Does what the keys say; false: it is to end.
  bool take(Screen& screen) {
    std::array<char, 256> bytes{};
    const ssize_t got = ::read(screen.keys(), bytes.data(), bytes.size());
    if (got <= 0) {
      screen.no_keys();
      return true;
    }
    typed_.append(bytes.data(), static_cast<std::size_t>(got));
    for (const Key key : take_keys(typed_)) {
      if (key == Key::quit) return false;
      choice_ = after_key(key, choice_, last_, page_);
    }
    return true;
  }

  LiveBoard& live_;
  std::chrono::nanoseconds interval_;
  Trends trends_;
  std::string host_;
  FittedStyle style_;
  WatchChoice choice_;
  std::string typed_;
  std::int64_t now_ = 0;
  std::size_t last_ = 0;  // as far as it can be scrolled
  std::size_t page_ = 1;
};

/// Where there is no terminal to paint on: a board each time, or as JSON also when something
/// happens.
Status print_again_and_again(LiveBoard& live, const Options& options) {
  std::string told;
  for (;;) {
    const std::string text = options.json ? watch_json(live.board(), std::time(nullptr))
                                          : board_text(live.board(), style_of_stdout()) + "\n";
    if (Status printed = print(text); !printed) return printed;
    const std::optional<Error>& trouble =
        live.driver_trouble() ? live.driver_trouble() : live.dir_trouble();
    const std::string now = trouble ? trouble->text : "";
    if (now != told) say(now.empty() ? "all can be read again" : now);
    told = now;
    const Clock::time_point next = Clock::now() + *options.watch;
    bool happened = false;
    while (!happened && Clock::now() < next) {
      WaitSet set;
      if (options.json) live.add_to(set);
      set.until(next);
      if (Status slept = set.sleep(); !slept) return slept;
      happened = options.json && live.woke(set);
    }
    live.look();
  }
}

}  // namespace

Status watch_board(const Options& options, GpuSource& source) {
  LiveBoard live(lock_dir_paths(), source);
  if (Status started = live.start(); !started) {
    // As status: what can be told, and then why not more.
    if (live.dir_trouble()) return started;
    Status printed = print(options.json ? watch_json(live.board(), std::time(nullptr))
                                        : board_text(live.board(), style_of_stdout()));
    return printed ? started : printed;
  }
  if (options.json || !takes_escapes(STDOUT_FILENO)) return print_again_and_again(live, options);
  return Watch(live, *options.watch, use_locale_characters()).run();
}

}  // namespace gpu_gate
