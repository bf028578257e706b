#include "gate/waiter.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <set>
#include <utility>

#include "base/printable.h"
#include "base/signals.h"

namespace gpu_gate {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

/// A card that those ahead could use, but not as it is now, is kept for them for so long.
constexpr seconds kSettleTime{10};
/// Who is not first looks at the line by itself this often, in case those ahead hang: the nearer to
/// the front, the more often, so that a long line costs hardly more than a short one.
constexpr seconds kLineCheck{5};
constexpr std::size_t kLineCheckSpread = 16;
/// The second in line gives the first so much time after a release before it rings.
constexpr milliseconds kHeadStart{50};
/// A bell may make a waiter look this often at the most: anybody may ring.
constexpr milliseconds kLeastBetweenRings{20};
/// Looks after a release, until the memory is there: soon, then every 40 ms as long as a driver may
/// reasonably need to free it, then seldom; then --poll.
constexpr milliseconds kSoon[] = {milliseconds(1), milliseconds(2), milliseconds(5),
                                  milliseconds(10), milliseconds(20)};
constexpr milliseconds kOften{40};
constexpr seconds kOftenFor{5};
constexpr milliseconds kSeldom{250};
constexpr seconds kSeldomFor{30};
constexpr std::size_t kMostPidfds = 64;
/// Of a lock directory that was replaced.
constexpr int kMostReopens = 100;

/// When to look again after something was released.
class Relook {
 public:
  void start(Clock::time_point now) {
    began_ = now;
    looks_ = 0;
  }
  void stop() { began_.reset(); }

  /// The time of the next look, as long as there is one before the ordinary poll.
  std::optional<Clock::time_point> next(Clock::time_point now) {
    if (!began_) return std::nullopt;
    const std::size_t look = looks_++;
    if (look < std::size(kSoon)) return now + kSoon[look];
    if (now - *began_ < kOftenFor) return now + kOften;
    if (now - *began_ < kSeldomFor) return now + kSeldom;
    began_.reset();
    return std::nullopt;
  }

 private:
  std::optional<Clock::time_point> began_;
  std::size_t looks_ = 0;
};

class Waiter {
 public:
  Waiter(const LockDirPlaces& places, GpuSource& source, const MakeRequest& make_request,
         const WaitOptions& options, WaitObserver& observer)
      : places_(places),
        source_(source),
        make_request_(make_request),
        options_(options),
        observer_(observer),
        within_(options.within),
        began_(Clock::now()) {
    // A time-out of centuries is none; the clock would overflow.
    if (options.timeout && *options.timeout < std::chrono::hours(24 * 365 * 100)) {
      deadline_ = began_ + *options.timeout;
    }
  }

