/* How fast a relay may publish while events are being appended: orders go first.
 *
 * A broker on the same machine, or on the same disk, takes of both what it needs for what it is given.
 * What a relay gives it is therefore measured by what it costs: how long an event waits until it is
 * durable. Now and then the relay pauses for a moment, which tells what that wait is without it (the
 * base). From there it goes faster for as long as the wait stays near the base, and slower when it does
 * not. Where nothing is appended, or so little is published that it can't be what disturbs, it goes as
 * fast as the broker does. (The idea, of traffic that yields to all other and finds by the delay that it
 * has to, is RFC 6817's; there, too, the base is the lowest delay that was seen.)
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
/* What a disk or a machine does by itself now and then makes single looks several times as long as the
 * others: of so many, the second shortest wait is what counts. */
#define RELAY_PACE_LOOKS 4
/* Messages a second below which a relay is not paced at all, and what is always allowed to one that is:
 * with RabbitMQ, which writes them to the same disk, the orders' 99th percentile at half the peak was 2.4
 * to 2.8 times as long beside the first, 1.4 to 2 times beside 500, and as long as without it beside the
 * second. */
#define RELAY_PACE_FROM 2000
#define RELAY_PACE_MIN 200
/* While the base is measured; 0 would be none. */
#define RELAY_PACE_STILL 1
/* Events a second from which on they are thought to be in the relay's way. */
#define RELAY_PACE_BUSY 1000
/* So many at once are seen before the look is over: what a free relay sends meanwhile, orders wait for. */
#define RELAY_PACE_RUSH 1000
/* Looks without them after which it is free again. */
#define RELAY_PACE_QUIET_LOOKS 4
/* Looks after pausing before the base is measured: the broker works off what it was given. */
#define RELAY_PACE_SETTLE_LOOKS 2
/* From probe to probe, at full multiples of it, so that several relays probe together; the first run is
 * up to half as long again. */
#define RELAY_PACE_RUN_MS 20000

enum relay_pace_state { RELAY_PACE_FREE, RELAY_PACE_SETTLE, RELAY_PACE_PROBE, RELAY_PACE_PACED };

/* Counted since some beginning; none ever goes back. */
struct relay_pace_totals {
    uint64_t events;    /* that became durable */
    double waited_us;   /* of all of them together, from being appended to being durable */
    uint64_t published; /* by this relay */
};

struct relay_pace {
    unsigned slack_percent;
    enum relay_pace_state state;
    uint64_t limit; /* messages a second; 0: none */
    uint64_t found; /* the limit that was right before the last probe; 0: none was found */
    double base_us; /* the shortest wait since the last probe began */
    double waits_us[RELAY_PACE_LOOKS];
    unsigned n_waits;
    unsigned looks; /* in SETTLE; in PROBE and PACED: empty or quiet ones, one after the other */
    int64_t run_until_ms;
    int64_t looked_ms;
    struct relay_pace_totals last; /* at the last look */
};

/* slack_percent: how much longer than the base an event may wait. */
void relay_pace_init(struct relay_pace *p, unsigned slack_percent, int64_t now_ms,
                     const struct relay_pace_totals *t);
/* As often as one likes, with a clock that never goes back. True: the limit may have changed. */
bool relay_pace_look(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t);
#endif
