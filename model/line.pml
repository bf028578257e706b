/* The protocol of docs/protocol.md without its timers: what src/gate/waiter.cpp, ledger.cpp, fifo.cpp
 * and mutex.cpp do and in which order. Run check.sh; README.md says what is proved and what is not.
 *
 * One step (atomic, d_step) is one thing that others can see happen whole. Between any two of a
 * process it may be killed (DIE). Sets of waiters, cards and claims are bit masks.
 *
 * Deliberate errors, one -D each: see README.md.
 */

/* The scenes. CAN(i): the cards, bit 0 and bit 1, that waiter i can use (not in Request::barred); WANTS(i):
 * how many of them (Request::count); each waiter comes once, in any order. HARM: how many may be
 * killed or give up. OUTSIDER: cards on which a process outside of the protocol runs at first. */
#if defined(LONG_LINE)         /* four in line; the second may end; anybody rings any bell once */
#define N 4
#define CAN(i) ((i) == 1 -> 3 : ((i) == 3 -> 2 : 1))
#define WANTS(i) ((i) == 1 -> 2 : 1)
#define HARM 1
#define MAY_HARM(i) ((i) == 1)
#define OUTSIDER 1
#define RINGS 1
#define MAY_COME(i) ((last >= (i) && !(awake & (1 << ((i) - 1)))) || !outside)
#define OUTSIDER_MAY_GO (QUIET && rings == RINGS && harm == HARM)
#elif defined(STRANGER)        /* three that want one: any, card 0, card 1; an outsider is on a card */
#define N 3
#define CAN(i) ((i) == 1 -> 1 : ((i) == 2 -> 2 : 3))
#define WANTS(i) 1
#ifndef HARM
#define HARM 1
#endif
#ifndef OUTSIDER
#define OUTSIDER 1
#endif
#else                          /* three: one wants two cards, one card 0 only, one any */
#define N 3
#define CAN(i) ((i) == 1 -> 1 : 3)
#define WANTS(i) ((i) == 0 -> 2 : 1)
#ifdef LIVELOCK
#define HARM 1
#define MAY_HARM(i) ((i) == 2) /* (to save time) */
#define MAY_COME(i) true
#define OUTSIDER_MAY_GO true
#define RINGS 0
#endif
#ifndef HARM
#define HARM 2
#endif
#define OUTSIDER 0
#endif
#ifndef MAY_HARM
#define MAY_HARM(i) true
#define MAY_COME(i) true
#define OUTSIDER_MAY_GO true
#define RINGS 0
#endif

#define NONE N                 /* no waiter */
#define MUTE (N + 1)           /* a read end that never reports POLLHUP (PROBE_BEFORE_OPEN) */
#define BIT(i) (1 << (i))
#define I _pid
#define ME (1 << _pid)
#define IN(set, i) (((set) >> (i)) & 1)
#define DROP(set, bits) set = (set) & ~(bits)

/* The lock directory and the kernel's state of it. */
byte mutex;                    /* flock on `mutex`: the set of its holders (never two) */
byte who[N + 1];               /* queue/T: who[T] stands with ticket T; tickets count from 1 */
byte last;                     /* the last ticket, the first number in `mutex` */
byte live;                     /* whose held FIFO has a writer */
byte named;                    /* whose held FIFO has its name in the directory */
byte written;                  /* whose record can be read */
byte hears;                    /* whose bell exists and has its reader */
byte bell;                     /* whose bell has an unread byte */
byte claims;                   /* claims/UUID@T with a writer: bit 2 * waiter + card */
byte outside = OUTSIDER;       /* cards that the outsider occupies */
byte busy;                     /* cards that show a job to NVML; free again when the claim ends */
byte looking, moved;           /* who has read the number of claims made, and since whose reading it
                                  has grown: `grants == before.grants` without the numbers */

/* What each waiter sleeps on (the checks need to see it). */
byte awake;                    /* who is about to do something by itself */
byte pred[N];                  /* predecessor_ */
byte leads;                    /* leading_ */
byte watch[N];                 /* claims_, of the leader */
byte pidfds;                   /* whose pidfds_ have the outsider */

byte harm, rings;

#define CARDS(c) (((c) | ((c) >> 2) | ((c) >> 4) | ((c) >> 6)) & 3)
#define MINE(cards) ((cards) << (2 * I))
#define VISIBLE(i) IN(live & named, i)                /* open_if_held finds it */
#define IN_LINE(i) IN(live & named & written, i)      /* and its record can be read */
#define ENOUGH(cards, n) ((n) == 1 -> (cards) != 0 : (cards) == 3)
#define BEST(cards, n) ((n) == 1 -> ((cards) & 1 -> 1 : (cards)) : (cards))
#define PRED_LEFT(i) (pred[i] < N && !IN(live, pred[i]))
#define RELEASED(i) (IN(leads, i) && ((watch[i] & ~claims) || (IN(pidfds, i) && !outside)))
#define READY(i) (IN(bell, i) || PRED_LEFT(i) || RELEASED(i))