  ~Waiter() { leave(); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  Result<WaitEnd> wait() {
    Result<WaitEnd> end = wait_for_turn();
    if (!end) return fail(explain_lock_error(end.error(), dir_.path()));
    return end;
  }

 private:
  Result<WaitEnd> wait_for_turn() {
    // Only the sleep takes note of the ending signals; but where the driver or the mutex may block
    // for long, they end the process as they always did.
    const SignalBlock block(ending_);
    signals_ = UniqueFd(::signalfd(-1, &ending_, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_) return fail(system_error(ErrorKind::system, "signalfd", "", errno));
    if (Status opened = open_dir(); !opened) return fail(opened.error());
    for (;;) {
      Result<bool> granted = look();
      if (!granted) return fail(granted.error());
      if (*granted) break;
      Result<bool> look_now = false;
      while (look_now && !*look_now) look_now = sleep();
      if (!look_now) return fail(look_now.error());
      if (end_.signal != 0 || end_.abandoned) break;
    }
    end_.duration = Clock::now() - began_;
    return std::move(end_);
  }

  /// What was found under the mutex.
  struct View {
    std::vector<Claim> claims;
    std::vector<bool> claimed;  // for each device, whether a claim on it counts for this request
    Turn turn;
    bool fresh = false;  // nothing was claimed or released since the snapshot
  };

  Status open_dir() {
    leave();
    Result<LockDir> dir = LockDir::open(places_);
    if (!dir) return fail(dir.error());
    dir_ = std::move(*dir);
    return {};
  }

  void leave() {
    if (!standing_) return;
    ledger_.leave(standing_->place);
    standing_.reset();
    predecessor_ = UniqueFd();
    leading_ = false;
  }

  /// One look at the cards and the line. True: granted, end_ is filled in.
  Result<bool> look() {
    for (;;) {
      last_look_ = Clock::now();
      // What is claimed or released from here on makes the snapshot stale.
      const Counters before = peek_counters(dir_);
      Result<std::vector<Claim>> claims_before = ledger_.claims(nullptr);
      if (!claims_before) return fail(claims_before.error());
      const std::vector<std::string> claim_devices = devices_of_outer_claim(*claims_before);

      Result<Snapshot> snapshot = read_cards();
      if (!snapshot) return fail(snapshot.error());
      Result<Request> request = make_request_(*snapshot, within_ != 0 ? &claim_devices : nullptr);
      if (!request) return fail(request.error());
      request->within = within_;
      const bool changed = request->barred != request_.barred;
      request_ = std::move(*request);

      cards_.clear();
      for (const Device& device : snapshot->devices) cards_.insert(device.uuid);
      std::set<std::string> claimed_before;
      for (const Claim& claim : *claims_before) {
        if (claim.ticket > within_) claimed_before.insert(claim.uuid);
      }
      Result<std::optional<View>> view = decide(*snapshot, before, claimed_before, changed);
      if (!view && view.error().kind == ErrorKind::replaced && ++reopened_ <= kMostReopens) {
        if (Status opened = open_dir(); !opened) return fail(opened.error());
        continue;
      }
      if (!view && view.error().kind == ErrorKind::replaced) {
        return fail(ErrorKind::lock_dir, "somebody keeps removing it");
      }
      if (!view) return fail(view.error());
      if (!*view) return true;
      // Our turn, or the only try, by a stale snapshot: look again.
      if (!(*view)->turn.granted.empty() || (one_try() && stale_)) continue;
      if (one_try()) {
        observer_.looked(
            Outlook{*snapshot, request_, (*view)->turn.fits, (*view)->claims, ledger_});
        return fail(timed_out());
      }
      if (Status done = after_look(*snapshot, **view); !done) return fail(done.error());
      return false;
    }
  }

  Result<Snapshot> read_cards() {
    const SignalsThrough through(ending_);
    return source_.read();
  }

  /// The claim that this job is a part of, if it lives and is this user's; else the job is like any
  /// other from now on.
  std::vector<std::string> devices_of_outer_claim(const std::vector<Claim>& claims) {
    std::vector<std::string> devices;
    if (within_ == 0) return devices;
    for (const Claim& claim : claims) {
      if (claim.ticket == within_ && (claim.owner == ::geteuid() || ::geteuid() == 0)) {
        devices.push_back(claim.uuid);
      }
    }
    if (devices.empty()) {
      leave();
      within_ = 0;
    }
    return devices;
  }

  /// The decision, under the mutex: takes the cards if it is our turn, else stands in line.
  /// Nothing: granted. A view with a grant: it is our turn, but the snapshot is stale.
  Result<std::optional<View>> decide(const Snapshot& snapshot, const Counters& before,
                                     const std::set<std::string>& claimed_before, bool changed) {
    Result<MutexGuard> guard =
        lock_mutex(dir_, lock_deadline(), ending_,
                   [this](std::optional<pid_t> pid) { observer_.mutex_delayed(pid); });
    if (!guard && guard.error().kind == ErrorKind::timed_out) return fail(timed_out());
    if (!guard) return fail(guard.error());

    View view;
    Result<std::vector<Claim>> claims = ledger_.claims(&*guard);
    if (!claims) return fail(claims.error());
    view.claims = std::move(*claims);
    view.claimed = claimed_devices(snapshot, view.claims);
    view.fresh = guard->read().grants == before.grants;
    for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
      if (!view.claimed[i] && claimed_before.count(snapshot.devices[i].uuid) != 0) {
        view.fresh = false;
      }
    }
    const bool led = leading_;
    if (Status placed = find_place(&*guard); !placed) return fail(placed.error());
    if (leading_ && !led) news_ = true;
    if (news_) {
      records_.clear();
      told_.clear();
    }
    called_until_.reset();
    Result<Turn> turn = my_turn(snapshot, view.claimed);
    if (!turn) return fail(turn.error());
    view.turn = std::move(*turn);

    if (!view.turn.granted.empty()) {
      if (!view.fresh) return view;
      if (Status took = take(*guard, snapshot, view.turn.granted); !took) return fail(took.error());
      return std::nullopt;
    }
    // A release in between must not be slept on: there would be nothing left to wake us.
    stale_ = !view.fresh;
    if (one_try()) return view;
    if (!standing_) {
      Result<Standing> standing = ledger_.join(*guard, record());
      if (!standing) return fail(standing.error());
      standing_ = std::move(*standing);
      end_.waited = true;
    } else if (changed) {
      if (Status written = ledger_.rewrite(standing_->place, record()); !written) {
        return fail(written.error());
      }
      // What it no longer keeps from those behind is theirs.
      if (first_) ledger_.ring_bell(*first_, Ring::look);
    }
    return view;
  }

  bool one_try() const { return options_.timeout && options_.timeout->count() == 0; }

  /// One try does not give up because somebody holds the mutex for a moment.
  std::optional<Clock::time_point> lock_deadline() const {
    if (!deadline_) return std::nullopt;
    return one_try() ? began_ + seconds(2) : *deadline_;
  }

  Error timed_out() const { return Error{ErrorKind::timed_out, "", 0}; }

  std::vector<bool> claimed_devices(const Snapshot& snapshot,
                                    const std::vector<Claim>& claims) const {
    std::vector<bool> claimed(snapshot.devices.size(), false);
    for (std::size_t i = 0; i < claimed.size(); ++i) {
      claimed[i] = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
        // Within a claim only those count that were made after it: they are the job's other parts.
        return claim.ticket > within_ && claim.uuid == snapshot.devices[i].uuid;
      });
    }
    return claimed;
  }

