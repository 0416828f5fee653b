/* The witness: each call hands what happened to whoever judges it. */
#include "witness.h"
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

/* ---- life -------------------------------------------------------------------------------------- */

static void take_subscriptions(struct witness *w, const struct bus *bus)
{
    for (unsigned i = SUBSCRIPTION_NONE + 1; bus && i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = bus->subscriptions[i];

        if (!s)
            continue;
        w->subscriptions[i] = (struct subscription){ .config = s->config };
        w->has_subscription[i] = true;
    }
}

struct witness *witness_create(const struct witness_config *config)
{
    struct witness *w = mem_zalloc(sizeof(*w));

    w->config = *config;
    w->is_running = true;
    memcpy(w->key.bytes, &config->seed, sizeof(config->seed));
    arena_init(&w->memory, NULL, 1u << 16);
    arena_init(&w->scratch, NULL, 1u << 14);
    take_subscriptions(w, config->bus);
    history_init(w);
    rows_init(w);
    map_init(&w->streams, &w->key);
    map_init(&w->owned, &w->key);
    map_init(&w->stock, &w->key);
    map_init(&w->letters, &w->key);
    map_init(&w->requests, &w->key);
    map_init(&w->message_ids, &w->key);
    map_init(&w->brought, &w->key);
    list_init(&w->touched_stock);
    list_init(&w->open);
    list_init(&w->alone);
    return w;
}

void witness_destroy(struct witness *w)
{
    if (!w)
        return;
    rows_deinit(w);
    history_deinit(w);
    map_deinit(&w->streams);
    map_deinit(&w->owned);
    map_deinit(&w->stock);
    map_deinit(&w->letters);
    map_deinit(&w->requests);
    map_deinit(&w->message_ids);
    map_deinit(&w->brought);
    arena_deinit(&w->memory);
    arena_deinit(&w->scratch);
    mem_free(w);
}

void witness_violate(struct witness *w, enum sim_invariant i, const struct seen_lane *lane,
                     const char *format, ...)
{
    va_list args;

    if (w->is_violated)
        return;
    w->is_violated = true;
    w->violation.invariant = i;
    w->violation.has_order = lane && lane->flow != FLOW_NONE;
    if (w->violation.has_order)
        w->violation.order.u = lane->id.u;
    w->violation.at_us = w->mono_us;
    va_start(args, format);
    (void)vsnprintf(w->violation.text, sizeof(w->violation.text), format, args);
    va_end(args);
}

const struct sim_violation *witness_violation(const struct witness *w)
{
    return w->is_violated ? &w->violation : NULL;
}

void witness_counts(const struct witness *w, struct witness_counts *out)
{
    *out = w->counts;
}

/* ---- time -------------------------------------------------------------------------------------- */

void witness_time(struct witness *w, int64_t mono_us, int64_t wall_ms)
{
    int64_t passed_ms = (mono_us - w->mono_us) / 1000;

    REQUIRE(mono_us >= w->mono_us);
    /* A clock that does not go as fast as time was set back. */
    if (w->wall_ms && wall_ms < w->wall_ms + passed_ms)
        w->wall_set_back_ms += w->wall_ms + passed_ms - wall_ms;
    /* A machine that stands still does not look at its clocks either. */
    w->awake_us += mono_us - w->mono_us < WITNESS_STEP_US ? mono_us - w->mono_us : WITNESS_STEP_US;
    w->mono_us = mono_us;
    w->wall_ms = wall_ms;
    if (wall_ms > w->wall_high_ms)
        w->wall_high_ms = wall_ms;
    if (!w->is_violated)
        timers_sweep(w);
}

int64_t witness_awake_us(const struct witness *w)
{
    return w->awake_us;
}

/* ---- the store --------------------------------------------------------------------------------- */

static void judge_write(struct witness *w, const struct store_write *write)
{
    for (unsigned i = 0; i < write->n_rows && !w->is_violated; i++)
        if (write->rows[i].db == DB_EVENTS && !write->rows[i].is_delete)
            history_event(w, write, write->rows[i].key, write->rows[i].value);
    for (unsigned i = 0; i < write->n_rows && !w->is_violated; i++) {
        const struct store_row *row = &write->rows[i];

        if (row->db == DB_EVENTS || row->db == DB_BY_LANE || row->db == DB_BY_TYPE)
            continue;
        if (row->db == DB_IDEMPOTENCY)
            answers_row(w, write, row);
        else if (row->db == DB_SETTINGS)
            contexts_row(w, row);
        else if (row->db == DB_IGNORED && !row->is_delete)
            ignored_row(w, row);
        rows_apply(w, row);
    }
    if (!w->is_violated)
        answers_write(w, write);
    if (!w->is_violated)
        letters_write(w, write);
    if (!w->is_violated)
        stock_write(w, write);
    if (!w->is_violated)
        models_write(w, write);
    if (!w->is_violated)
        cursors_write(w, write);
}

void witness_committed(struct witness *w, const struct list *writes)
{
    w->counts.commits++;
    list_for_each(l, writes)
    {
        if (!w->is_violated)
            judge_write(w, container_of(l, struct store_write, link));
    }
}

/* ---- clients and handlers ----------------------------------------------------------------------- */

void witness_answered(struct witness *w, const struct sim_answer *a)
{
    if (!w->is_violated)
        answers_answered(w, a);
}

void witness_handed_over(struct witness *w, const struct delivery *d)
{
    w->counts.deliveries++;
    w->fails.is_set = false; /* that was of an attempt before */
    if (!w->is_violated)
        lanes_handed_over(w, d);
}

void witness_ended(struct witness *w, const struct delivery *d, enum delivery_end how)
{
    if (how == DELIVERY_FAILED)
        w->counts.failures++;
    if (!w->is_violated)
        lanes_ended(w, d, how);
}

void witness_fails(struct witness *w, const struct delivery *d, enum failure_code code)
{
    w->fails.is_set = true;
    w->fails.subscription = d->subscription->config.id;
    w->fails.position = d->message->event.position;
    w->fails.code = code;
}

/* ---- the process -------------------------------------------------------------------------------- */

/* In this order: what the store lost is worse than what follows from it. */
static void judge_whole(struct witness *w, const struct store_view *v, bool is_end)
{
    w->counts.whole_judged++;
    rows_compare(w, v);
    letters_whole(w);
    stock_whole(w, is_end);
    cursors_whole(w);
}

void witness_crashed(struct witness *w, const struct store_view *v)
{
    w->is_running = false;
    if (w->is_violated)
        return;
    lanes_crashed(w);
    letters_crashed(w);
    judge_whole(w, v, false);
}

void witness_started(struct witness *w, struct bus *bus)
{
    w->is_running = true;
    take_subscriptions(w, bus);
    lanes_started(w);
    timers_started(w);
}

void witness_expects(struct witness *w, const struct order_id *id)
{
    history_lane(w, lane_of_order(*id))->is_expected = true;
}

void witness_unanswered(struct witness *w, const char *what)
{
    witness_violate(w, SIM_SETTLED, NULL, "nobody answers %s any more", what);
}

void witness_finished(struct witness *w, const struct store_view *v)
{
    if (w->is_violated)
        return;
    answers_finished(w);
    lanes_finished(w);
    relays_finished(w);
    received_finished(w);
    timers_finished(w);
    settled_whole(w);
    money_finished(w);
    judge_whole(w, v, true);
    settled_lists(w);
}
