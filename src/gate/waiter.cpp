#include "gate/waiter.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/signals.h"
#include "base/wait_set.h"
#include "gate/follower.h"
#include "gate/jobs.h"
#include "gate/leader.h"
#include "gate/outer_claim.h"
#include "gate/policy_file.h"
#include "gate/record_file.h"
#include "gate/session.h"
#include "gate/settling.h"
#include "gate/timing.h"
#include "gate/turns.h"
#include "gpu/visible_devices.h"
#include "policy/choose.h"

namespace gpu_gate {
namespace {

using std::chrono::nanoseconds;

/// Far back not every check of the line is for the position, too: that asks who is ahead.
constexpr unsigned kChecksPerPosition = 8;

/// Of a lock directory that was replaced.
constexpr int kMaxReopens = 100;

/// When a wait that began at `began` ends at the latest. A time-out of centuries is none; the clock
/// would overflow.
std::optional<Clock::time_point> deadline_of(const WaitOptions& options, Clock::time_point began) {
  constexpr std::chrono::hours kNever(24 * 365 * 100);
  if (!options.timeout || *options.timeout >= kNever) return std::nullopt;
  return began + *options.timeout;
}

/// What is known before the mutex is taken: the devices, the request, and the claims as they were
/// before the devices were read. A device that was claimed or let go since is known no longer.
struct Reading {
  Look look;
  ClaimMark mark_before;
  std::vector<Claim> claims_before;
  Jobs jobs;  // whose processes were on shared devices
};

class Waiter {
 public:
  Waiter(LockDir dir, Clock::time_point began, Session& session, const MakeRequest& make_request,
         const WaitOptions& options, WaitObserver& observer)
      : session_(session),
        make_request_(make_request),
        options_(options),
        observer_(observer),
        dir_(std::move(dir)),
        within_(options.within.value_or(0)),
        knows_outer_(options.within.has_value()),
        began_(began),
        deadline_(deadline_of(options, began)) {}

