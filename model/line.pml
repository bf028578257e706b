/* The protocol of docs/protocol.md without its timers, step by step as src/gate takes them; check.sh runs
 * it, and README.md says what is proved and what is not. */

/* A scene: the cards, bit 0 and bit 1, that waiter i can use (CAN, not in Request::barred), how many of
 * them it wants (WANTS, Request::count), whose it is (USER, 0 to 2), whether it stands behind all who do
 * not say so (NICE), how many waiters may be killed or give up (HARM of those with MAY_HARM), the cards that
 * waiter 0 has claimed already (HELD), and those on which a process outside of the protocol runs at first
 * (OUTSIDER). Who can use fewer cards than it wants waits for one more that is not of the scene: it is never
 * served, and keeps what it can use. */
#if defined(LONG_LINE)         /* four in line, of which the second and the third may end */
#define N 4
#define CAN(i) ((i) == 1 -> 3 : ((i) == 3 -> 2 : 1))
#define WANTS(i) ((i) == 1 -> 2 : 1)
#define HARM 2
#define MAY_HARM(i) ((i) == 1 || (i) == 2)
#define OUTSIDER 1
#define MAY_COME(i) ((last >= (i) && !(awake & (1 << ((i) - 1)))) || !outside)
#define OUTSIDER_MAY_GO (QUIET && harm == HARM)
#elif defined(ARRIVAL)         /* a job on card 0; of another user a card not of the scene, and card 0; of a */
#define N 4                    /* third, who comes later, card 0 and one more */
#define CAN(i) ((i) != 1)
#define WANTS(i) ((i) == 3 -> 2 : 1)
#define USER(i) ((i) == 0 -> 0 : ((i) == 3 -> 2 : 1))
#define HELD 1
#define HARM 1
#define MAY_HARM(i) ((i) == 3)
#define MAY_COME(i) (last + 1 >= (i) && ((i) == 3 || !(awake & (1 << ((i) - 1)))))
#define MAY_END (last >= 2)
#define OUTSIDER 0
#else
#define N 3
#if defined(USERS) || defined(KEEPER)  /* a job of one user on both cards, who wants card 0; another wants two: */
#ifdef KEEPER
#define CAN(i) 1               /* card 0 and one more, so that nobody in line can use card 1 */
#else
#define CAN(i) ((i) == 1 -> 1 : 3)
#endif
#define WANTS(i) ((i) == 2 -> 2 : 1)
#define USER(i) ((i) == 2)
#define HELD 3
#define MAY_END true
#elif defined(SHARES)          /* the halves of one card: all of it, and two shares of half of it */
#define CAN(i) 3
#define WANTS(i) ((i) == 0 -> 2 : 1)
#define USER(i) (i)
#elif defined(TAKES)           /* of one user: card 0 and one more, card 1; of another: card 0 */
#define CAN(i) ((i) == 1 -> 2 : 1)
#define WANTS(i) ((i) == 0 -> 2 : 1)
#define USER(i) ((i) == 2)
#elif defined(POLITE)          /* of --nice: card 0 and one more; for another user card 0; of the first user, not */
#define CAN(i) ((i) != 2)      /* of --nice, a card not of the scene */
#define WANTS(i) ((i) == 0 -> 2 : 1)
#define USER(i) ((i) == 1)
#define NICE(i) ((i) != 2)
#elif defined(STRANGER)        /* three that want one: any, card 0, card 1 */
#define CAN(i) ((i) == 1 -> 1 : ((i) == 2 -> 2 : 3))
#define WANTS(i) 1
#else                          /* three: one wants two cards, one card 0 only, one any */
#define CAN(i) ((i) == 1 -> 1 : 3)
#define WANTS(i) ((i) == 0 -> 2 : 1)
#endif
#ifndef HARM
#define HARM 3
#endif
#ifndef MAY_HARM
#define MAY_HARM(i) true
#endif
#ifndef OUTSIDER
#define OUTSIDER 0
#endif
#ifndef MAY_COME
#define MAY_COME(i) true
#endif
#define OUTSIDER_MAY_GO true
#endif
#ifndef USER                   /* of one user the order of turns is that of tickets */
#define USER(i) 0
#endif
#ifndef HELD
#define HELD 0
#define MAY_END true
#endif
#ifndef NICE
#define NICE(i) 0
#endif