/* SIGKILL at this point. */
#define DIE :: atomic { harm < HARM && MAY_HARM(I) -> harm++; goto dying }
/* The time-out or a signal that ends the wait. */
#define GIVE_UP :: atomic { harm < HARM && MAY_HARM(I) -> harm++; awake = awake | ME; goto giving_up }
#define STEP(...) if :: atomic { __VA_ARGS__ } DIE fi

/* ring() of gate/fifo.cpp: lost where nobody is there to hear it, nothing where a byte is pending. */
inline ring(i) {
  bell = bell | (hears & BIT(i))
}

/* Granting of policy/grant.cpp over the waiters with tickets from..upto, where `free` is what they can
 * have, as long as it leaves any of `mine`; leaves in `taken` what is granted to or reserved for them,
 * and calls those whose turn it is. */
inline apply_rule(from, mine, call) {
  t = from;
  do
  :: t <= upto && (mine & free & ~taken) ->
     if
     :: IN_LINE(who[t]) ->
        cand = CAN(who[t]) & free & ~taken;
        if
        :: ENOUGH(cand, WANTS(who[t])) ->
           taken = taken | BEST(cand, WANTS(who[t]));
           if :: call -> ring(who[t]) :: else fi
#ifdef NO_RESERVE
        :: else -> taken = taken | (call -> 0 : cand)
#else
        :: else -> taken = taken | cand
#endif
        fi
     :: else
     fi;
     t++
  :: else -> break
  od;
  t = 0; cand = 0; upto = 0
}

/* Ledger::ahead_of: the first that lives. One step although it opens several FIFOs: who was found dead
 * stays dead, so it is as if all were asked when the living one was. */
inline scan_first() {
  first = NONE;
  t = 1;
  do
  :: t < (ticket == 0 -> last + 1 : ticket) && first == NONE ->
     if :: VISIBLE(who[t]) -> first = who[t] :: else fi;
     t++
  :: else -> break
  od;
  t = 0
}

/* Ledger::ahead_of: the nearest that lives, and its read end. open_if_held opens
 * first and asks second, so one that is found alive will report its end. */
inline scan_predecessor() {
  was = pred[I];
  pred[I] = NONE;
  t = (ticket == 0 -> last : ticket - 1);
  do
  :: t > 0 && pred[I] == NONE ->
     if :: VISIBLE(who[t]) -> pred[I] = who[t] :: else fi;
     t--
  :: else -> break
  od;
  t = 0
}

inline scan_predecessor_and_open() {
  STEP(d_step { scan_predecessor() });
#ifdef PROBE_BEFORE_OPEN
  /* The read end is opened after the question: without a writer since then there is no POLLHUP. */
  STEP(d_step { if :: PRED_LEFT(I) -> pred[I] = MUTE :: else fi })
#endif
}

/* Waiter::find_place and Ledger::ahead_of. The predecessor before the first: who dies between the two
 * is watched. The other way round it could be the first and not be watched. */
inline find_place() {
#ifdef SCANS_APART
  STEP(d_step { scan_first() });
  scan_predecessor_and_open();
#else
  scan_predecessor_and_open();
  STEP(d_step { scan_first() });
#endif
  d_step { if :: first == NONE -> leads = leads | ME :: else -> DROP(leads, ME) fi };
#ifndef HANGUP_DROPPED
  /* The old predecessor's end is noticed here, whoever asked: the first has to know of it. */
  if
  :: ticket != 0 && first != NONE && was != pred[I] -> STEP(ring(first))
  :: else
  fi;
#endif
  was = NONE
}

/* Ledger::leave and the end of Standing: bell, record, name, then the descriptor. */
inline leave() {
  STEP(DROP(hears, ME); DROP(bell, ME));
  STEP(DROP(written, ME));
  STEP(DROP(named, ME));
  STEP(DROP(live, ME))
}

