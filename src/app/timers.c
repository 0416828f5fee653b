/* One alarm of the scheduler serves all timers: it is asked for when a timer becomes the earliest,
 * and left alone when that timer is stopped, because an alarm that finds nothing due costs less
 * than asking again each time. */
#include "orderly/app/timers.h"
#include "orderly/base/check.h"

/* A century: far beyond any delay of ours, and far from an overflow. */
#define TIMER_DELAY_MS_MAX (INT64_C(100) * 366 * 86400 * 1000)

static void timers_arm(struct timers *ts)
{
    const struct heap_node *first = heap_peek(&ts->heap);
    int64_t at_ms = first ? (first->key + 999) / 1000 : INT64_MAX; /* never before it is due */

    if (at_ms < ts->armed_ms) {
        ts->armed_ms = at_ms;
        ts->scheduler->ops->wake_at(ts->scheduler, at_ms);
    }
}

void timers_init(struct timers *ts, struct scheduler *s)
{
    *ts = (struct timers){ .scheduler = s, .armed_ms = INT64_MAX };
    heap_init(&ts->heap);
}

void timers_deinit(struct timers *ts)
{
    while (heap_peek(&ts->heap))
        heap_remove(&ts->heap, heap_peek(&ts->heap));
    if (ts->armed_ms != INT64_MAX)
        ts->scheduler->ops->wake_at(ts->scheduler, INT64_MAX);
    ts->armed_ms = INT64_MAX;
    heap_deinit(&ts->heap);
}

void timer_start(struct timers *ts, struct timer *t, int64_t delay_ms)
{
    REQUIRE(t->fire != NULL);
    REQUIRE(delay_ms >= 0);
    REQUIRE(delay_ms <= TIMER_DELAY_MS_MAX);
    timer_stop(ts, t);
    heap_push(&ts->heap, &t->node, scheduler_mono_us(ts->scheduler) + delay_ms * 1000);
    if (!ts->is_running)
        timers_arm(ts);
}

void timer_stop(struct timers *ts, struct timer *t)
{
    if (timer_is_running(t))
        heap_remove(&ts->heap, &t->node);
}

int timers_run(struct timers *ts, unsigned max)
{
    int64_t now_us = scheduler_mono_us(ts->scheduler);
    /* A timer that is started from here on waits for the next run, even with no delay: its key is
     * not below now_us and its order is not below this one, so all older ones that are due come
     * before it. */
    uint64_t started_later = ts->heap.next_order;
    struct heap_node *n;
    bool is_more;

    REQUIRE(!ts->is_running);
    ts->is_running = true;
    n = heap_peek(&ts->heap);
    while (max > 0 && n && n->key <= now_us && n->order < started_later) {
        struct timer *t = container_of(n, struct timer, node);

        heap_remove(&ts->heap, n);
        t->fire(t); /* t may be gone from here on */
        max--;
        n = heap_peek(&ts->heap);
    }
    is_more = n && n->key <= now_us;
    ts->is_running = false;
    ts->armed_ms = INT64_MAX; /* the alarm that brought us here is spent */
    timers_arm(ts);
    return is_more;
}