#ifdef CLOSES                  /* jobs may close the descriptors of their claims before they end, and do not */
#define MAY_CLOSE(i) !IN(ended, i)
#define SHOWS(cards) 0         /* show on their cards, as before they begin to use them */
#else
#define MAY_CLOSE(i) false
#define SHOWS(cards) (cards)
#endif

#define NONE N                 /* no waiter */
#define MUTE (N + 1)           /* a read end that never reports POLLHUP (PROBE_BEFORE_OPEN) */
#define BIT(i) (1 << (i))
#define I _pid
#define ME (1 << _pid)
#define IN(set, i) (((set) >> (i)) & 1)
#define DROP(set, bits) set = (set) & ~(bits)

/* The lock directory and the kernel's state of it; a set of waiters, cards or claims is a bit mask. */
unsigned mutex : N;            /* the holder of the flock on `mutex` */
byte who[N + 1] = NONE;        /* queue/T: the waiter with ticket T, counted from 1 */
unsigned last : 3;             /* the last ticket, the first number in `mutex` */
unsigned live : N;             /* waiters whose held FIFO has a writer, */
unsigned named : N;            /* whose held FIFO has its name in the directory, */
unsigned written : N;          /* whose record can be read, */
unsigned hears : N;            /* whose bell exists and has its reader, */
unsigned bell : N;             /* whose bell has an unread byte, */
byte looking;                  /* waiters that have read how far claims were counted: bits 2 * waiter and the next, */
byte moved;                    /* and cards that were claimed since: bit 2 * waiter + card (ClaimLog, without numbers) */
byte claims = HELD;            /* claims/UUID@T with a writer: bit 2 * waiter + card */
byte kept;                     /* the same without one, as long as the process lives that became the command */
unsigned ended : N;            /* waiters whose command's process has ended */
unsigned outside : 2 = OUTSIDER;      /* cards that the outsider occupies */
unsigned busy : 2 = HELD;      /* cards that show a job to NVML; free again when the claim ends */

/* What each waiter sleeps on. */
unsigned awake : N;            /* waiters that are about to do something by themselves */
byte pred[N] = NONE;           /* the predecessor; of the leader the last in line */
unsigned leads : N;            /* waiters that take themselves for the leader */
byte watch[N];                 /* the claims whose FIFO the leader watches */
byte watch_process[N];         /* and those whose process */
unsigned pidfds : N;           /* waiters that watch the outsider */

byte harm;                     /* how many were killed or gave up */

/* Used inside of single steps only. */
hidden byte k, usable, taken, cand, was, next, other, ahead, order, digit;
hidden byte load[3];           /* what a user holds, and waits for ahead */

#define CARDS(c) (((c) | ((c) >> 2) | ((c) >> 4) | ((c) >> 6)) & 3)
#define MINE(cards) ((cards) << (2 * I))
#define EVERYBODYS(cards) (85 * (cards))
#ifdef CLOSED_IS_ENDED         /* as if nobody asked for the process */
#define LIVE claims
#else
#define LIVE (claims | kept)   /* what Claims::scan finds alive */
#endif
#define VISIBLE(i) IN(live & named, i)                /* open_if_held finds it */
#define LINE (live & named & written)                 /* and their record can be read */
#define IN_LINE(i) IN(LINE, i)
#define HOLDS(claims, i) ((((claims) >> (2 * (i))) & 1) + (((claims) >> (2 * (i) + 1)) & 1))
#define ENOUGH(cards, n) ((n) == 1 -> (cards) != 0 : (cards) == 3)
#define BEST(cards, n) ((n) == 1 -> ((cards) & 1 -> 1 : (cards)) : (cards))
#define PRED_LEFT(i) (pred[i] < N && !IN(live, pred[i]))
#ifdef PROCESS_UNWATCHED
#define PROCESS_ENDED(i) 0
#else
#define PROCESS_ENDED(i) (watch_process[i] & ~kept)
#endif
#define RELEASED(i) (IN(leads, i) && ((watch[i] & ~claims) || PROCESS_ENDED(i) || (IN(pidfds, i) && !outside)))
#define READY(i) (IN(bell, i) || PRED_LEFT(i) || RELEASED(i))
#define RESTS(i) (!IN(awake, i) && !READY(i))
#if N == 3
#define QUIET (RESTS(0) && RESTS(1) && RESTS(2))
#else
#define QUIET (RESTS(0) && RESTS(1) && RESTS(2) && RESTS(3))
#endif