  WaiterRecord record() const { return WaiterRecord{options_.owner, request_}; }

  /// Finds out who is ahead: whether this waiter is first, or second, and whom it watches.
  Status find_place(const MutexGuard* guard) {
    // Nobody can come to stand ahead of the first; only a waiter that was passed over can come
    // back.
    if (leading_ && standing_ && !predecessor_) return {};
    Result<Ahead> ahead = ledger_.ahead_of(standing_ ? standing_->place : Place{0, within_}, guard);
    if (!ahead) return fail(ahead.error());
    first_ = ahead->first;
    leading_ = !first_;
    check_every_ = kLineCheck * (1 + ahead->length / kLineCheckSpread);
    // Second in line: nobody but the first is ahead.
    second_ = first_ && ahead->predecessor && ahead->predecessor->ticket == first_->ticket;
    // Who left may have kept cards from those behind: the first in line decides what comes of it.
    const Ticket predecessor = ahead->predecessor ? ahead->predecessor->ticket : 0;
    if (standing_ && first_ && predecessor != predecessor_ticket_)
      ledger_.ring_bell(*first_, Ring::look);
    predecessor_ticket_ = predecessor;
    predecessor_ = std::move(ahead->watch);
    return {};
  }

  /// Our turn by the line's rule. The others' records are read only as far as they matter: most of
  /// the time there is nothing to be had, nobody ahead, or nothing left behind the first few.
  Result<Turn> my_turn(const Snapshot& snapshot, const std::vector<bool>& claimed) {
    const InLine me{&request_, false};
    Turn alone = Granting(snapshot, claimed, {}).next(me);
    if (leading_ || alone.granted.empty()) {
      since_contested_.clear();
      return alone;
    }
    Result<std::vector<Place>> places = ledger_.line(within_);
    if (!places) return fail(places.error());
    Granting granting(snapshot, claimed, settled());
    for (const Place& place : *places) {
      if (standing_ && place.ticket >= standing_->place.ticket) break;
      if (!granting.leaves_any_for(request_)) break;
      const Result<bool> live = ledger_.is_live(place);
      if (!live) return fail(live.error());
      if (!*live) continue;
      const std::optional<WaiterRecord> other = ledger_.waiter_record(place);
      if (!other) continue;
      const Result<bool> passed_over = ledger_.is_passed_over(place);
      if (!passed_over) return fail(passed_over.error());
      const Turn turn = granting.next(InLine{&other->request, *passed_over});
      if (!turn.granted.empty()) call(place);
    }
    Turn turn = granting.next(me);
    note_contested(snapshot, turn);
    return turn;
  }

