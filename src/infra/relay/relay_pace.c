#include "orderly/infra/relay/relay_pace.h"

/* An event may also wait this much longer for what a clock and a scheduler do by themselves. */
#define SLACK_US 50.0
/* Slower sooner than faster: the smaller fault is to be late with messages. */
#define SLOWER 0.7
#define FASTER 1.25
/* A limit that was not made use of says nothing about whether more would be too much. */
#define USED 0.7

struct look {
    uint64_t n_events;
    double events; /* a second */
    double wait_us;
    double published; /* a second */
};

void relay_pace_init(struct relay_pace *p, unsigned slack_percent, int64_t now_ms,
                     const struct relay_pace_totals *t)
{
    *p = (struct relay_pace){ .slack_percent = slack_percent, .looked_ms = now_ms, .last = *t };
}

static struct look look_at(const struct relay_pace *p, int64_t now_ms,
                           const struct relay_pace_totals *t)
{
    double seconds = (double)(now_ms > p->looked_ms ? now_ms - p->looked_ms : 1) / 1000.0;
    uint64_t n = t->events - p->last.events;

    return (struct look){
        .n_events = n,
        .events = (double)n / seconds,
        .wait_us = n ? (t->waited_us - p->last.waited_us) / (double)n : 0.0,
        .published = (double)(t->published - p->last.published) / seconds,
    };
}

static void go(struct relay_pace *p, enum relay_pace_state state, uint64_t limit)
{
    p->state = state;
    p->limit = limit;
    p->looks = p->n_waits = 0;
}

static void settle(struct relay_pace *p)
{
    p->found = p->limit;
    go(p, RELAY_PACE_SETTLE, RELAY_PACE_STILL);
}

/* By the clock, and so at the same time as any other relay of this machine: who measures the base while
 * another one publishes takes what that one costs for the base, goes faster, and is measured by the
 * other in turn. */
static int64_t next_settling_ms(int64_t now_ms)
{
    int64_t at_ms = (now_ms / RELAY_PACE_RUN_MS + 1) * RELAY_PACE_RUN_MS;

    return at_ms - now_ms < RELAY_PACE_RUN_MS / 2 ? at_ms + RELAY_PACE_RUN_MS : at_ms;
}

static void run(struct relay_pace *p, double base_us, int64_t now_ms)
{
    go(p, RELAY_PACE_PACED, p->found ? p->found : RELAY_PACE_MIN);
    p->base_us = base_us;
    p->run_until_ms = next_settling_ms(now_ms);
}

/* Whether there are enough, and what they say: the second shortest. */
static bool add_wait(struct relay_pace *p, double us, double *out)
{
    double first, second;

    p->waits_us[p->n_waits++] = us;
    if (p->n_waits < RELAY_PACE_LOOKS)
        return false;
    p->n_waits = 0;
    first = second = p->waits_us[0];
    for (unsigned i = 1; i < RELAY_PACE_LOOKS; i++) {
        double wait = p->waits_us[i];

        if (i == 1 || wait < second)
            second = wait;
        if (second < first) {
            second = first;
            first = wait;
        }
    }
    *out = second;
    return true;
}

static bool is_too_long(const struct relay_pace *p, double wait_us)
{
    return wait_us > p->base_us * (1.0 + p->slack_percent / 100.0) + SLACK_US;
}

/* The base may have been measured amid what was left of a rush; then it comes down by and by. */
static void steer(struct relay_pace *p, const struct look *look)
{
    double limit = (double)p->limit, wait_us;

    if (!add_wait(p, look->wait_us, &wait_us))
        return;
    if (wait_us < p->base_us)
        p->base_us = wait_us;
    if (is_too_long(p, wait_us))
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

/* Whether nothing was appended for some looks. For one of them nothing is where the disk takes longer than
 * a look for a commit. */
static bool is_over(struct relay_pace *p, const struct look *look)
{
    p->looks = look->n_events ? 0 : p->looks + 1;
    return p->looks >= RELAY_PACE_QUIET_LOOKS;
}

static void step(struct relay_pace *p, const struct look *look, int64_t now_ms)
{
    double base_us;

    switch (p->state) {
    case RELAY_PACE_FREE:
        if (look->events >= RELAY_PACE_BUSY && look->published > RELAY_PACE_FROM)
            settle(p);
        break;
    case RELAY_PACE_SETTLE:
        if (++p->looks >= RELAY_PACE_SETTLE_LOOKS)
            go(p, RELAY_PACE_PROBE, RELAY_PACE_STILL);
        break;
    case RELAY_PACE_PROBE:
        if (is_over(p, look))
            go(p, RELAY_PACE_FREE, 0);
        else if (look->n_events && add_wait(p, look->wait_us, &base_us))
            run(p, base_us, now_ms);
        break;
    case RELAY_PACE_PACED:
        if (is_quiet(p, look))
            go(p, RELAY_PACE_FREE, 0);
        else if (now_ms >= p->run_until_ms)
            settle(p);
        else if (look->events >= RELAY_PACE_BUSY)
            steer(p, look);
        break;
    }
}

/* A look takes its time, but for one of many events at once that find the relay free. */
static bool is_due(const struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t)
{
    return now_ms - p->looked_ms >= RELAY_PACE_LOOK_MS ||
           (p->state == RELAY_PACE_FREE && t->events - p->last.events >= RELAY_PACE_RUSH);
}

bool relay_pace_look(struct relay_pace *p, int64_t now_ms, const struct relay_pace_totals *t)
{
    struct look look;

    if (!is_due(p, now_ms, t))
        return false;
    look = look_at(p, now_ms, t);
    step(p, &look, now_ms);
    p->looked_ms = now_ms;
    p->last = *t;
    return true;
}