/* SIGKILL at this point. */
#define DIE :: atomic { harm < HARM && MAY_HARM(I) -> \
     d_step { harm++; forget(); awake = awake | ME; closed() }; goto end_dying }
/* The time-out or a signal that ends the wait. */
#define GIVE_UP :: atomic { harm < HARM && MAY_HARM(I) -> harm++; awake = awake | ME; goto giving_up }
/* What others see happen whole, or SIGKILL before it. */
#define STEP(...) if :: atomic { __VA_ARGS__ } DIE fi
/* What others do not see: a SIGKILL before it is as good as one before the next STEP. */
#define UNSEEN(...) atomic { __VA_ARGS__ }

/* ring() of gate/fifo.cpp, then on to `rung`: it asks whether a byte is pending, and if not writes one,
 * which is lost where the reader has gone. */
#define RING(i, rung) \
  UNSEEN(if :: IN(hears & ~bell, i) -> skip :: else -> goto rung fi); \
  STEP(bell = bell | (hears & BIT(i)))

/* The same in one step, as if all of it were done when it wrote, or when it found a byte pending. */
inline ring(i) {
  bell = bell | (hears & BIT(i))
}

/* The order of turns begins: what the users hold by the claims `held`. */
inline begin_order(held) {
  load[0] = 0; load[1] = 0; load[2] = 0;
  k = 0;
  do
  :: k < N -> load[USER(k)] = load[USER(k)] + HOLDS(held, k); k++
  :: else -> break
  od;
  ahead = 0
}

#define EARLIER(i, j) (NICE(i) < NICE(j) || (NICE(i) == NICE(j) && load[USER(i)] < load[USER(j)]))

/* `next` in the order of turns among those of `set`, and `self`, which comes last if it has no ticket. */
inline next_in_turn(set, self) {
  next = NONE;
  k = 1;
  do
  :: k <= last + 1 ->
     other = (k <= last -> who[k] : self);
     if
     :: (IN(set, other) || other == self) && other != NONE && !IN(ahead, other) &&
        (next == NONE || EARLIER(other, next)) -> next = other
     :: else
     fi;
     k++
  :: else -> break
  od;
  if
  :: next != NONE -> ahead = ahead | BIT(next); load[USER(next)] = load[USER(next)] + WANTS(next)
  :: else
  fi
}

#ifdef OWN_TURN_UNHEARD
#define OWN_TURN next != I
#else
#define OWN_TURN true
#endif

/* LineRule for `next`: `taken` grows by what it is granted or keeps of what is `usable`. If it is its turn it
 * is rung. */
inline serve(call) {
  if
  :: IN_LINE(next) ->
     cand = CAN(next) & usable & ~taken;
     if
     :: ENOUGH(cand, WANTS(next)) ->
        taken = taken | BEST(cand, WANTS(next));
        if :: call && OWN_TURN -> ring(next) :: else fi
#ifdef NO_RESERVE
     :: else -> taken = taken | (call -> 0 : cand)
#else
     :: else -> taken = taken | cand
#endif
     fi
  :: else
  fi
}

/* LineRule over those ahead of `me` in the order of turns, or all for NONE, as long as it leaves any of
 * `mine`; those are then `order`, the first as the lowest digit. */
inline apply_rule(me, mine) {
  begin_order(seen);
  order = 0;
  digit = 1;
  do
  :: mine & usable & ~taken ->
     next_in_turn(LINE, me);
     if
     :: next == me -> break
     :: else -> serve(true); order = order + digit * (next + 1); digit = digit * (N + 1)
     fi
  :: else -> break
  od
}

#ifdef LEADER_NEVER_YIELDS
#define AHEAD_MATTERS !IN(leads, I)
#else
#define AHEAD_MATTERS true
#endif

