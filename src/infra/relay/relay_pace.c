#include "orderly/infra/relay/relay_pace.h"

/* An event may wait this much longer than it would without the relay, and a little for what a clock
 * and a scheduler do by themselves. */
#define SLACK 1.1
#define SLACK_US 50.0
/* Slower at once, faster bit by bit: the smaller fault is to be late with messages. */
#define SLOWER 0.8
#define FASTER 1.25
/* A limit that was not made use of says nothing about whether more would be too much. */
#define USED 0.7

struct look {
    double seconds;
    double events; /* a second */
    double wait_us;
    double published; /* a second */
};

void relay_pace_init(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t)
{
    *p = (struct relay_pace){ .looked_ms = now_ms, .last = *t };
}

static double mean_wait_us(const struct relay_pace_totals *from, const struct relay_pace_totals *to)
{
    return to->events == from->events
               ? 0.0
               : (to->waited_us - from->waited_us) / (double)(to->events - from->events);
}

static struct look look_at(const struct relay_pace *p, int64_t now_ms,
                           const struct relay_pace_totals *t)
{
    double seconds = (double)(now_ms - p->looked_ms) / 1000.0;

    return (struct look){
        .seconds = seconds,
        .events = (double)(t->events - p->last.events) / seconds,
        .wait_us = mean_wait_us(&p->last, t),
        .published = (double)(t->published - p->last.published) / seconds,
    };
}

static void set_free(struct relay_pace *p)
{
    p->state = RELAY_PACE_FREE;
    p->limit = 0;
    p->looks = 0;
}

static void settle(struct relay_pace *p)
{
    p->state = RELAY_PACE_SETTLE;
    p->found = p->limit;
    p->limit = RELAY_PACE_MIN;
    p->looks = 0;
}

static void probe(struct relay_pace *p, const struct relay_pace_totals *t)
{
    p->state = RELAY_PACE_PROBE;
    p->probed = *t;
    p->looks = 0;
}

/* By the clock, and so at the same time as any other relay of this machine: who measures the base while
 * another one publishes takes what that one costs for the base, goes faster, and is measured by the
 * other in turn. */
static int64_t next_settling_ms(int64_t now_ms)
{
    int64_t at_ms = (now_ms / RELAY_PACE_RUN_MS + 1) * RELAY_PACE_RUN_MS;

    return at_ms - now_ms < RELAY_PACE_RUN_MS / 2 ? at_ms + RELAY_PACE_RUN_MS : at_ms;
}

static void run(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t)
{
    p->state = RELAY_PACE_PACED;
    p->base_us = mean_wait_us(&p->probed, t);
    p->limit = p->found ? p->found : RELAY_PACE_MIN;
    p->looks = 0;
    p->run_until_ms = next_settling_ms(now_ms);
}

static void steer(struct relay_pace *p, const struct look *look)
{
    double limit = (double)p->limit;

    if (look->wait_us > p->base_us * SLACK + SLACK_US)
        limit *= SLOWER;
    else if (look->published >= limit * USED)
        limit *= FASTER;
    p->limit = limit > RELAY_PACE_MIN ? (uint64_t)limit : RELAY_PACE_MIN;
}

/* Whether hardly anything was appended for some looks. */
static bool is_quiet(struct relay_pace *p, const struct look *look)
{
    if (look->events >= RELAY_PACE_BUSY) {
        p->looks = 0;
        return false;
    }
    return ++p->looks >= RELAY_PACE_QUIET_LOOKS;
}

static void step(struct relay_pace *p, const struct look *look, int64_t now_ms,
                 const struct relay_pace_totals *t)
{
    switch (p->state) {
    case RELAY_PACE_FREE:
        if (look->events >= RELAY_PACE_BUSY && look->published > RELAY_PACE_MIN)
            settle(p);
        break;
    case RELAY_PACE_SETTLE:
        if (++p->looks >= RELAY_PACE_SETTLE_LOOKS)
            probe(p, t);
        break;
    case RELAY_PACE_PROBE:
        if (++p->looks < RELAY_PACE_PROBE_LOOKS)
            break;
        if (mean_wait_us(&p->probed, t) > 0)
            run(p, now_ms, t);
        else
            set_free(p); /* nothing was appended meanwhile */
        break;
    case RELAY_PACE_PACED:
        if (is_quiet(p, look))
            set_free(p);
        else if (now_ms >= p->run_until_ms)
            settle(p);
        else if (look->events >= RELAY_PACE_BUSY)
            steer(p, look);
        break;
    }
}

bool relay_pace_look(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t)
{
    struct look look;

    if (now_ms - p->looked_ms < RELAY_PACE_LOOK_MS)
        return false;
    look = look_at(p, now_ms, t);
    step(p, &look, now_ms, t);
    p->looked_ms = now_ms;
    p->last = *t;
    return true;
}
