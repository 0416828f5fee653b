/* How fast a relay may publish while events are being appended: orders go first.
 *
 * A broker on the same machine, or on the same disk, takes of both what it needs for what it is given.
 * What a relay gives it is therefore measured by what it costs: how long an event waits until it is
 * durable. Now and then the relay all but stops for a moment, which tells what that wait is without it
 * (the base). From there it goes faster for as long as the wait stays near the base, and slower when it
 * does not. Where nothing is appended, or so little is published that it can't be what disturbs, it
 * goes as fast as the broker does.
 *
 *     FREE ── many are published while many are appended ──► SETTLE ─► PROBE ─► PACED
 *      ▲                                                        ▲                 │ RELAY_PACE_RUN_MS
 *      └────────── hardly anything is appended ─────────────────┴─────────────────┘
 *
 * Knows no clock and no lock; whoever has it feeds it. */
#ifndef ORDERLY_INFRA_RELAY_RELAY_PACE_H
#define ORDERLY_INFRA_RELAY_RELAY_PACE_H
#include <stdbool.h>
#include <stdint.h>

/* One look. Long enough for some commits of a slow disk to be among what is looked at. */
#define RELAY_PACE_LOOK_MS 100
/* Messages a second that are always allowed: what the slowest broker that was measured takes with a
 * tenth of a core. Also the rate from which on a relay is paced at all. */
#define RELAY_PACE_MIN 2000
/* Events a second from which on they are thought to be in the relay's way. */
#define RELAY_PACE_BUSY 1000
/* Looks without them after which it is free again. */
#define RELAY_PACE_QUIET_LOOKS 4
/* Looks after slowing down before the base is measured: the broker works off what it was given. */
#define RELAY_PACE_SETTLE_LOOKS 2
#define RELAY_PACE_PROBE_LOOKS 2
/* From probe to probe, at full multiples of it, so that several relays probe together; the first run is
 * up to half as long again. */
#define RELAY_PACE_RUN_MS 10000

enum relay_pace_state { RELAY_PACE_FREE, RELAY_PACE_SETTLE, RELAY_PACE_PROBE, RELAY_PACE_PACED };

/* Counted since some beginning; none ever goes back. */
struct relay_pace_totals {
    uint64_t events;    /* that became durable */
    double waited_us;   /* of all of them together, from being appended to being durable */
    uint64_t published; /* by this relay */
};

struct relay_pace {
    enum relay_pace_state state;
    uint64_t limit; /* messages a second; 0: none */
    uint64_t found; /* the limit that was right before the last probe; 0: none was found */
    double base_us; /* of the last probe */
    unsigned looks; /* in this state; in FREE and PACED: of them quiet, one after the other */
    int64_t run_until_ms;
    int64_t looked_ms;
    struct relay_pace_totals last, probed; /* at the last look; at the beginning of the probe */
};

void relay_pace_init(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t);
/* As often as one likes, with a clock that never goes back. True: the limit may have changed. */
bool relay_pace_look(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t);
#endif