/* What it is granted by the rule of what is usable. */
inline my_turn(cards) {
  usable = cards;
  taken = 0;
  order = 0;
  granted = CAN(I) & usable;
  if
  :: ENOUGH(granted, WANTS(I)) ->
     apply_rule(I, CAN(I));
     granted = granted & ~(AHEAD_MATTERS -> taken : 0)
  :: else
  fi;
  granted = (ENOUGH(granted, WANTS(I)) -> BEST(granted, WANTS(I)) : 0)
}

/* Line::ahead_of, the first that lives: one step although it opens several FIFOs, since the dead stay
 * dead, as if all were asked when the living one was. */
inline scan_leader() {
  leader = NONE;
  k = 1;
  do
  :: k < (ticket == 0 -> last + 1 : ticket) && leader == NONE ->
     if :: VISIBLE(who[k]) -> leader = who[k] :: else fi;
     k++
  :: else -> break
  od;
  if :: leader == NONE -> leads = leads | ME :: else -> DROP(leads, ME) fi
}

/* `cand` is then those that `i` is ahead of in the order of turns. */
inline find_behind(i) {
  begin_order(seen);
  next = NONE;
  do
  :: next != i -> next_in_turn(LINE, i)
  :: else -> break
  od;
  cand = LINE & ~ahead
}

/* The last in line, which has no successor to notice its end, if it is ahead of anybody in the order of
 * turns. */
inline scan_last() {
  pred[I] = NONE;
  k = last;
  do
  :: k > ticket && !IN_LINE(who[k]) -> k--
  :: else -> break
  od;
  if
  :: k > ticket && usable ->
     was = who[k];
     find_behind(was);
     if :: cand -> pred[I] = was :: else fi
  :: else
  fi
}

/* Line::ahead_of, the nearest that lives, and its read end: open_if_held opens first and asks second, so
 * that the end of one that was found alive is noticed. */
inline scan_predecessor() {
  was = pred[I];
  pred[I] = NONE;
  k = (ticket == 0 -> last : ticket - 1);
  do
  :: k > 0 && pred[I] == NONE ->
     if :: VISIBLE(who[k]) -> pred[I] = who[k] :: else fi;
     k--
  :: else -> break
  od;
  another = (was != pred[I])
}

#ifdef SCANS_APART
#define SCAN scan_leader()
#define SCAN_AGAIN scan_predecessor()
#else
#define SCAN scan_predecessor()
#define SCAN_AGAIN scan_leader()
#endif
#ifdef HANGUP_DROPPED
#define TELLS !(mutex & ME)
#else
#define TELLS true
#endif

#ifdef PROBE_BEFORE_OPEN     /* without a writer since the question there is no POLLHUP */
#define OPEN_LATE UNSEEN(d_step { if :: PRED_LEFT(I) -> pred[I] = MUTE :: else fi });
#else
#define OPEN_LATE
#endif

/* Waiter::find_place, then on to `placed`: the predecessor before the leader, because one that ends
 * between the two is watched that way and could else lead without being watched; and since the end of
 * the old predecessor is noticed here and nowhere else, the leader is told of it. */
#define FIND_PLACE(placed) \
  UNSEEN(d_step { SCAN }); \
  OPEN_LATE \
  UNSEEN(d_step { SCAN_AGAIN; another = another && ticket && leader != NONE && TELLS }; \
    if :: another -> another = false :: else -> goto placed fi); \
  RING(leader, placed)

/* Where a card is unclaimed, a newcomer that is ahead of anybody in the order of turns rings the leader,
 * which will watch it: those behind may have to be told when it ends. */
#ifdef COMES_FOR_ITSELF
#define COMES_FOR CAN(I)
#else
#define COMES_FOR 3
#endif
#ifdef COMES_UNHEARD
#define RING_IF_AHEAD(on) goto on
#else
#define RING_IF_AHEAD(on) \
  UNSEEN(d_step { find_behind(I); another = cand && (COMES_FOR & ~CARDS(seen)) }; \
    if :: another -> another = false :: else -> goto on fi); \
  RING(leader, on)
#endif

/* The last descriptor of the held FIFO is closed, after which its name says nothing to anybody. */
inline hang_up() {
  k = 1;
  do
  :: k <= last -> if :: who[k] == I -> who[k] = NONE :: else fi; k++
  :: else -> break
  od;
  DROP(live, ME); DROP(named, ME); DROP(written, ME)
}

