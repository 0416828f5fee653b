/* What the bus writes for a later start, but nobody waits for: the cursors that moved, and the
 * deletion of rows whose lanes have caught up. At most one append every BUS_CHORES_MS, and one at
 * a time.
 *
 * A row may only be deleted while its lane is not deferred again, so that is asked when the append
 * is made. A lane that fails while the append is on its way writes its row behind it. A lane whose
 * failure is on its way is skipped: its new row stands for the old one too. */
#include "bus_private.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

static void bus_write_chores(struct bus *b);

static void chores_on_timer(struct timer *t)
{
    bus_write_chores(container_of(t, struct bus, chores));
}

void bus_chores_init(struct bus *b)
{
    timer_init(&b->chores, chores_on_timer);
}

void bus_chores_deinit(struct bus *b)
{
    REQUIRE(!b->is_writing_chores);
    timer_stop(b->timers, &b->chores);
    mem_free(b->clears);
    b->clears = NULL;
    b->n_clears = b->clears_cap = 0;
}

void bus_touch_cursors(struct bus *b)
{
    if (!timer_is_running(&b->chores) && !b->is_writing_chores)
        timer_start(b->timers, &b->chores, BUS_CHORES_MS);
}

void bus_clear_row(struct subscription *s, struct lane_id lane)
{
    struct bus *b = s->bus;

    if (b->n_clears == b->clears_cap) {
        b->clears_cap = b->clears_cap ? 2 * b->clears_cap : 64;
        b->clears = mem_realloc(b->clears, b->clears_cap * sizeof(b->clears[0]));
    }
    b->clears[b->n_clears++] = (struct bus_clear){ s, lane };
    bus_touch_cursors(b);
}

static bool bus_cursors_moved(const struct bus *b)
{
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = b->subscriptions[i];

        if (s && subscription_cursor(s) != s->stored_cursor)
            return true;
    }
    return false;
}

bool bus_chores_are_done(const struct bus *b)
{
    return !b->is_writing_chores && b->n_clears == 0 && !bus_cursors_moved(b);
}

/* ---- the append ------------------------------------------------------------------------------ */

static void chores_end(struct bus *b, bool is_durable)
{
    size_t done = is_durable ? b->n_clears_writing : 0;

    for (unsigned i = 0; is_durable && i < SUBSCRIPTION_COUNT; i++) {
        if (b->subscriptions[i])
            b->subscriptions[i]->stored_cursor = b->chores_cursors[i];
    }
    b->n_clears -= done;
    if (done > 0)
        memmove(b->clears, b->clears + done, b->n_clears * sizeof(b->clears[0]));
    b->n_clears_writing = 0;
}

static void chores_on_appended(struct append *a)
{
    struct bus *b = container_of(a, struct bus, chores_append);

    b->is_writing_chores = false;
    b->n_writes--;
    chores_end(b, a->status == ERR_OK);
    if (!bus_chores_are_done(b))
        bus_touch_cursors(b);
    if (b->is_draining)
        bus_wake(b);
}

static void chores_put_cursors(struct bus *b)
{
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = b->subscriptions[i];
        char key = (char)i, value[8];

        if (!s)
            continue;
        b->chores_cursors[i] = subscription_cursor(s);
        if (b->chores_cursors[i] == s->stored_cursor)
            continue;
        bytes_put_u64(value, b->chores_cursors[i]);
        append_put(&b->chores_append, DB_CURSORS, (struct str){ &key, 1 },
                   (struct str){ value, sizeof(value) });
    }
}

static bool lane_keeps_row(const struct subscription *s, struct lane_id id)
{
    const struct lane *l = lane_find(s, id);
    const struct deferral *d = l ? l->deferral : NULL;

    return d && (d->is_stored || d->verdict != FAILED_DISMISS);
}

static void chores_put_clears(struct bus *b)
{
    b->n_clears_writing = b->n_clears < BUS_CLEARS_MAX ? b->n_clears : BUS_CLEARS_MAX;
    for (size_t i = 0; i < b->n_clears_writing; i++) {
        const struct bus_clear *c = &b->clears[i];
        char key[DEFERRED_LANE_KEY_LEN];

        if (lane_keeps_row(c->subscription, c->lane))
            continue;
        deferred_lane_key(c->subscription->config.id, c->lane, key);
        append_delete(&b->chores_append, DB_LANES, (struct str){ key, sizeof(key) });
    }
}

static void bus_write_chores(struct bus *b)
{
    if (b->is_writing_chores || bus_chores_are_done(b))
        return;
    if (append_begin(&b->chores_append, b->log, APPEND_CONSEQUENCE) != ERR_OK) {
        timer_start(b->timers, &b->chores, BUS_CHORES_MS);
        return;
    }
    chores_put_cursors(b);
    chores_put_clears(b);
    if (b->chores_append.write.n_rows == 0) { /* only rows that stay after all */
        append_abandon(&b->chores_append);
        chores_end(b, true);
        return;
    }
    b->is_writing_chores = true;
    b->n_writes++;
    append_submit(&b->chores_append, chores_on_appended);
}

void bus_flush_chores(struct bus *b)
{
    if (timer_is_running(&b->chores) && b->n_in_progress == 0) {
        timer_stop(b->timers, &b->chores);
        bus_write_chores(b);
    }
}
