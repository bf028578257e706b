#include "history/picture.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <string_view>
#include <utility>

#include "base/printable.h"

namespace gpu_gate {
namespace {

// Lengths are in the picture's own units, at first sight pixels.
constexpr double kPictureWidth = 1200;
constexpr double kPictureMargin = 24;
constexpr double kLegendTop = 58;
constexpr double kLegendLine = 22;
constexpr double kRowsGap = 22;  // between legend and rows, for the times
constexpr double kRow = 40;      // from one row to the next
constexpr double kBars = 24;     // of it, for the claims
constexpr double kWaits = 5;     // and below them, for how long they waited
constexpr double kLetter = 6.7;  // the usual width of one
constexpr double kLeastBar = 0.7;
constexpr int kMostTicks = 14;

/// The colours of Okabe and Ito (jfly.uni-koeln.de/color), which the colour-blind tell apart; on
/// a dark ground those that are dark themselves are lighter. Text on them is black or white.
struct Colour {
  const char* light;
  const char* dark;
  const char* text_light;
  const char* text_dark;
};
constexpr Colour kColours[] = {
    {.light = "#0072b2", .dark = "#4aa3df", .text_light = "#fff", .text_dark = "#000"},
    {.light = "#e69f00", .dark = "#e69f00", .text_light = "#000", .text_dark = "#000"},
    {.light = "#009e73", .dark = "#1fbf91", .text_light = "#000", .text_dark = "#000"},
    {.light = "#cc79a7", .dark = "#cc79a7", .text_light = "#000", .text_dark = "#000"},
    {.light = "#d55e00", .dark = "#f07b28", .text_light = "#000", .text_dark = "#000"},
    {.light = "#56b4e9", .dark = "#9ad4f5", .text_light = "#000", .text_dark = "#000"},
    {.light = "#f0e442", .dark = "#f0e442", .text_light = "#000", .text_dark = "#000"}};
constexpr std::size_t kColourCount = std::size(kColours);

/// Text of unknown origin for an XML document.
std::string escaped(std::string_view text) {
  std::string result;
  const std::string safe = printable(text);
  for (std::size_t i = 0; i < safe.size(); ++i) {
    const char c = safe[i];
    // U+FFFE and U+FFFF are in no XML document.
    const std::string_view three = std::string_view(safe).substr(i, 3);
    if (three == "\xEF\xBF\xBE" || three == "\xEF\xBF\xBF") {
      result += '?';
      i += 2;
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

/// "12.3"; of numbers from 0 on, the rest is cut off. (std::llround would bring in libm.)
std::string number(double value) {
  const auto tenths = static_cast<std::int64_t>(value * 10);
  std::string text = std::to_string(tenths / 10);
  if (tenths % 10 != 0) text += "." + std::to_string(tenths % 10);
  return text;
}

struct tm local_time(std::int64_t ms) {
  const auto time = static_cast<std::time_t>(ms / 1000);
  struct tm local{};
  ::localtime_r(&time, &local);
  return local;
}

std::string written(const struct tm& time, const char* format) {
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &time)};
}

std::string minute(std::int64_t ms) { return written(local_time(ms), "%Y-%m-%d %H:%M"); }

/// "2h13m", "45s".
std::string lasted(std::int64_t ms) {
  const std::int64_t s = ms / 1000;
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return std::to_string(s / 60) + "m";
  const std::string minutes = s / 60 % 60 == 0 ? "" : std::to_string(s / 60 % 60) + "m";
  return std::to_string(s / 3600) + "h" + minutes;
}

struct Tick {
  std::int64_t ms = 0;
  std::string text;
};

/// Round times of the local clock, also where it is put forward or back.
std::vector<Tick> ticks(const Span& span) {
  constexpr int kDay = 24 * 60;
  constexpr int kSteps[] = {1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, kDay, 2 * kDay, 7 * kDay};
  const double minutes = static_cast<double>(span.length_ms()) / 60'000;
  const auto fits = [&](int step) { return minutes / step <= kMostTicks; };
  const int* const known = std::find_if(std::begin(kSteps), std::end(kSteps), fits);
  const int weeks = static_cast<int>(std::min(minutes / kMostTicks / (7 * kDay), 1e5)) + 1;
  const int step = known != std::end(kSteps) ? *known : weeks * 7 * kDay;
  struct tm day = local_time(span.from_ms);
  day.tm_hour = day.tm_min = day.tm_sec = 0;
  std::vector<Tick> found;
  for (int at = 0; at < step * (2 * kMostTicks) + kDay; at += step) {
    struct tm time = day;
    time.tm_mday += at / kDay;
    time.tm_min += at % kDay;
    time.tm_isdst = -1;
    const std::int64_t ms = static_cast<std::int64_t>(std::mktime(&time)) * 1000;
    if (ms >= span.to_ms) break;
    if (ms < span.from_ms) continue;
    const bool midnight = time.tm_hour == 0 && time.tm_min == 0;
    found.push_back({.ms = ms, .text = written(time, midnight ? "%a %m-%d" : "%H:%M")});
  }
  return found;
}

/// A claim on one device, as it is drawn.
struct Bar {
  const PastClaim* claim = nullptr;
  Span span;             // the part of it that is in the picture
  std::size_t lane = 0;  // of those that are there at the same time
};

/// The bars of each device, in lanes such that none covers another.
struct Row {
  PastDevice device;
  std::vector<Bar> bars;
  std::size_t lanes = 1;
};

void put_into_lanes(Row& row) {
  std::vector<std::int64_t> ends;
  for (Bar& bar : row.bars) {
    const auto free = std::find_if(ends.begin(), ends.end(),
                                   [&](std::int64_t end) { return end <= bar.span.from_ms; });
    bar.lane = static_cast<std::size_t>(free - ends.begin());
    if (free == ends.end()) ends.push_back(0);
    ends[bar.lane] = std::max(bar.span.to_ms, bar.span.from_ms + 1);
  }
  row.lanes = std::max<std::size_t>(ends.size(), 1);
}

class Drawing {
 public:
  explicit Drawing(const PictureOf& picture)
      : picture_(picture), use_(use_in(picture.span, picture.claims, picture.all, picture.now_ms)) {
    for (const UserUse& user : use_.users) {
      const std::size_t number = colour_.size();
      colour_[user.uid] = number;
      names_[user.uid] = picture.user_name(user.uid);
    }
    std::size_t longest = 0;
    for (const DeviceHistory& device : use_.devices) {
      rows_.push_back({.device = device.device, .bars = {}});
      longest = std::max(longest, row_name(device.device).size());
    }
    left_ = kPictureMargin + std::min(static_cast<double>(longest) * kLetter, 260.0) + 10;
    sort_in_claims();
    lay_out_legend();
    top_ = kLegendTop + static_cast<double>(legend_lines_) * kLegendLine + kRowsGap;
    bottom_ = top_ + static_cast<double>(rows_.size()) * kRow;
  }

  std::string svg() {
    const double height = bottom_ + 34;
    text_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(kPictureWidth) +
            " " + number(height) + "\" width=\"" + number(kPictureWidth) + "\" height=\"" +
            number(height) + "\" role=\"img\">\n<title>" + heading() + "</title>\n" + style() +
            "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n";
    write(kPictureMargin, 34, "class=\"heading\"", heading());
    draw_legend();
    draw_ticks();
    for (std::size_t i = 0; i < rows_.size(); ++i) draw_row(i);
    if (use_.users.empty()) write(left_, top_ + 20, "class=\"dim\"", "no claims");
    const std::string below =
        "Thin bars: how long a claim had waited before. Faded: nobody wrote its end down, it came "
        "then or earlier.";
    write(left_, bottom_ + 20, "class=\"dim\"", below);
    return text_ + "</svg>\n";
  }

 private:
  std::string heading() const {
    return "GPUs from " + minute(picture_.span.from_ms) + " to " + minute(picture_.span.to_ms);
  }

  static std::string row_name(const PastDevice& device) {
    const std::string name = printable(device.name);
    return printable(device.label) + (name.empty() ? "" : "  " + name);
  }

  void sort_in_claims() {
    std::map<std::string, std::size_t> row_of;  // by UUID
    for (std::size_t i = 0; i < rows_.size(); ++i) row_of[rows_[i].device.uuid] = i;
    for (const PastClaim& claim : picture_.claims) {
      const auto part = within(span_of(claim, picture_.now_ms), picture_.span);
      if (!part || claim.inside) continue;
      for (const PastDevice& device : claim.entry.devices) {
        const auto row = row_of.find(device.uuid);
        if (row == row_of.end()) continue;
        rows_[row->second].bars.push_back({.claim = &claim, .span = *part});
      }
    }
    for (Row& row : rows_) put_into_lanes(row);
  }

  double x_of(std::int64_t ms) const {
    const auto all = static_cast<double>(std::max<std::int64_t>(picture_.span.length_ms(), 1));
    const double part = static_cast<double>(ms - picture_.span.from_ms) / all;
    return left_ + std::clamp(part, 0.0, 1.0) * (kPictureWidth - kPictureMargin - left_);
  }

  void write(double x, double y, const std::string& attributes, const std::string& text) {
    text_ += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" " + attributes + ">" + text +
             "</text>\n";
  }

  std::string user_class(uid_t uid) const { return "u" + std::to_string(colour_.at(uid)); }

  /// From the eighth user on colours come again, with stripes.
  static bool is_striped(std::size_t user) { return user >= kColourCount; }

  static std::string paint(std::size_t user, const char* colour, const char* ink) {
    const std::string name = std::to_string(user);
    return (is_striped(user) ? "#c" : ".u") + name + "{fill:" + colour + "}.t" + name +
           "{fill:" + ink + "}\n";
  }

  static std::string stripes_rule(std::size_t user) {
    const std::string name = std::to_string(user);
    return ".u" + name + "{fill:url(#p" + name + ")}\n";
  }

  static std::string stripes(std::size_t user) {
    const std::string name = std::to_string(user);
    const std::string size = std::to_string(4 + 3 * (user / kColourCount));
    const std::string square = " width=\"" + size + "\" height=\"" + size + "\"";
    return "<pattern id=\"p" + name + "\"" + square +
           " patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect id=\"c" + name +
           "\"" + square + "/><rect class=\"ground\" width=\"2\" height=\"" + size +
           "\"/></pattern>\n";
  }

  std::string style() const {
    std::string light;
    std::string dark;
    std::string patterns;
    for (std::size_t user = 0; user < colour_.size(); ++user) {
      const Colour& colour = kColours[user % kColourCount];
      light += paint(user, colour.light, colour.text_light);
      dark += paint(user, colour.dark, colour.text_dark);
      if (!is_striped(user)) continue;
      light += stripes_rule(user);
      patterns += stripes(user);
    }
    return "<style>\ntext{font:12px system-ui,sans-serif;fill:#222}.heading{font-size:18px}\n"
           ".dim{fill:#666}.ground{fill:#fff}.row{fill:#f1f1f1}.tick{stroke:#ccc}\n"
           ".bar{stroke:#fff;stroke-width:.6}.open{fill-opacity:.45}\n"
           ".name{font-size:11px;pointer-events:none}\n" +
           light +
           "@media(prefers-color-scheme:dark){\ntext{fill:#ddd}.dim{fill:#999}.ground{fill:#16181b}"
           "\n"
           ".row{fill:#22262b}.tick{stroke:#444}.bar{stroke:#16181b}\n" +
           dark + "}\n</style>\n" + (patterns.empty() ? "" : "<defs>\n" + patterns + "</defs>\n");
  }

  std::string legend_text(const UserUse& user) const {
    return names_.at(user.uid) + ": " + number(user.gpu_ms / 3'600'000) + " GPU h, " +
           std::to_string(user.jobs) + (user.jobs == 1 ? " job" : " jobs");
  }

  void lay_out_legend() {
    double x = kPictureMargin;
    for (const UserUse& user : use_.users) {
      const double wide =
          18 + static_cast<double>(printable(legend_text(user)).size()) * kLetter + 22;
      if (x > kPictureMargin && x + wide > kPictureWidth - kPictureMargin) {
        x = kPictureMargin;
        ++legend_lines_;
      }
      legend_.emplace_back(x, kLegendTop + static_cast<double>(legend_lines_ - 1) * kLegendLine);
      x += wide;
    }
  }

  void draw_legend() {
    for (std::size_t i = 0; i < use_.users.size(); ++i) {
      const auto [x, y] = legend_[i];
      text_ += "<rect class=\"" + user_class(use_.users[i].uid) + "\" x=\"" + number(x) +
               "\" y=\"" + number(y - 10) + "\" width=\"12\" height=\"12\"/>\n";
      write(x + 18, y, "", escaped(legend_text(use_.users[i])));
    }
  }

  void draw_ticks() {
    for (const Tick& tick : ticks(picture_.span)) {
      const std::string x = number(x_of(tick.ms));
      text_ += "<path class=\"tick\" d=\"M" + x + " " + number(top_ - 6) + "V" + number(bottom_) +
               "\"/>\n";
      const bool at_end = x_of(tick.ms) > kPictureWidth - kPictureMargin - 30;
      if (!at_end)
        write(x_of(tick.ms), top_ - 10, "class=\"dim\" text-anchor=\"middle\"", tick.text);
    }
  }

  void draw_row(std::size_t number_of_row) {
    const Row& row = rows_[number_of_row];
    const double y = top_ + static_cast<double>(number_of_row) * kRow + 4;
    text_ += "<rect class=\"row\" x=\"" + number(left_) + "\" y=\"" + number(y) + "\" width=\"" +
             number(kPictureWidth - kPictureMargin - left_) + "\" height=\"" + number(kBars) +
             "\"/>\n";
    write(kPictureMargin, y + 16, "", escaped(row_name(row.device)));
    // Where several waited for this GPU, the one is seen that got it first.
    for (auto bar = row.bars.rbegin(); bar != row.bars.rend(); ++bar)
      draw_wait(*bar, y + kBars + 2);
    const double height = kBars / static_cast<double>(row.lanes);
    for (const Bar& bar : row.bars) {
      draw_bar(bar, row, y + static_cast<double>(bar.lane) * height, height);
    }
  }

  void draw_wait(const Bar& bar, double y) {
    const HistoryEntry& entry = bar.claim->entry;
    const double from = x_of(entry.begin_ms - entry.waited_ms);
    const double to = x_of(entry.begin_ms);
    if (entry.waited_ms <= 0 || to - from < kLeastBar) return;
    rectangle("wait " + user_class(entry.uid), from, y, to - from, kWaits,
              escaped(names_.at(entry.uid) + ": waited " + lasted(entry.waited_ms)));
  }

  void draw_bar(const Bar& bar, const Row& row, double y, double height) {
    const HistoryEntry& entry = bar.claim->entry;
    const double from = x_of(bar.span.from_ms);
    const double wide = std::max(x_of(bar.span.to_ms) - from, kLeastBar);
    const std::string open = bar.claim->at_latest ? " open" : "";
    rectangle("bar " + user_class(entry.uid) + open, from, y, wide, height, facts(bar, row));
    const std::string& name = names_.at(entry.uid);
    if (height < 11 || static_cast<double>(printable(name).size()) * kLetter + 8 > wide) return;
    const std::string ink =
        bar.claim->at_latest ? "" : " t" + std::to_string(colour_.at(entry.uid));
    write(from + 4, y + height / 2 + 4, "class=\"name" + ink + "\"", escaped(name));
  }

  void rectangle(const std::string& classes, double x, double y, double width, double height,
                 const std::string& title) {
    text_ += "<rect class=\"" + classes + "\" x=\"" + number(x) + "\" y=\"" + number(y) +
             "\" width=\"" + number(width) + "\" height=\"" + number(height) + "\"><title>" +
             title + "</title></rect>\n";
  }

  /// What the title of a bar says: user, command, card, from, to.
  std::string facts(const Bar& bar, const Row& row) const {
    const HistoryEntry& entry = bar.claim->entry;
    const Span span = span_of(*bar.claim, picture_.now_ms);
    std::string text =
        names_.at(entry.uid) + ": " + entry.command + " (pid " + std::to_string(entry.pid) + ")";
    if (entry.note) text += ", " + *entry.note;
    text = escaped(text) + "\nGPU " + escaped(row_name(row.device));
    if (entry.devices.size() > 1) text += ", one of " + std::to_string(entry.devices.size());
    if (entry.share_mib) text += ", a share of " + std::to_string(*entry.share_mib) + " MiB";
    text += "\nfrom " + minute(span.from_ms) + " ";
    if (!entry.end_ms) {
      text += "on, for " + lasted(span.length_ms()) + " so far";
    } else {
      text += std::string("to ") + (bar.claim->at_latest ? "at the latest " : "") +
              minute(span.to_ms) + " (" + lasted(span.length_ms()) + ")";
    }
    if (entry.waited_ms > 0) text += "\nwaited " + lasted(entry.waited_ms);
    return text;
  }

  const PictureOf& picture_;
  HistoryUse use_;
  std::map<uid_t, std::size_t> colour_;
  std::map<uid_t, std::string> names_;
  std::vector<Row> rows_;
  std::vector<std::pair<double, double>> legend_;  // where each user stands in it
  std::size_t legend_lines_ = 1;
  double left_ = 0;
  double top_ = 0;
  double bottom_ = 0;
  std::string text_;
};

}  // namespace

std::string picture_svg(const PictureOf& picture) { return Drawing(picture).svg(); }

}  // namespace gpu_gate