  ~Waiter() { leave(); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// Did it have to stand in line?
  bool waited() const { return waited_; }

  /// Looks and sleeps by turns. ErrorKind::replaced: the directory was removed or replaced.
  Result<WaitEnd> wait() {
    for (;;) {
      Result<std::optional<WaitEnd>> end = look();
      if (end && !*end) end = sleep();
      if (!end) return fail(end.error());
      if (*end) return std::move(**end);
    }
  }

 private:
  // --- look -------------------------------------------------------------------------------------

  enum class Outcome { granted, stale, not_yet, timed_out };

  using PlacesFound = std::optional<std::vector<Place>>;

  /// What the names in the queue say, where they had to be read.
  struct LineFound {
    Ticket last_ticket = 0;  // the highest in any
    PlacesFound places;
  };

  /// Looks at the devices and the line until it is granted something, or has to sleep.
  Result<std::optional<WaitEnd>> look() {
    for (;;) {
      last_look_ = Clock::now();
      Result<Reading> reading = read();
      if (!reading) return fail(reading.error());
      const Result<Outcome> outcome = decide(*reading);
      if (!outcome) return fail(outcome.error());
      switch (*outcome) {
        case Outcome::granted:
          call_those_behind(std::move(reading->look));
          return WaitEnd(std::move(granted_));
        case Outcome::timed_out:
          return WaitEnd(TimedOut{});
        case Outcome::stale:
          continue;
        case Outcome::not_yet:
          break;
      }
      if (!options_.one_try()) {
        if (Status done = settle_down(reading->look); !done) return fail(done.error());
      }
      // Whoever was called begins when this process sleeps, takes what is free, and rings: the look
      // after that is the one to tell of.
      const bool called = leader() != nullptr && calls_.answer_due();
      if (options_.one_try() || !called) report(reading->look);
      if (options_.one_try()) return WaitEnd(TimedOut{});
      return std::nullopt;
    }
  }

  /// Reads the devices and makes the request. What is claimed or released from here on is outdated.
  Result<Reading> read() {
    Reading reading{.look = {}, .mark_before = mutex_.peek(), .claims_before = {}, .jobs = {}};
    Result<ClaimScan> scan = claims_.scan();
    if (!scan) return fail(scan.error());
    if (!std::exchange(knows_outer_, true)) {
      within_ = find_outer_claim(claims_, scan->live);
    }
    complete_outer(scan->live);
    const OuterClaim outer = outer_claim(scan->live);
    reading.look.policy = read_line_policy(dir_);

    Result<Snapshot> snapshot = read_devices();
    if (!snapshot) return fail(snapshot.error());
    Result<Request> request = make_request_({.snapshot = *snapshot,
                                             .policy = reading.look.policy,
                                             .claim = within_ != 0 ? &outer : nullptr});
    if (!request) return fail(request.error());
    request->within = within_;
    request->vendor = vendor_ = snapshot->vendor;
    criteria_ = request->criteria;
    reading.jobs = jobs_on_shared(*snapshot, claims_, scan->live);
    reading.claims_before = std::move(scan->live);
    reading.look.snapshot = std::move(*snapshot);
    reading.look.request = std::move(*request);
    read_links(reading);
    return reading;
  }

  Result<Snapshot> read_devices() {
    const InDriver mark(place_ ? place_->bell.get() : -1);
    return session_.read();
  }

  /// A claim that was made on a full disk has no record, and seems to be of whole devices. To its
  /// own job it is what the job was told.
  void complete_outer(std::vector<Claim>& claims) const {
    for (Claim& claim : claims) {
      if (is_outer(claim) && !claim.share_mib) claim.share_mib = options_.within_share_mib;
    }
  }

  /// Is it the claim that this job is a part of, and this user's?
  bool is_outer(const Claim& claim) const {
    return within_ != 0 && claim.ticket == within_ &&
           (claim.uid == ::geteuid() || ::geteuid() == 0);
  }

  /// How the devices are linked, where that may decide what is granted. (Those ahead may have a
  /// choice where this one has none; what they take is then guessed by the ranking alone.)
  void read_links(Reading& reading) {
    Look& look = reading.look;
    const auto count = static_cast<std::size_t>(look.request.criteria.count);
    if (look.snapshot.devices.size() <= count) return;  // it can but take all
    const std::vector<Occupancy> before =
        gpu_gate::occupancy(look.snapshot, reading.claims_before, within_, reading.jobs);
    if (!links_matter(look.snapshot, before, look.request)) return;
    const InDriver mark(place_ ? place_->bell.get() : -1);
    look.snapshot.links = session_.links();
  }

  /// The claim that this job is a part of, if it lives and is this user's; else the job is like any
  /// other from now on.
  OuterClaim outer_claim(const std::vector<Claim>& claims) {
    OuterClaim outer;
    if (within_ == 0) return outer;
    for (const Claim& claim : claims) {
      if (is_outer(claim)) {
        outer.devices.push_back(claim.uuid);
        outer.share_mib = claim.share_mib;
      }
    }
    if (outer.devices.empty()) {
      leave();
      within_ = 0;
      roster_ = Roster();  // of the line inside the claim
      settling_ = Settling();
    }
    return outer;
  }

  /// The decision, under the mutex, which completes the look: takes the devices if it is this
  /// waiter's turn, else stands in line. Outcome::stale: the snapshot is too old to take or to
  /// refuse by.
  Result<Outcome> decide(Reading& reading) {
    Look& look = reading.look;
    Result<std::optional<MutexGuard>> guard =
        mutex_.lock(mutex_deadline(), ending_,
                    [this](std::optional<pid_t> pid) { observer_.mutex_delayed(pid); });
    if (!guard) return fail(guard.error());
    if (!*guard) return Outcome::timed_out;

    Result<ClaimScan> scan = claims_.scan();
    if (!scan) return fail(scan.error());
    claims_.clear(**guard, *scan);
    complete_outer(scan->live);
    look.claims = scan->live;
    sizes_ = card_sizes(look.snapshot, look.claims);
    look.turns = turn_rule(look.claims, look.policy);
    look.occupancy = occupancy(look.snapshot, look.claims, within_, reading.jobs);
    const bool fresh =
        (*guard)->counters().grants == reading.mark_before.grants && !any_released(reading);
    const Result<LineFound> found = find_place(&**guard);
    if (!found) return fail(found.error());
    calls_.forget();
    Result<Decision> decision = my_turn(**guard, look, found->places);
    if (!decision) return fail(decision.error());
    look.decision = std::move(*decision);

    if (!look.decision.granted.empty()) {
      if (!fresh) {
        if (Status done = grant_by_what_is_fresh(**guard, reading, found->places); !done)
          return fail(done.error());
        if (look.decision.granted.empty()) return Outcome::stale;
      }
      if (Status done = claim_granted(**guard, *scan, look); !done) return fail(done.error());
      return Outcome::granted;
    }
    // A release in between must not be slept on: there would be nothing left to wake us.
    stale_ = !fresh;
    if (options_.one_try()) return stale_ ? Outcome::stale : Outcome::not_yet;
    if (Status done = stand_in_line(**guard, found->last_ticket, look); !done) {
      return fail(done.error());
    }
    return Outcome::not_yet;
  }

  /// A turn by a reading of which some devices were let go since, or claimed and let go: it is one
  /// if those count as claimed, too. (Nobody ahead is passed: what they would take instead is kept
  /// for them.) A device that is claimed now is nobody's turn, however old the reading, and one
  /// that others share now has as much less room.
  Status grant_by_what_is_fresh(const MutexGuard& guard, Reading& reading,
                                const PlacesFound& places) {
    Look& look = reading.look;
    bool outdated = false;
    for (std::size_t i = 0; i < look.occupancy.size(); ++i) {
      if (look.occupancy[i].whole || is_fresh(guard, reading, look.snapshot.devices[i])) continue;
      look.occupancy[i].whole = true;
      outdated = true;
    }
    if (!outdated) return {};
    const Settling counted = settling_;
    Result<Decision> decision = my_turn(guard, look, places);
    if (!decision) return fail(decision.error());
    look.decision = std::move(*decision);
    settling_ = counted;  // it was not seen so
    return {};
  }

  /// Of the claims that were made on it since the reading, and of those before, is none gone?
  bool is_fresh(const MutexGuard& guard, const Reading& reading, const Device& device) const {
    const std::vector<Claim>& live = reading.look.claims;
    if (was_released(device, reading.claims_before, live, within_)) return false;
    const ClaimMark& mark = reading.mark_before;
    const auto of_device = guard.claims_since(mark, device.uuid);
    const auto of_card = guard.claims_since(mark, device.card_uuid);
    if (!of_device || !of_card) return false;
    const auto there = std::count_if(live.begin(), live.end(), [&](const Claim& claim) {
      return claim.ticket > mark.last_claim && claim.place == 0 && occupies(claim, device);
    });
    return *of_device + *of_card == static_cast<std::size_t>(there);
  }

  /// Was any device let go since the reading?
  bool any_released(const Reading& reading) const {
    const std::vector<Device>& devices = reading.look.snapshot.devices;
    return std::any_of(devices.begin(), devices.end(), [&](const Device& device) {
      return was_released(device, reading.claims_before, reading.look.claims, within_);
    });
  }

  /// What the order of turns goes by; inside a claim nobody holds anything.
  TurnRule turn_rule(const std::vector<Claim>& claims, const LinePolicy& policy) const {
    return {.order = policy.order,
            .held = within_ == 0 ? holdings(claims, sizes_) : Holdings{},
            .sizes = sizes_};
  }

  std::optional<Clock::time_point> mutex_deadline() const {
    return options_.one_try() ? began_ + timing::kOneTryForMutex : deadline_;
  }

  /// Takes on the role that the line ahead gives it. With a guard, clears away the dead. (A scan
  /// that finds the predecessor changed rings the leader, also in a look: the place left may have
  /// kept devices from those behind, and the leader decides what comes of it.)
  Result<LineFound> find_place(const MutexGuard* guard) {
    // Nobody gets a lower ticket than the leader but a waiter that was passed over, and that one is
    // its predecessor.
    if (leader() != nullptr && place_ && !predecessor_end_) return LineFound{};
    Result<Ahead> ahead = who_is_ahead();
    if (!ahead) return fail(ahead.error());
    if (guard != nullptr) line_.clear(*guard, *ahead);
    const Ticket predecessor = ahead->predecessor ? ahead->predecessor->ticket : 0;
    if (place_ && ahead->leader && predecessor != predecessor_ticket_) {
      line_.ring_bell(*ahead->leader);
    }
    predecessor_ticket_ = predecessor;
    predecessor_end_ = std::move(ahead->predecessor_end);
    length_ahead_ = ahead->length;
    if (!ahead->leader) {
      if (leader() == nullptr) role_.emplace<Leader>();
    } else {
      if (follower() == nullptr) role_.emplace<Follower>();
      follower()->stand_behind(*ahead);
    }
    known_line_ = std::move(ahead->line);
    if (place_) {
      roster_.drop_ahead(place_->place.ticket, known_line_);
      return LineFound{};
    }
    return LineFound{.last_ticket = ahead->last_ticket, .places = known_line_};
  }

  /// To read all names takes long in a long line: one that stands in it remembers them.
  Result<Ahead> who_is_ahead() {
    if (!place_) return line_.ahead_of(place_in(line_id(), 0));
    Result<std::optional<Ahead>> ahead = line_.ahead_of(place_->place, known_line_);
    if (!ahead) return fail(ahead.error());
    if (*ahead) return std::move(**ahead);
    const Ticket counted = mutex_.peek().last_ticket;
    known_up_to_ = counted > 0 ? counted - 1 : 0;  // as of Roster::read
    line_is_news_ = true;
    return line_.ahead_of(place_->place);
  }

  /// Whose the places are takes long to learn in a long line, and most waiters need not know.
  void begin_roster() {
    if (place_ && std::exchange(line_is_news_, false)) {
      roster_.begin(line_, known_line_, known_up_to_);
    }
  }

  /// Our turn by the line's rule. The line is read only if there is anything to be had, and the
  /// others' records only as far as they matter: most of the time nothing is left behind the first
  /// few. Even the leader has to ask: one that came later may be ahead by turns.
  Result<Decision> my_turn(const MutexGuard& guard, const Look& look, const PlacesFound& places) {
    const Oneself me = oneself();
    const Waiting waiting{.ticket = me.ticket, .uid = me.uid, .request = &look.request};
    Decision alone = look.rule({}).next(waiting);
    if (leader() != nullptr || !alone.granted.empty()) {
      begin_roster();
      Status known = roster_.catch_up(guard, line_, line_id(), places);
      if (!known) return fail(known.error());
    }
    if (alone.granted.empty()) {
      settling_.note({}, Clock::now());
      return alone;
    }
    LineRule rule = look.rule(settling_.settled(Clock::now()));
    if (Status done = serve_ahead(look, me, rule); !done) return fail(done.error());
    Decision decision = rule.next(waiting);
    std::set<std::string> contested;
    for (std::size_t i = 0; i < decision.contested.size(); ++i) {
      if (decision.contested[i]) contested.insert(look.snapshot.devices[i].uuid);
    }
    settling_.note(contested, Clock::now());
    return decision;
  }

  Oneself oneself() const {
    return {.ticket = place_ ? place_->place.ticket : kNewcomer,
            .uid = ::geteuid(),
            .criteria = criteria_};
  }

  /// Applies the rule to those ahead, as long as it leaves anything, and rings those whose turn it
  /// is.
  Status serve_ahead(const Look& look, const Oneself& me, LineRule& rule) {
    WaiterRecords records;
    Turns turns(line_, roster_, line_id(), look.turns, &me, records);
    while (rule.leaves_any_for(look.request)) {
      const Result<std::optional<Turn>> turn = turns.next();
      if (!turn) return fail(turn.error());
      if (!*turn || (*turn)->oneself) break;
      const Result<bool> passed_over = line_.is_passed_over((*turn)->place);
      if (!passed_over) return fail(passed_over.error());
      const Decision theirs = rule.next({.ticket = (*turn)->place.ticket,
                                         .uid = (*turn)->uid,
                                         .request = &(*turn)->record->request,
                                         .passed_over = *passed_over});
      if (!theirs.granted.empty()) calls_.call(line_, (*turn)->place);
    }
    return {};
  }

  /// Takes the granted devices and leaves the line, under the mutex.
  Status claim_granted(MutexGuard& guard, const ClaimScan& scan, const Look& look) {
    for (const std::size_t i : look.decision.granted) {
      granted_.devices.push_back(look.snapshot.devices[i]);
      granted_.parts.push_back(part_of_card(granted_.devices.back(), criteria_, look.snapshot));
    }
    granted_.within = within_;
    granted_.indices_hold = indices_hold(look.snapshot);
    granted_.share_mib = criteria_.share_mib;
    reserved_.clear();
    // The leader sleeps on the claims it knows; this one is new to it, and changes the order of
    // turns (so does the turn of one that claims nothing). Rung before: if this process is killed
    // in between, its mutex may be let go before its claim.
    if (follower() != nullptr) line_.ring_bell(follower()->leader());
    if (options_.keep_devices) {
      ClaimRecord record{
          .owner = options_.owner, .devices = {}, .with_process = options_.with_process};
      record.owner.since = std::time(nullptr);
      record.within = within_;
      record.share_mib = criteria_.share_mib;
      for (const Device& device : granted_.devices) record.devices.push_back(device.uuid);
      Result<NewClaim> made = claims_.make(guard, scan, record, Recording::required);
      if (!made && lacks_room(made.error())) {
        leave();  // what its place took up may be the room that is lacking
        made = claims_.make(guard, scan, record, Recording::if_possible);
      }
      if (!made) return fail(made.error());
      granted_.claim = made->ticket;
      granted_.held = std::move(made->held);
    }
    if (Leader* const leads = leader(); leads != nullptr && place_) {
      led_.emplace(std::move(*leads), post());
    }
    if (within_ == 0) guard.note_turn(::geteuid(), guard.counters().last_ticket);
    leave();
    granted_.duration = Clock::now() - began_;
    return {};
  }

  /// A leader that is served tells those behind whose turn it is by the same look, without the
  /// mutex. The next leader would find out as well, but only by a look of its own, and then the one
  /// after it.
  void call_those_behind(Look look) {
    if (!led_) return;
    if (options_.keep_devices) {
      const Criteria& criteria = look.request.criteria;
      for (const std::size_t i : look.decision.granted) {
        take(look.snapshot.devices[i], look.occupancy[i], criteria);
      }
      look.turns.held[::geteuid()] += amount_of(criteria, look.turns.sizes);
    }
    led_->first.served(look, led_->second, calls_);
  }

  /// Joins the line, or tells it what has changed in the request.
  Status stand_in_line(MutexGuard& guard, Ticket last_ticket, const Look& look) {
    const Request& request = look.request;
    const WaiterRecord record{.owner = options_.owner, .request = request};
    const bool changed = request.barred != barred_ || request.allowed != allowed_;
    if (!place_) {
      if (Status ready = make_ready(look); !ready) return ready;
      // In the order of turns it may come to stand ahead of others, for whom the leader decides.
      // Rung before: if this process is killed in between, nobody would tell of its end.
      if (follower() != nullptr && look.rule({}).leaves_any()) {
        line_.ring_bell(follower()->leader());
      }
      Result<OwnPlace> place = line_.join(guard, last_ticket, record);
      if (!place) return fail(place.error());
      place_ = std::move(*place);
      known_line_.push_back(place_->place);
      known_up_to_ = place_->place.ticket;
      line_is_news_ = true;
      barred_ = request.barred;
      allowed_ = request.allowed;
      waited_ = true;
      return {};
    }
    if (!changed) return {};
    if (Status written = line_.rewrite(place_->place, record); !written) {
      // The old record still says the truth of all but what the machine has changed.
      return lacks_room(written.error()) ? Status() : written;
    }
    barred_ = request.barred;
    allowed_ = request.allowed;
    // What it does not keep any more may be for one behind.
    if (follower() != nullptr) line_.ring_bell(follower()->leader());
    return {};
  }

  /// How many descriptors the claim will be.
  std::size_t claim_size(const Request& request) const {
    return options_.keep_devices ? static_cast<std::size_t>(request.criteria.count) : 0;
  }

  /// Takes what the wait and its end will need, so that too low a limit shows before the wait and
  /// not when it is this waiter's turn: descriptors for the claim and, as a leader, for a watch on
  /// each device.
  Status make_ready(const Look& look) {
    if (!signals_) signals_ = UniqueFd(::signalfd(-1, &ending_, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_) return fail(system_error(ErrorKind::system, "signalfd", "", errno));
    const std::size_t needed = claim_size(look.request) + look.snapshot.devices.size();
    while (reserved_.size() < needed) {
      UniqueFd fd(::fcntl(dir_.root(), F_DUPFD_CLOEXEC, 0));
      if (!fd) return fail(system_error(ErrorKind::system, "fcntl", "F_DUPFD", errno));
      reserved_.push_back(std::move(fd));
    }
    return {};
  }

  /// After a look that granted nothing, without the mutex: chooses what to sleep on.
  Status settle_down(const Look& look) {
    if (follower() != nullptr) session_.close();
    if (leader() != nullptr && reserved_.size() > claim_size(look.request)) {
      reserved_.resize(claim_size(look.request));
    }
    const Result<bool> watched = leader() != nullptr ? leader()->looked(look, post(), calls_)
                                                     : follower()->looked(look, post());
    if (!watched) return fail(watched.error());
    if (!*watched) stale_ = true;
    return {};
  }

  void report(const Look& look) {
    observer_.looked({.snapshot = look.snapshot,
                      .request = look.request,
                      .fits = look.decision.fits,
                      .occupancy = look.occupancy,
                      .claims = look.claims,
                      .records = claims_});
    if (length_ahead_ < timing::kFarBack) {
      report_position();
    } else {
      report_position_in(timing::kTellPositionFarBack);
    }
  }

  void report_position_in(nanoseconds time) {
    if (!position_due_ && observer_.wants_position()) position_due_ = Clock::now() + time;
  }

  void report_position() {
    position_due_.reset();
    if (!observer_.wants_position() || !place_) return;
    const Result<ClaimScan> scan = claims_.scan();
    begin_roster();
    if (!scan || !roster_.read(line_, line_id(), mutex_.peek().last_ticket)) return;
    const Result<Standing> standing = standing_of(oneself(), line_, roster_, line_id(),
                                                  turn_rule(scan->live, read_line_policy(dir_)));
    if (!standing) return;
    observer_.positioned(*standing);
    next_tick_ = std::min(next_tick_, Clock::now() + observer_.tick());
  }

  // --- sleep ------------------------------------------------------------------------------------

  struct Descriptors {
    WaitSet::Id signals = 0;
    WaitSet::Id lifeline = 0;
    WaitSet::Id bell = 0;
    WaitSet::Id predecessor = 0;
  };

  /// Sleeps until it is time to look (nothing is returned), or the wait ends.
  Result<std::optional<WaitEnd>> sleep() {
    for (;;) {
      if (deadline_ && Clock::now() >= *deadline_) return WaitEnd(TimedOut{});
      if (std::exchange(stale_, false)) {
        if (leader() != nullptr) leader()->released();
        return std::nullopt;
      }
      WaitSet set;
      const Descriptors ids = fill(set);
      if (Status slept = set.sleep(); !slept) return fail(slept.error());
      if (std::optional<WaitEnd> end = end_by(set, ids)) return end;
      const Result<bool> look = woke(set, ids);
      if (!look) return fail(look.error());
      if (*look) return std::nullopt;
      session_.close_if_idle();
    }
  }

  Descriptors fill(WaitSet& set) {
    const Descriptors ids{
        .signals = set.add(signals_.get(), POLLIN),
        .lifeline = set.add(options_.lifeline.fd, options_.lifeline.events),
        .bell = set.add(place_->bell.get(), POLLIN),
        .predecessor = set.add(predecessor_end_.get(), 0),
    };
    std::visit([&](auto& role) { role.add_to(set); }, role_);
    session_.add_to(set);
    calls_.add_to(set);
    if (deadline_) set.until(*deadline_);
    if (observer_.tick().count() > 0) set.until(next_tick_);
    if (position_due_) set.until(*position_due_);
    return ids;
  }

  std::optional<WaitEnd> end_by(const WaitSet& set, const Descriptors& ids) {
    struct signalfd_siginfo info{};
    if (set.fired(ids.signals) && ::read(signals_.get(), &info, sizeof info) == sizeof info) {
      return WaitEnd(Signalled{static_cast<int>(info.ssi_signo)});
    }
    if (set.fired(ids.lifeline) && options_.lifeline.owner_is_gone()) return WaitEnd(Abandoned{});
    return std::nullopt;
  }

  /// Is it time to look at the devices?
  Result<bool> woke(const WaitSet& set, const Descriptors& ids) {
    const auto now = Clock::now();
    bool look = calls_.woke(now, line_, place_->place);
    bool line_changed = set.fired(ids.predecessor);
    if (leader() != nullptr) {
      look = leader()->woke(set, now) || look;
    } else {
      const Follower::Wake wake = follower()->woke(set, now, post());
      look = look || wake == Follower::Wake::look;
      line_changed = line_changed || wake == Follower::Wake::check_line;
    }
    if (look || set.fired(ids.bell)) {
      const Result<bool> rung = hear_bell(look);
      if (!rung) return fail(rung.error());
      look = look || *rung;
    }
    if (line_changed) {
      const Result<bool> leads = check_line(set.fired(ids.predecessor));
      if (!leads) return fail(leads.error());
      look = look || *leads;
    }
    if (!look && position_due_ && now >= *position_due_) report_position();
    if (!look && observer_.tick().count() > 0 && now >= next_tick_) {
      next_tick_ = now + observer_.tick();
      observer_.ticked();
    }
    return look;
  }

  /// Empties the bell, before the look: a ring during the look is heard after it. Is it for a look?
  /// `looks`: there will be one anyway.
  Result<bool> hear_bell(bool looks) {
    const nanoseconds since_look = Clock::now() - last_look_;
    if (!looks && since_look < timing::kBetweenRings && may_be_rung(place_->bell.get())) {
      pause_for(timing::kBetweenRings - since_look);
    }
    const Heard heard = answer_bell(place_->bell.get());
    if (heard == Heard::ring && leader() != nullptr) leader()->rung();
    if (heard != Heard::next || follower() == nullptr) return heard == Heard::ring;
    begin_roster();
    const bool is_news = !follower()->knows_it_is_next();
    const Result<bool> watched = follower()->is_next(post(), mutex_.peek().last_ticket);
    if (!watched) return fail(watched.error());
    // Like one that comes to lead it has the driver open for a moment: where jobs are short, its
    // look is soon.
    if (is_news && *watched) {
      if (const auto read = read_devices(); !read) return fail(read.error());
    }
    return !*watched;
  }

  /// Something changed ahead, or it is time to see whether anything did. True: it leads now.
  Result<bool> check_line(bool changed) {
    if (const auto found = find_place(nullptr); !found) return fail(found.error());
    if (leader() != nullptr) return true;
    const bool near = length_ahead_ < timing::kLineCheckSpread;
    const bool due = changed || near || ++checks_ % kChecksPerPosition == 0;
    if (due) report_position_in(timing::kTellPosition);
    const Result<bool> watched = follower()->checked_line(post());
    if (!watched) return fail(watched.error());
    if (!*watched) stale_ = true;
    return false;
  }

  // --- where it stands --------------------------------------------------------------------------

  LineId line_id() const { return line_for(within_, vendor_); }
  Leader* leader() { return std::get_if<Leader>(&role_); }
  Follower* follower() { return std::get_if<Follower>(&role_); }
  Post post() {
    return {.line = line_,
            .claims = claims_,
            .place = place_->place,
            .poll = options_.poll,
            .roster = roster_,
            .settling = settling_};
  }

  void leave() {
    if (!place_) return;
    line_.leave(place_->place);
    place_.reset();
    predecessor_end_.reset();
    role_.emplace<Follower>();
  }

  Session& session_;
  const MakeRequest& make_request_;
  const WaitOptions& options_;
  WaitObserver& observer_;

  const sigset_t ending_ = ending_signals();
  // Only the sleep takes note of the ending signals; where the driver or the mutex may block for
  // long, they are let through.
  const SignalBlock block_{ending_};
  UniqueFd signals_;

  const LockDir dir_;
  const Line line_{dir_};
  const Claims claims_{dir_};
  Mutex mutex_{dir_};

  Ticket within_;
  Vendor vendor_ = Vendor::nvidia;  // of the devices; the source keeps to one
  bool knows_outer_;                // else it has still to look for the claim that it asks in
  const Clock::time_point began_;
  const std::optional<Clock::time_point> deadline_;
  Clock::time_point last_look_;
  Clock::time_point next_tick_;
  std::size_t length_ahead_ = 0;                   // of the line, at the last scan
  std::vector<Place> known_line_;                  // by that, without the dead that it found
  Ticket known_up_to_ = 0;                         // all that live and have no higher one are there
  bool line_is_news_ = false;                      // to the roster
  unsigned checks_ = 0;                            // of the line, without that
  std::optional<Clock::time_point> position_due_;  // when it is to be told again

  std::optional<OwnPlace> place_;
  std::vector<UniqueFd> reserved_;  // for what make_ready says, given back when it is needed
  std::variant<Follower, Leader> role_;
  std::vector<std::string> barred_;                  // in the record of the place
  std::optional<std::vector<std::string>> allowed_;  // likewise
  // Of the last scan, whatever the role was then: a change that is not seen is a wake-up lost.
  Ticket predecessor_ticket_ = 0;
  UniqueFd predecessor_end_;
  Criteria criteria_;  // of the last request
  CardSizes sizes_;    // at the last look
  Roster roster_;
  Settling settling_;
  std::optional<std::pair<Leader, Post>> led_;  // until it was served
  Calls calls_;
  bool waited_ = false;
  bool stale_ = false;  // the last look was older than a release

  Granted granted_;
};

bool is_of_directory(const Error& error) {
  return error.kind == ErrorKind::lock_dir || error.kind == ErrorKind::lock_file;
}

/// Opens the lock directory; tries again until then where it cannot be used. Blocks as long.
Result<LockDir> open_within(const LockDirPaths& paths, Clock::time_point until) {
  for (;;) {
    Result<LockDir> dir = LockDir::open(paths);
    if (dir || Clock::now() >= until) return dir;
    pause_for(timing::kBetweenOpens);
  }
}

}  // namespace

Result<WaitEnd> wait_for_gpus(const LockDirPaths& paths, GpuSource& source,
                              const MakeRequest& make_request, const WaitOptions& options,
                              WaitObserver& observer) {
  const Clock::time_point began = Clock::now();
  Session session(source, options, observer);
  bool waited = false;
  int reopens = 0;
  Clock::time_point patient_until = began;
  for (;;) {
    Result<LockDir> dir = open_within(paths, patient_until);
    if (!dir) return fail(dir.error());
    observer.opened(*dir);
    const std::string path = dir->path();
    Waiter waiter(std::move(*dir), began, session, make_request, options, observer);
    Result<WaitEnd> end = waiter.wait();
    waited = waited || waiter.waited();
    if (end) {
      if (auto* granted = std::get_if<Granted>(&*end)) {
        granted->waited = waited;
        granted->lock_dir = path;
      }
      return end;
    }
    Error error = end.error();
    if (error.kind == ErrorKind::replaced && reopens < kMaxReopens) {
      ++reopens;
      // Whoever makes another directory may not be done with it yet, nor with what is in it.
      patient_until = Clock::now() + timing::kReopenFor;
      continue;
    }
    if (is_of_directory(error) && Clock::now() < patient_until) {
      pause_for(timing::kBetweenOpens);
      continue;
    }
    if (error.kind == ErrorKind::replaced) {
      error = Error{.kind = ErrorKind::lock_file, .text = "somebody keeps removing it"};
    }
    return fail(explain_lock_error(std::move(error), path));
  }
}

}  // namespace gpu_gate