  /// Rings a waiter whose turn it is, and notes when it is passed over if it does not answer.
  void call(const Place& place) {
    const std::optional<BellState> bell = ledger_.ring_bell(place, Ring::look);
    if (!bell) return;
    const nanoseconds age = bell->pending ? bell->age : nanoseconds(0);
    const auto answer_by = Clock::now() + std::max<nanoseconds>(kAnswerTime - age, milliseconds(1));
    called_until_ = called_until_ ? std::min(*called_until_, answer_by) : answer_by;
  }

  /// The cards that this waiter has seen unusable for those ahead for long enough.
  std::set<std::string> settled() const {
    std::set<std::string> uuids;
    for (const auto& [uuid, since] : since_contested_) {
      if (Clock::now() - since >= kSettleTime) uuids.insert(uuid);
    }
    return uuids;
  }

  void note_contested(const Snapshot& snapshot, const Turn& turn) {
    std::map<std::string, Clock::time_point> since;
    for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
      if (!turn.contested[i]) continue;
      const std::string& uuid = snapshot.devices[i].uuid;
      const auto known = since_contested_.find(uuid);
      since[uuid] = known != since_contested_.end() ? known->second : Clock::now();
    }
    since_contested_ = std::move(since);
  }

  /// Takes the granted cards and leaves the line, under the mutex.
  Status take(const MutexGuard& guard, const Snapshot& snapshot,
              const std::vector<std::size_t>& granted) {
    for (std::size_t i : granted) end_.devices.push_back(snapshot.devices[i]);
    if (options_.claim) {
      ClaimRecord claim;
      claim.owner = options_.owner;
      claim.owner.since = std::time(nullptr);
      for (const Device& device : end_.devices) claim.devices.push_back(device.uuid);
      // The first in line sleeps on the claims it knows; this one is new to it. Rung before: if
      // this process is killed in between, its mutex may be let go before its claim.
      if (first_) ledger_.ring_bell(*first_, Ring::look);
      Result<Ledger::Made> made = ledger_.claim(guard, claim);
      if (!made) return fail(made.error());
      end_.claim = made->ticket;
      end_.held = std::move(made->held);
    }
    leave();
    return {};
  }

  /// After a look that granted nothing, without the mutex.
  Status after_look(const Snapshot& snapshot, const View& view) {
    const auto now = Clock::now();
    next_look_ = now + options_.poll;
    std::set<std::string> awaited;
    add_awaited(snapshot, view.turn, awaited);
    if (leading_) {
      call_others(snapshot, view.claimed, awaited);
      if (!watch_processes(snapshot, view.claimed)) relook_.start(now);
      // What ended before may still be on its way to be free.
      if (std::exchange(news_, false) && draining(snapshot, awaited)) relook_.start(now);
      if (awaited.empty()) relook_.stop();
      if (const auto soon = relook_.next(now)) next_look_ = std::min(next_look_, *soon);
    } else {
      // What ends there is noticed by the first in line, who has to know that somebody waits for
      // it; and who can no longer count the time until a card has settled must be told when to
      // begin again.
      const bool awaits_more =
          !std::includes(awaited_.begin(), awaited_.end(), awaited.begin(), awaited.end());
      const bool counts_no_more = settle_look_ && since_contested_.empty();
      if (first_ && (awaits_more || counts_no_more)) ledger_.ring_bell(*first_, Ring::look);
      awaited_ = std::move(awaited);
      pidfds_.clear();
      relook_.stop();
      source_.close();
      ping_first();
    }
    observer_.looked(Outlook{snapshot, request_, view.turn.fits, view.claims, ledger_});
    tell_place();
    if (Status watched = watch_claims(view.claims); !watched) return watched;
    settle_look_.reset();
    for (const auto& [uuid, since] : since_contested_) {
      const auto settles = std::max(since + kSettleTime, now + milliseconds(100));
      settle_look_ = settle_look_ ? std::min(*settle_look_, settles) : settles;
    }
    return {};
  }

  /// Adds the cards that only need time: the waiter could use them if what is there now went away.
  static void add_awaited(const Snapshot& snapshot, const Turn& turn,
                          std::set<std::string>& awaited) {
    for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
      const Fit f = turn.fits[i];
      if (f == Fit::memory_held || f == Fit::memory_low || f == Fit::busy || f == Fit::occupied) {
        awaited.insert(snapshot.devices[i].uuid);
      }
    }
  }

  /// Is one of these in use without a process that the driver shows? Then a job has ended there and
  /// the driver is still freeing its memory (or it never will: the looks become seldom).
  static bool draining(const Snapshot& snapshot, const std::set<std::string>& cards) {
    return std::any_of(snapshot.devices.begin(), snapshot.devices.end(), [&](const Device& device) {
      return cards.count(device.uuid) != 0 && device.processes.empty();
    });
  }

  /// Decides for those behind and rings whose turn it is; only hints, so nothing is locked. Adds
  /// the cards that they wait for to `awaited`.
  void call_others(const Snapshot& snapshot, const std::vector<bool>& claimed,
                   std::set<std::string>& awaited) {
    bool any_free = false;
    for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
      any_free = any_free || (!claimed[i] && snapshot.devices[i].health == Health::ok);
    }
    if (!any_free) return;
    Result<std::vector<Place>> places = ledger_.line(within_);
    if (!places) return;
    // As if the contested cards had settled: whoever would get one must know, to begin its own
    // count.
    std::set<std::string> all;
    for (const Device& device : snapshot.devices) all.insert(device.uuid);
    Granting granting(snapshot, claimed, std::move(all));
    granting.next(InLine{&request_, false});
    std::map<Ticket, WaiterRecord> known;
    std::map<Ticket, std::vector<std::size_t>> told;
    for (const Place& place : *places) {
      if (place.ticket <= standing_->place.ticket) continue;
      const Result<bool> live = ledger_.is_live(place);
      if (!live || !*live) continue;
      auto record = records_.extract(place.ticket);
      if (!record.empty()) {
        known.insert(std::move(record));
      } else if (auto fresh = ledger_.waiter_record(place)) {
        known.emplace(place.ticket, std::move(*fresh));
      } else {
        continue;
      }
      const Result<bool> passed_over = ledger_.is_passed_over(place);
      if (!passed_over) return;
      const Turn turn = granting.next(InLine{&known.at(place.ticket).request, *passed_over});
      add_awaited(snapshot, turn, awaited);
      if (turn.granted.empty()) continue;
      if (std::none_of(turn.granted.begin(), turn.granted.end(),
                       [&](std::size_t device) { return turn.contested[device]; })) {
        call(place);
        continue;
      }
      told[place.ticket] = turn.granted;
      const auto before = told_.find(place.ticket);
      if (before == told_.end() || before->second != turn.granted)
        ledger_.ring_bell(place, Ring::look);
    }
    records_ = std::move(known);
    told_ = std::move(told);
  }

  /// Watches the processes of others on unclaimed cards, also on those that only the ones behind
  /// could use. False if one was met for the first time that cannot be watched: it has just ended,
  /// and it is time to look again, or it lives in another pid namespace.
  bool watch_processes(const Snapshot& snapshot, const std::vector<bool>& claimed) {
    bool all = true;
    std::map<pid_t, UniqueFd> watched;
    std::set<pid_t> hidden;
    for (std::size_t i = 0; i < snapshot.devices.size(); ++i) {
      if (claimed[i]) continue;
      for (const GpuProcess& process : snapshot.devices[i].processes) {
        if (process.pid <= 0 || watched.count(process.pid) != 0 || watched.size() >= kMostPidfds) {
          continue;
        }
        auto known = pidfds_.extract(process.pid);
        if (!known.empty()) {
          watched.insert(std::move(known));
          continue;
        }
        if (hidden_.count(process.pid) != 0) {
          hidden.insert(process.pid);
          continue;
        }
        UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
        if (pidfd) {
          watched.emplace(process.pid, std::move(pidfd));
        } else {
          hidden.insert(process.pid);
          all = false;
        }
      }
    }
    pidfds_ = std::move(watched);
    hidden_ = std::move(hidden);
    return all;
  }

  /// Watches one claim on each card that this line is about, and one of the claim that it is inside
  /// of: when that ends there is something to look at. As many as cards, however many claims there
  /// are.
  Status watch_claims(const std::vector<Claim>& claims) {
    claims_.clear();
    if (!leading_ && !second_) return {};
    std::set<std::string> watched;
    for (const Claim& claim : claims) {
      const bool outer = claim.ticket == within_;
      if (claim.ticket < within_ || cards_.count(claim.uuid) == 0) continue;
      if (!watched.insert(outer ? std::string() : claim.uuid).second) continue;
      Result<std::optional<ClaimWatch>> watch = ledger_.watch(claim);
      if (!watch) return fail(watch.error());
      if (!*watch) {
        stale_ = true;  // it has just ended
        continue;
      }
      claims_.push_back(std::move(**watch));
    }
    return {};
  }

  void tell_place() {
    if (!observer_.wants_place() || !standing_) return;
    Result<std::vector<Place>> places = ledger_.line(within_);
    if (!places) return;
    std::size_t place = 1;
    for (const Place& other : *places) {
      if (other.ticket >= standing_->place.ticket) break;
      const Result<bool> live = ledger_.is_live(other);
      if (live && *live) ++place;
    }
    observer_.placed(place);
  }

  /// Makes sure that the first in line is awake: rings it for an answer, unless somebody did so
  /// just now. If it does not answer for kAnswerTime it is passed over, and another is the first
  /// that does.
  void ping_first() {
    const auto now = Clock::now();
    next_check_ = now + check_every_;
    if (!first_) return;
    const Result<std::optional<BellState>> state = ledger_.bell_state(*first_);
    if (!state || !*state) return;
    std::optional<BellState> bell = *state;
    if (!bell->pending && bell->age < kLineCheck - seconds(1) && !released_) return;
    if (!bell->pending) {
      ledger_.ring_bell(*first_, Ring::answer);
      bell->age = nanoseconds(0);
    }
    const auto answer_by = now + std::max<nanoseconds>(kAnswerTime - bell->age, milliseconds(1));
    next_check_ = std::min(next_check_, answer_by);
  }

  /// Sleeps in the one poll(2) until something happens. True: look at the cards.
  Result<bool> sleep() {
    if (deadline_ && Clock::now() >= *deadline_) return fail(timed_out());
    if (std::exchange(stale_, false)) return true;
    std::vector<struct pollfd> fds;
    const auto add = [&](int fd, short events) {
      fds.push_back({fd, events, 0});
      return fds.size() - 1;
    };

    const std::size_t at_signals = add(signals_.get(), POLLIN);
    const std::size_t at_lifeline =
        add(options_.lifeline, options_.lifeline_events);  // poll skips -1
    const std::size_t at_bell = add(standing_->bell.get(), POLLIN);
    const std::size_t at_predecessor = add(predecessor_.get(), 0);
    const std::size_t at_claims = fds.size();
    for (const ClaimWatch& watch : claims_) add(watch.fd.get(), watch.events);
    const std::size_t at_processes = fds.size();
    for (const auto& [pid, pidfd] : pidfds_) add(pidfd.get(), POLLIN);

    auto wake = leading_ ? next_look_ : next_check_;
    if (settle_look_) wake = std::min(wake, *settle_look_);
    if (called_until_) wake = std::min(wake, *called_until_);
    if (deadline_) wake = std::min(wake, *deadline_);
    if (observer_.tick().count() > 0) wake = std::min(wake, next_tick_);
    const auto left = std::max<nanoseconds>(wake - Clock::now(), nanoseconds(0));
    const struct timespec wait{left.count() / 1000000000, left.count() % 1000000000};
    const int ready = ::ppoll(fds.data(), static_cast<nfds_t>(fds.size()), &wait, nullptr);
    if (ready < 0 && errno != EINTR) {
      return fail(system_error(ErrorKind::system, "ppoll", "", errno));
    }
    if (ready < 0) return false;

    if (fds[at_signals].revents != 0) {
      struct signalfd_siginfo info{};
      if (::read(signals_.get(), &info, sizeof info) == sizeof info) {
        leave();
        end_.signal = static_cast<int>(info.ssi_signo);
        return true;
      }
    }
    if (fds[at_lifeline].revents != 0) {
      leave();
      end_.abandoned = true;
      return true;
    }
    const auto now = Clock::now();
    const bool released = std::any_of(fds.begin() + static_cast<std::ptrdiff_t>(at_claims),
                                      fds.begin() + static_cast<std::ptrdiff_t>(at_processes),
                                      [](const struct pollfd& fd) { return fd.revents != 0; });
    const bool ended =
        std::any_of(fds.begin() + static_cast<std::ptrdiff_t>(at_processes), fds.end(),
                    [](const struct pollfd& fd) { return fd.revents != 0; });
    bool look = false;
    if (fds[at_bell].revents != 0) {
      if (now - last_look_ < kLeastBetweenRings) {
        const struct timespec pause{0,
                                    nanoseconds(kLeastBetweenRings - (now - last_look_)).count()};
        ::nanosleep(&pause, nullptr);
      }
      look = answer_bell(standing_->bell.get());
      news_ = news_ || look;
    }
    // One that has ended is not watched again, though the driver may go on listing it.
    for (std::size_t i = at_processes; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      const auto process = std::find_if(pidfds_.begin(), pidfds_.end(), [&](const auto& entry) {
        return entry.second.get() == fds[i].fd;
      });
      hidden_.insert(process->first);
      pidfds_.erase(process);
    }
    if (leading_ && (released || ended)) {
      relook_.start(now);
      look = true;
    }
    if (second_ && released) {
      claims_.clear();
      next_check_ = std::min(next_check_, now + kHeadStart);
      released_ = true;
    }
    if (fds[at_predecessor].revents != 0 || (!leading_ && now >= next_check_)) {
      Result<bool> first = check_line();
      if (!first) return fail(first.error());
      look = look || *first;
    }
    look = look || (leading_ && now >= next_look_) || (settle_look_ && now >= *settle_look_) ||
           (called_until_ && now >= *called_until_);
    if (look) return true;
    if (observer_.tick().count() > 0 && now >= next_tick_) {
      next_tick_ = now + observer_.tick();
      tell_place();
      observer_.ticked();
    }
    return false;
  }

  /// Something changed ahead, or it is time to see whether anything did. True: this waiter leads
  /// now.
  Result<bool> check_line() {
    if (Status placed = find_place(nullptr); !placed) return fail(placed.error());
    if (leading_) return true;
    tell_place();
    claims_.clear();
    if (second_) {
      const Result<std::vector<Claim>> claims = ledger_.claims(nullptr);
      if (!claims) return fail(claims.error());
      if (Status watched = watch_claims(*claims); !watched) return fail(watched.error());
    }
    ping_first();
    released_ = false;
    return false;
  }

  const LockDirPlaces& places_;
  GpuSource& source_;
  const MakeRequest& make_request_;
  const WaitOptions& options_;
  WaitObserver& observer_;

  const sigset_t ending_ = ending_signals();
  UniqueFd signals_;
  LockDir dir_;
  Ledger ledger_{dir_};
  Ticket within_;
  Request request_;
  const Clock::time_point began_;
  std::optional<Clock::time_point> deadline_;

  // Where it stands.
  std::optional<Standing> standing_;
  std::optional<Place> first_;  // who looks at the cards, if somebody else
  bool leading_ = false;
  bool news_ = false;  // it leads newly, or was rung: others may wait for what they did not before
  bool second_ = false;

  // What it sleeps on.
  UniqueFd predecessor_;
  Ticket predecessor_ticket_ = 0;
  std::vector<ClaimWatch> claims_;
  std::set<std::string> cards_;  // the UUIDs of the last snapshot
  std::map<pid_t, UniqueFd> pidfds_;
  std::set<pid_t> hidden_;  // processes that are listed but cannot be watched, or have ended
  Clock::time_point next_look_;
  Clock::time_point next_check_;
  nanoseconds check_every_ = kLineCheck;
  Clock::time_point next_tick_;
  Clock::time_point last_look_;
  std::optional<Clock::time_point> settle_look_;
  std::optional<Clock::time_point> called_until_;  // when someone who was called is passed over
  Relook relook_;
  int reopened_ = 0;
  bool stale_ = false;     // the last look's snapshot was older than a release
  bool released_ = false;  // as second: a claim ended, and the first one should have seen it

  // What it remembers.
  std::map<std::string, Clock::time_point> since_contested_;
  std::set<std::string> awaited_;           // cards that only need time, when it was last behind
  std::map<Ticket, WaiterRecord> records_;  // of those behind, while this one leads
  std::map<Ticket, std::vector<std::size_t>> told_;  // who was told of which contested cards

  WaitEnd end_;
};

}  // namespace

Result<WaitEnd> wait_for_gpus(const LockDirPlaces& places, GpuSource& source,
                              const MakeRequest& make_request, const WaitOptions& options,
                              WaitObserver& observer) {
  return Waiter(places, source, make_request, options, observer).wait();
}

}  // namespace gpu_gate