/* Nothing more is to be closed by the kernel. */
inline closed() {
  if :: !((mutex | hears | live) & ME) && !(claims & MINE(3)) -> DROP(awake, ME) :: else fi
}

/* Line::leave and the end of OwnPlace, then on to `left_line`: bell, record, name, descriptor. */
#define LEAVE(left_line) \
  STEP(if :: ticket -> d_step { DROP(hears, ME); DROP(bell, ME) } :: else -> goto left_line fi); \
  STEP(DROP(written, ME)); \
  STEP(DROP(named, ME)); \
  STEP(d_step { hang_up() })

/* A job closes the descriptor of a card, or the kernel does as the last process of it ends. */
#define CLOSE(card) d_step { \
    DROP(claims, MINE(card)); \
    if :: MAY_CLOSE(I) -> kept = kept | MINE(card) :: else -> DROP(busy, card) fi }

/* What the process knew goes with it. */
inline forget() {
  pred[I] = NONE; watch[I] = 0; watch_process[I] = 0; DROP(pidfds, ME); DROP(leads, ME);
  DROP(looking, MINE(3)); DROP(moved, MINE(3));
  leader = NONE; ticket = 0; before = 0; snapshot = 0; seen = 0; by_process = 0; granted = 0; passing = 0; awaited = 0;
  another = false; fresh = false; outdated = 0; stale = false; look_now = false
}

#ifdef JOINS_UNSEEN
#define JOINS false
#else
#define JOINS (snapshot & CAN(I) & ~CARDS(seen) & ~awaited)
#endif

#if defined(OWN_CARDS_WATCHED)
#define WATCHED (CAN(I) * 85)
#elif defined(ONE_SHARE_WATCHED)
#define WATCHED (seen & -seen)
#else
#define WATCHED 255
#endif
#ifdef LEADER_FIRST
#define KEPT_FIRST CAN(I)
#else
#define KEPT_FIRST 0
#endif

