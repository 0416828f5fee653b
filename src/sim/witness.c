#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"
#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
} invariants[SIM_INVARIANT_COUNT] = {
#define X(name, what) [SIM_##name] = { #name, what },
    SIM_INVARIANT_MAP(X)
#undef X
};

const char *sim_invariant_name(enum sim_invariant i)
{
    REQUIRE(i < SIM_INVARIANT_COUNT);
    return invariants[i].name;
}

const char *sim_invariant_text(enum sim_invariant i)
{
    REQUIRE(i < SIM_INVARIANT_COUNT);
    return invariants[i].text;
}

struct witness *witness_create(const struct witness_config *config)
{
    struct witness *w = mem_zalloc(sizeof(*w));

    w->config = *config;
    w->bus = config->bus;
    return w;
}

void witness_destroy(struct witness *w)
{
    if (!w)
        return;
    mem_free(w);
}

void witness_violate(struct witness *w, enum sim_invariant i, const struct order_id *order,
                     const char *format, ...)
{
    va_list args;

    if (w->is_violated)
        return;
    w->is_violated = true;
    w->violation.invariant = i;
    w->violation.has_order = order;
    if (order)
        w->violation.order = *order;
    w->violation.at_us = w->mono_us;
    va_start(args, format);
    vsnprintf(w->violation.text, sizeof(w->violation.text), format, args);
    va_end(args);
}

void witness_time(struct witness *w, int64_t mono_us, int64_t wall_ms)
{
    REQUIRE(mono_us >= w->mono_us);
    w->mono_us = mono_us;
    w->wall_ms = wall_ms;
}

void witness_committed(struct witness *w, const struct list *writes)
{
    list_for_each(l, writes)
    {
        const struct store_write *write = container_of(l, struct store_write, link);

        w->counts.events += write->n_events;
    }
    w->counts.commits++;
}

void witness_answered(struct witness *w, const struct sim_answer *a)
{
    if ((a->command == SIM_PLACE || a->command == SIM_CHECKOUT) && a->status == 201 &&
        !a->is_replayed)
        w->counts.acknowledged++;
}

void witness_handed_over(struct witness *w, const struct delivery *d)
{
    (void)d;
    w->counts.deliveries++;
}

void witness_ended(struct witness *w, const struct delivery *d, enum delivery_end how)
{
    (void)d;
    if (how == DELIVERY_FAILED)
        w->counts.failures++;
}

void witness_fails(struct witness *w, const struct delivery *d, enum failure_code code)
{
    (void)w;
    (void)d;
    (void)code;
}

void witness_crashed(struct witness *w, const struct store_view *v)
{
    (void)v;
    w->counts.whole_judged++;
}

void witness_started(struct witness *w, struct bus *bus)
{
    w->bus = bus;
}

void witness_finished(struct witness *w, const struct store_view *v)
{
    (void)v;
    w->counts.whole_judged++;
}

const struct sim_violation *witness_violation(const struct witness *w)
{
    return w->is_violated ? &w->violation : NULL;
}

void witness_counts(const struct witness *w, struct witness_counts *out)
{
    *out = w->counts;
}