active [N] proctype Waiter() {
  byte first = NONE;           /* first_ */
  byte was = NONE;             /* the predecessor before */
  byte ticket;                 /* standing_, 0: not in line */
  byte before;                 /* claimed_before, as cards */
  byte snapshot;               /* cards that NVML shows as busy */
  byte seen;                   /* View::claims */
  byte free, taken, cand, t, upto;
  byte granted;                /* Turn::granted */
  byte awaited;                /* awaited_ */
  bool fresh, stale, left, look_now;

  pred[I] = NONE;

  MAY_COME(I);
look:                          /* Waiter::look */
  STEP(awake = awake | ME; looking = looking | ME; DROP(moved, ME));    /* peek_counters */
  STEP(before = CARDS(claims) & 1);                     /* ledger_.claims(nullptr), card by card */
  STEP(before = before | (CARDS(claims) & 2));
  STEP(snapshot = (busy | outside) & 1);                /* source_.read(), card by card */
  STEP(snapshot = snapshot | ((busy | outside) & 2));

  if                           /* Waiter::decide: lock_mutex */
#ifdef NO_MUTEX
  :: atomic { true -> mutex = mutex | ME }
#else
  :: atomic { mutex == 0 -> mutex = ME }
#endif
  DIE
  GIVE_UP
  fi;
  STEP(seen = claims & 85);    /* ledger_.claims(&*guard) */
  STEP(d_step {
    seen = seen | (claims & 170);                       /* View::fresh */
    fresh = !IN(moved, I) && !(before & ~CARDS(seen));
#ifdef NO_STALE_CHECK
    fresh = true;
#endif
    DROP(looking, ME); DROP(moved, ME); before = 0;
  });
  if
  :: IN(leads, I) && ticket != 0 && pred[I] == NONE -> first = NONE
  :: else -> find_place()
  fi;
  STEP(d_step {                /* Waiter::my_turn; one step: who ahead dies meanwhile asks for less */
    free = 3 & ~snapshot & ~CARDS(seen);
    taken = 0;
    granted = CAN(I) & free;
    if
    :: !IN(leads, I) && ENOUGH(granted, WANTS(I)) ->
       upto = (ticket == 0 -> last : ticket - 1);
       apply_rule(1, CAN(I), true);
       granted = granted & ~taken
    :: else
    fi;
    granted = (ENOUGH(granted, WANTS(I)) -> BEST(granted, WANTS(I)) : 0);
    free = 0; taken = 0;
  });
  if
  :: granted != 0 && fresh -> goto take
  :: granted != 0 && !fresh -> granted = 0; seen = 0; snapshot = 0;
     goto unlock_and_look
  :: else
  fi;
  stale = !fresh; fresh = false;
  if
  :: ticket == 0 ->            /* Ledger::join: FIFO, bell, record */
     STEP(last++; ticket = last; who[ticket] = I; live = live | ME; named = named | ME);
     STEP(hears = hears | ME);
     STEP(written = written | ME)
  :: else
  fi;
  STEP(DROP(mutex, ME));

  /* Waiter::after_look */
  if
  :: IN(leads, I) ->
     /* Waiter::call_others; a ring that comes later does no less, so one step. */
     STEP(d_step {
       free = 3 & ~snapshot & ~CARDS(seen);
       cand = CAN(I) & free;
       taken = (ENOUGH(cand, WANTS(I)) -> BEST(cand, WANTS(I)) : cand);
       upto = last;
       apply_rule(ticket + 1, 3, true);
       free = 0; taken = 0;
       watch[I] = seen;        /* claims_ */
     });
     /* Waiter::watch_processes; who cannot be watched any more has it look again. */
     STEP(DROP(pidfds, ME);
       if
       :: snapshot & OUTSIDER & ~CARDS(seen) ->
          if :: outside -> pidfds = pidfds | ME :: else -> stale = true fi
       :: else
       fi)
  :: else ->
     watch[I] = 0; DROP(pidfds, ME);
#ifndef JOINS_UNSEEN
     /* The first in line has to know that somebody waits for what runs there to end. */
     if
     :: snapshot & CAN(I) & ~CARDS(seen) & ~awaited -> STEP(ring(first))
     :: else
     fi
#endif
  fi;
  d_step { awaited = snapshot & CAN(I) & ~CARDS(seen); first = NONE; seen = 0; snapshot = 0 };

sleep:                         /* Waiter::sleep */
  if
  :: stale -> stale = false; goto look
  :: else
  fi;
#ifdef ANSWER_LATE
  DROP(bell, ME);
#endif
  DROP(awake, ME);
  if
  :: atomic { READY(I) ->
     awake = awake | ME;
     left = PRED_LEFT(I);
     look_now = IN(bell, I) || RELEASED(I);
#if !defined(ANSWER_LATE) && !defined(NO_ANSWER)
     DROP(bell, ME)            /* answer_bell */
#endif
     }
  DIE
  GIVE_UP
  fi;
  if
  :: left ->                   /* Waiter::check_line */
     left = false;
     find_place();
     if
     :: IN(leads, I) -> look_now = true
#ifdef HANGUP_DROPPED
     :: else -> STEP(ring(first))         /* here, but not in a look */
#else
     :: else
#endif
     fi;
     first = NONE
  :: else
  fi;
  if
  :: look_now -> look_now = false; goto look
  :: else -> goto sleep
  fi;

unlock_and_look:               /* our turn by a stale snapshot */
  fresh = false; first = NONE;
  STEP(DROP(mutex, ME));
  goto look;

take:                          /* Waiter::take and Ledger::claim */
  seen = 0; snapshot = 0; fresh = false;
#if !defined(RING_LATE) && !defined(NO_RING)
  STEP(ring(first));
#endif
#ifdef COUNT_FIRST
  STEP(moved = moved | looking);
#endif
  STEP(d_step {
    assert(!(CARDS(claims) & granted));                          /* (a) no card has two owners */
    free = 3 & ~CARDS(claims) & ~outside;
    upto = (ticket == 0 -> last : ticket - 1);
    apply_rule(1, 3, false);
    assert(!(taken & granted));                                  /* (c) nobody ahead is passed */
    free = 0; taken = 0;
    claims = claims | MINE(granted & 1 -> 1 : granted)
  });
  if :: granted == 3 -> STEP(claims = claims | MINE(granted)) :: else fi;
#ifndef COUNT_FIRST
  STEP(moved = moved | looking);                                 /* Counters::grants */
#endif
#ifdef RING_LATE
  STEP(ring(first));
#endif
  first = NONE;
  if :: ticket != 0 -> leave() :: else fi;
  STEP(DROP(mutex, ME); busy = busy | granted; DROP(awake, ME));
  pred[I] = NONE; watch[I] = 0; DROP(pidfds, ME); DROP(leads, ME); ticket = 0; granted = 0;
  awaited = 0;

  /* The command. Its end and that of the claim, one descriptor after the other, is up to it. */
  do
  :: atomic { claims & MINE(1) -> DROP(claims, MINE(1)); DROP(busy, 1) }
  :: atomic { claims & MINE(2) -> DROP(claims, MINE(2)); DROP(busy, 2) }
  :: else -> break
  od;
  goto ended;

giving_up:
  if :: ticket != 0 -> leave() :: else fi;

dying:                         /* the kernel closes the descriptors, in no promised order */
  atomic {
    awake = awake | ME; DROP(looking, ME); DROP(moved, ME);
    pred[I] = NONE; watch[I] = 0; DROP(pidfds, ME); DROP(leads, ME);
    first = NONE; was = NONE; ticket = 0; before = 0; snapshot = 0; seen = 0; granted = 0;
    awaited = 0; fresh = false; stale = false; left = false; look_now = false;
  }
  do
  :: atomic { mutex & ME -> DROP(mutex, ME) }
  :: atomic { hears & ME -> DROP(hears, ME); DROP(bell, ME) }
  :: atomic { live & ME -> DROP(live, ME); DROP(named, ME); DROP(written, ME) }
  :: atomic { claims & MINE(1) -> DROP(claims, MINE(1)) }
  :: atomic { claims & MINE(2) -> DROP(claims, MINE(2)) }
  :: else -> break
  od;
  DROP(awake, ME);

ended:
  skip
}

