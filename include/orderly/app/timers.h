/* Timers of the app on the one alarm of the scheduler port. Thread: loop. */
#ifndef ORDERLY_APP_TIMERS_H
#define ORDERLY_APP_TIMERS_H
#include "orderly/app/scheduler.h"
#include "orderly/base/heap.h"
#include "orderly/base/list.h"

struct timer;
typedef void (*timer_cb)(struct timer *t);

struct timer {
    struct heap_node node;
    timer_cb fire;
};

struct timers {
    struct scheduler *scheduler;
    struct heap heap; /* by the monotonic time in us when a timer is due */
    int64_t armed_ms; /* what the scheduler's alarm was last asked for */
    bool is_running;  /* inside timers_run, which arms the alarm once at its end */
};

void timers_init(struct timers *ts, struct scheduler *s);
void timers_deinit(struct timers *ts);
static inline void timer_init(struct timer *t, timer_cb fire)
{
    *t = (struct timer){ .fire = fire };
}
/* Fires once, not before delay_ms from now (monotonic), never inside this call. A running timer is
 * moved. */
void timer_start(struct timers *ts, struct timer *t, int64_t delay_ms);
void timer_stop(struct timers *ts, struct timer *t); /* harmless when not running */
static inline int timer_is_running(const struct timer *t)
{
    return heap_contains(&t->node);
}
/* From the scheduler's on_alarm: fires what is due, at most max; more wait for the next turn.
 * Returns nonzero if more are due. */
int timers_run(struct timers *ts, unsigned max);
#endif
