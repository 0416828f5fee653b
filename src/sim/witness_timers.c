/* TIMER: a deadline fires, once, not before its time.
 *
 * The deadline of a payment is part of OrderPlaced: the configured time after it. An order that is
 * cancelled by it was not paid, and the clock stood at the deadline or behind it. An order that is past
 * its deadline does not stay open: a process that has been up for long, and could always have looked,
 * has fired it. That a retry comes not before its time is seen where it is handed over
 * (witness_lanes.c). */
#include "orderly/base/check.h"
#include "witness_private.h"

/* Looking takes a second, each fault that comes between another, and the store may be full for long;
 * a deadline that is still open after so long was forgotten. */
#define LATE_US (INT64_C(60) * 1000 * 1000)
#define SWEEP_US (INT64_C(5) * 1000 * 1000)

static bool is_unpaid(const struct seen_lane *l)
{
    return l->status == ORDER_AWAITING_PAYMENT || l->status == ORDER_PENDING ||
           l->status == ORDER_CONFIRMED;
}

static void timers_placed(struct witness *w, const struct event *e, struct seen_lane *l)
{
    int64_t timeout_ms = w->config.payment_timeout_ms;
    int64_t due_ms = timeout_ms > 0 ? e->occurred_at_ms + timeout_ms : 0;

    if (e->p.payment_deadline_ms != due_ms)
        witness_violate(w, SIM_TIMER, l, "placed at %lld, and to be paid until %lld",
                        (long long)e->occurred_at_ms, (long long)e->p.payment_deadline_ms);
    l->deadline_ms = e->p.payment_deadline_ms;
    if (l->deadline_ms)
        list_push_back(&w->open, &l->open_link);
}

void timers_event(struct witness *w, const struct event *e, struct seen *s)
{
    struct seen_lane *l = s->lane;

    if (e->stream.type != AGGREGATE_ORDER)
        return;
    if (e->type == EVENT_ORDER_PLACED) {
        timers_placed(w, e, l);
        return;
    }
    /* The way that it came was judged before; here only that it was time. */
    if (e->type == EVENT_ORDER_CANCELLED && e->handled_by == SUBSCRIPTION_NONE &&
        str_eq(e->p.reason, STR("payment_timeout")) && !s->cause &&
        (!l->deadline_ms || e->occurred_at_ms < l->deadline_ms ||
         w->wall_high_ms < l->deadline_ms || l->visited & (1u << ORDER_PAID)))
        witness_violate(w, SIM_TIMER, l, "timed out at %lld, and its deadline is %lld",
                        (long long)e->occurred_at_ms, (long long)l->deadline_ms);
    if (!is_unpaid(l))
        list_remove(&l->open_link);
}

void timers_started(struct witness *w)
{
    list_for_each(at, &w->open) container_of(at, struct seen_lane, open_link)->overdue_us = 0;
}

/* Now and then, not at each step. */
void timers_sweep(struct witness *w)
{
    if (!w->is_running || w->awake_us - w->swept_us < SWEEP_US)
        return;
    w->swept_us = w->awake_us;
    list_for_each(at, &w->open)
    {
        struct seen_lane *l = container_of(at, struct seen_lane, open_link);

        if (w->wall_ms < l->deadline_ms)
            l->overdue_us = 0;
        else if (l->overdue_us == 0)
            l->overdue_us = w->awake_us;
        else if (w->awake_us - l->overdue_us > LATE_US)
            witness_violate(w, SIM_TIMER, l, "not paid %lld ms after its deadline, and still open",
                            (long long)(w->wall_ms - l->deadline_ms));
    }
}

void timers_finished(struct witness *w)
{
    list_for_each(at, &w->open)
    {
        const struct seen_lane *l = container_of(at, struct seen_lane, open_link);

        if (w->wall_ms >= l->deadline_ms)
            witness_violate(w, SIM_TIMER, l, "its deadline has passed, and it is still " STR_FMT,
                            STR_ARG(order_status_name(l->status)));
    }
}