#define RESTS(i) (!IN(awake, i) && !READY(i))
#if N == 3
#define QUIET (RESTS(0) && RESTS(1) && RESTS(2))
#else
#define QUIET (RESTS(0) && RESTS(1) && RESTS(2) && RESTS(3))
#endif

#if OUTSIDER
active proctype Outsider() {
  OUTSIDER_MAY_GO -> outside = 0
}
#endif

#ifndef LIVELOCK               /* (d), the part about going round for ever, is checked without it */
/* (b) Whenever nothing more happens by itself, nobody sleeps whose turn it is. */
active proctype Check() {
  byte t, free, taken, cand;
end:
  do
  :: d_step { QUIET && live ->
       free = 3 & ~CARDS(claims) & ~outside;
       taken = 0;
       t = 1;
       do
       :: t <= last ->
          if
          :: IN(live, who[t]) ->
             cand = CAN(who[t]) & free & ~taken;
             assert(!ENOUGH(cand, WANTS(who[t])));
             taken = taken | cand
          :: else
          fi;
          t++
       :: else -> break
       od;
       t = 0; free = 0; taken = 0; cand = 0
     }
  od
}
#endif

#if RINGS
active proctype Anybody() {
  byte i;
end:
  do
  :: atomic { rings < RINGS -> rings++; select(i : 0 .. N - 1); ring(i); i = 0 }
  od
}
#endif