active [N] proctype Waiter() {
  unsigned leader : 3 = NONE;  /* Follower's leader; NONE: it leads itself */
  unsigned ticket : 3;         /* OwnPlace, 0: not in line */
  unsigned before : 2;         /* cards that were claimed before the look */
  unsigned snapshot : 2;       /* cards that NVML shows as busy */
  unsigned granted : 2;        /* Decision::granted */
  unsigned passing : 7;        /* those ahead by that decision */
  unsigned outdated : 2;       /* cards that were let go since they were read, and maybe claimed before */
  unsigned awaited : 2;        /* cards that only need time, as seen last */
  bool another;                /* its predecessor is another than before */
  bool fresh, stale, left, look_now;
  byte seen, by_process;       /* Look::claims, and those of them without a writer */

  if :: atomic { MINE(3) & HELD && MAY_END -> goto end_command } :: !(MINE(3) & HELD) -> skip fi;
  atomic { MAY_COME(I); awake = awake | ME; looking = looking | MINE(3) };
  goto counted;

look:                          /* Waiter::look */
  UNSEEN(d_step { looking = looking | MINE(3); DROP(moved, MINE(3)) });        /* Mutex::peek */
counted:
  UNSEEN(before = CARDS(LIVE) & 1);                     /* Claims::scan, card by card */
  UNSEEN(before = before | (CARDS(LIVE) & 2));
  UNSEEN(snapshot = (busy | outside) & 1);              /* GpuSource::read, card by card */
  UNSEEN(snapshot = snapshot | ((busy | outside) & 2));
#ifdef ANSWER_LATE
  UNSEEN(DROP(bell, ME));
#endif

  /* Waiter::decide: the mutex is taken in one step with what follows and let go in one with what goes
   * before, since what others do in between without it they can as well do before or after. */
  if
#ifdef NO_MUTEX
  :: atomic { true -> mutex = mutex | ME; seen = LIVE & 85; by_process = kept & 85 }
#else
  :: atomic { mutex == 0 -> mutex = ME; seen = LIVE & 85; by_process = kept & 85 } /* Claims::scan */
#endif
  DIE
  GIVE_UP
  fi;
  UNSEEN(d_step {
      seen = seen | (LIVE & 170);
      by_process = by_process | (kept & 170);
#ifdef SHARE_END_MISSED
      before = (seen -> 0 : before);
#endif
      fresh = !(moved & MINE(3)) && !(before & ~CARDS(seen));
      outdated = (before | (moved >> (2 * I))) & 3 & ~CARDS(seen);
#ifdef NO_STALE_CHECK
      fresh = true; outdated = 0;
#endif
      DROP(looking, MINE(3)); DROP(moved, MINE(3)); before = 0
    };
    if :: IN(leads, I) && ticket -> goto placed :: else fi);
  FIND_PLACE(placed);
placed:
  STEP(d_step {                /* Waiter::my_turn: one step, since the end of one ahead only frees cards */
      my_turn(3 & ~snapshot & ~CARDS(seen));
      stale = (!granted && !fresh);
      if
      :: granted && outdated -> /* Waiter::grant_by_what_is_fresh */
         my_turn(3 & ~snapshot & ~CARDS(seen) & ~outdated);
         fresh = (granted != 0)
      :: granted && !outdated -> fresh = true
      :: else -> outdated = 0
      fi
    };
    if
    :: granted ->
       d_step { fresh = false; outdated = 0; passing = order; seen = 0; by_process = 0; snapshot = 0 }; goto take
    :: !granted && outdated ->
       d_step { outdated = 0; seen = 0; by_process = 0; snapshot = 0; leader = NONE; DROP(mutex, ME) };
       goto look
    :: !granted && !outdated && ticket -> d_step { fresh = false; DROP(mutex, ME) }; goto after_look
    :: else -> fresh = false
    fi);
#ifndef COMES_LATE
  RING_IF_AHEAD(join);
join:                          /* Line::join: FIFO, bell, record */
#endif
  STEP(d_step { last++; ticket = last; who[ticket] = I; live = live | ME; named = named | ME });
  STEP(hears = hears | ME);
  STEP(d_step { written = written | ME; DROP(mutex, ME) });
#ifdef COMES_LATE
  RING_IF_AHEAD(after_look);
#endif

after_look:                    /* Waiter::settle_down */
  UNSEEN(if
    :: IN(leads, I) -> goto call_others
    :: else ->
       d_step { watch[I] = 0; watch_process[I] = 0; DROP(pidfds, ME) };
       if :: JOINS -> skip :: else -> goto settled fi
    fi);
  RING(leader, settled);       /* it has to know that somebody waits for what runs there to end */
  goto settled;
call_others:
  STEP(d_step {                /* Leader: one step, since a ring that comes later does no less */
    usable = 3 & ~snapshot & ~CARDS(seen);
    taken = KEPT_FIRST & usable;
    apply_rule(NONE, 3);                                /* itself at its place */
#if !defined(LAST_UNWATCHED) && !defined(LAST_LATE)
    scan_last();
#endif
    watch[I] = seen & ~by_process & WATCHED;            /* Claims::watch */
    watch_process[I] = by_process
  });
  UNSEEN(d_step {              /* one that cannot be watched any more has it look again */
    DROP(pidfds, ME);
    if
    :: snapshot & OUTSIDER & ~CARDS(seen) ->
       if :: outside -> pidfds = pidfds | ME :: else -> stale = true fi
    :: else
    fi
  });
#ifdef LAST_LATE
  UNSEEN(d_step { scan_last() });
#endif
settled:
  UNSEEN(d_step {
      awaited = snapshot & CAN(I) & ~CARDS(seen); leader = NONE; seen = 0; by_process = 0;
      snapshot = 0;
      if :: stale -> skip :: else -> DROP(awake, ME) fi
    };
    if :: stale -> stale = false; goto look :: else fi);

sleep:                         /* Waiter::sleep */
  if
  :: atomic { READY(I) ->
       d_step {
         awake = awake | ME;
         look_now = IN(bell, I) || RELEASED(I);
         left = PRED_LEFT(I);
#ifndef NO_ANSWER
         DROP(bell, ME)        /* answer_bell */
#endif
       };
       if :: left -> left = false :: else -> look_now = false; goto look fi
     }
  DIE
  GIVE_UP
  fi;
  FIND_PLACE(checked);         /* Waiter::check_line */
checked:
  UNSEEN(leader = NONE;
    if
    :: look_now || IN(leads, I) -> look_now = false; goto look
    :: else -> DROP(awake, ME); goto sleep
    fi);

take:                          /* Waiter::claim_granted, Claims::make */
#if !defined(RING_LATE) && !defined(NO_RING)
  RING(leader, rung);
rung:
#endif
#ifdef COUNT_FIRST
  STEP(moved = moved | (looking & EVERYBODYS(granted)));
#endif
  STEP(d_step {
      assert(!(CARDS(claims | kept) & granted));        /* (a) no card has two owners */
      usable = 3 & ~CARDS(claims | kept) & ~outside;
      taken = 0;
      do
      :: passing -> next = passing % (N + 1) - 1; passing = passing / (N + 1); serve(false)
      :: else -> break
      od;
      assert(!(taken & granted));                       /* (c) nobody ahead is passed */
      claims = claims | MINE(granted & 1 -> 1 : granted)
    };
    if :: granted == 3 -> skip :: else -> goto made fi);
  STEP(claims = claims | MINE(granted));
made:
#ifndef COUNT_FIRST
  STEP(moved = moved | (looking & EVERYBODYS(granted)));   /* MutexGuard::write_claim */
#endif
#ifdef RING_LATE
  STEP(ring(leader));
#endif
  LEAVE(left_line);
left_line:
  STEP(d_step { DROP(mutex, ME); busy = busy | SHOWS(granted); DROP(awake, ME); forget() });
end_command:                   /* it, or what it leaves behind, closes its descriptors, and it ends, in any order */
  if
  :: atomic { claims & MINE(1) -> CLOSE(1) }
  :: atomic { claims & MINE(2) -> CLOSE(2) }
  :: atomic { MAY_CLOSE(I) && ((claims | kept) & MINE(3)) ->
       d_step { ended = ended | ME; busy = busy & ~CARDS(kept & MINE(3)); DROP(kept, MINE(3)) } }
  fi;
  goto end_command;

giving_up:
  LEAVE(gave_up);
gave_up:
  UNSEEN(d_step { forget(); closed() });
end_dying:                     /* the kernel closes the descriptors, in no promised order */
  if
  :: atomic { mutex & ME -> d_step { DROP(mutex, ME); closed() } }
  :: atomic { hears & ME -> d_step { DROP(hears, ME); DROP(bell, ME); closed() } }
  :: atomic { live & ME -> d_step { hang_up(); closed() } }
  :: atomic { claims & MINE(1) -> d_step { DROP(claims, MINE(1)); closed() } }
  :: atomic { claims & MINE(2) -> d_step { DROP(claims, MINE(2)); closed() } }
  fi;
  goto end_dying
}

