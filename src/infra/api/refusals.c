#include "refusals.h"
#include "call.h"

static void refusals_on_tick(struct timer *t)
{
    struct refusals *r = container_of(t, struct refusals, tick);

    int64_t now_us = scheduler_mono_us(r->timers->scheduler);
    int64_t n = (now_us - r->ticked_us) * REFUSALS_PER_MS / 1000;

    if (n > REFUSALS_AT_ONCE)
        n = REFUSALS_AT_ONCE;
    r->ticked_us = now_us;
    while (n-- > 0 && !list_is_empty(&r->waiting)) {
        struct call *c = container_of(list_pop_front(&r->waiting), struct call, refusal);

        call_problem(c, 503, "overloaded", "The server is busy; try again.");
    }
    if (!list_is_empty(&r->waiting))
        timer_start(r->timers, &r->tick, REFUSALS_TICK_MS);
}

void refusals_init(struct refusals *r, struct timers *timers)
{
    r->timers = timers;
    timer_init(&r->tick, refusals_on_tick);
    list_init(&r->waiting);
}

void refusals_deinit(struct refusals *r)
{
    timer_stop(r->timers, &r->tick);
}

void refusals_add(struct refusals *r, struct call *c)
{
    list_push_back(&r->waiting, &c->refusal);
    if (timer_is_running(&r->tick))
        return;
    r->ticked_us = scheduler_mono_us(r->timers->scheduler);
    timer_start(r->timers, &r->tick, REFUSALS_TICK_MS);
}