#if OUTSIDER
active proctype Outsider() {
  atomic { OUTSIDER_MAY_GO -> outside = 0 }
}
#endif

#ifndef LIVELOCK               /* the search for endless rounds does without it */
/* (b) Whenever nothing more happens by itself, nobody sleeps whose turn it is. */
active proctype Check() {
end:
  do
  :: d_step { QUIET && live ->
       usable = 3 & ~CARDS(claims | kept) & ~outside;
       taken = 0;
       begin_order(claims | kept);
       do
       :: next_in_turn(live, NONE);
          if
          :: next != NONE ->
             cand = CAN(next) & usable & ~taken;
             assert(!ENOUGH(cand, WANTS(next)));
             taken = taken | cand
          :: else -> break
          fi
       od
     }
  od
}
#endif

/* Anybody rings at any moment and as often as they like, as does a timer that makes a waiter look. */
active proctype Anybody() {
end:
  do
  :: atomic {
       if
       :: IN(hears & ~bell, 0) -> bell = bell | BIT(0)
       :: IN(hears & ~bell, 1) -> bell = bell | BIT(1)
       :: IN(hears & ~bell, 2) -> bell = bell | BIT(2)
#if N == 4
       :: IN(hears & ~bell, 3) -> bell = bell | BIT(3)
#endif
       fi
     }
#ifdef LIVELOCK
progress: skip                 /* only a round that goes on without rings is an endless one */
#endif
  od
}
