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

/* A row that has to go. */
struct bus_clear {
    struct map_node node;
    struct list link;
    struct subscription *subscription;
    struct lane_id lane;
    bool again; /* once more behind the append that is on its way */
    char key[DEFERRED_LANE_KEY_LEN];
};

static void bus_write_chores(struct bus *b);

static void chores_on_timer(struct timer *t)
{
    bus_write_chores(container_of(t, struct bus, chores));
}

void bus_chores_init(struct bus *b)
{
    timer_init(&b->chores, chores_on_timer);
    list_init(&b->clears);
    map_init(&b->clears_map, &b->map_key);
}

static struct bus_clear *clear_first(const struct bus *b)
{
    return container_of(b->clears.next, struct bus_clear, link);
}

static void clear_free(struct bus *b, struct bus_clear *c)
{
    map_remove(&b->clears_map, &c->node);
    list_remove(&c->link);
    mem_free(c);
    b->n_clears--;
}

void bus_chores_deinit(struct bus *b)
{
    REQUIRE(!b->is_writing_chores);
    timer_stop(b->timers, &b->chores);
    while (!list_is_empty(&b->clears))
        clear_free(b, clear_first(b));
    map_deinit(&b->clears_map);
}

void bus_touch_cursors(struct bus *b)
{
    if (!timer_is_running(&b->chores) && !b->is_writing_chores)
        timer_start(b->timers, &b->chores, BUS_CHORES_MS);
}

static struct bus_clear *clear_find(const struct bus *b, const char key[DEFERRED_LANE_KEY_LEN])
{
    struct map_node *n = map_find(&b->clears_map, (struct str){ key, DEFERRED_LANE_KEY_LEN });

    return n ? container_of(n, struct bus_clear, node) : NULL;
}

void bus_clear_row(struct subscription *s, struct lane_id lane)
{
    struct bus *b = s->bus;
    char key[DEFERRED_LANE_KEY_LEN];
    struct bus_clear *c;

    deferred_lane_key(s->config.id, lane, key);
    c = clear_find(b, key);
    if (c) {
        c->again = true;
    } else {
        c = mem_alloc(sizeof(*c));
        *c = (struct bus_clear){ .subscription = s, .lane = lane };
        memcpy(c->key, key, sizeof(key));
        map_insert(&b->clears_map, &c->node, (struct str){ c->key, sizeof(c->key) });
        list_push_back(&b->clears, &c->link);
        b->n_clears++;
    }
    bus_touch_cursors(b);
}

void bus_put_clear(const struct subscription *s, struct lane_id lane, struct append *a)
{
    char key[DEFERRED_LANE_KEY_LEN];

    if (s->bus->n_clears == 0)
        return;
    deferred_lane_key(s->config.id, lane, key);
    if (clear_find(s->bus, key))
        append_delete(a, DB_LANES, (struct str){ key, sizeof(key) });
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
    REQUIRE(!b->is_writing_chores);
    return b->n_clears == 0 && !bus_cursors_moved(b);
}

/* ---- the append ------------------------------------------------------------------------------ */

static void chores_end(struct bus *b, bool is_durable)
{
    size_t done = is_durable ? b->n_clears_writing : 0;

    for (unsigned i = 0; is_durable && i < SUBSCRIPTION_COUNT; i++) {
        if (b->subscriptions[i])
            b->subscriptions[i]->stored_cursor = b->chores_cursors[i];
    }
    while (done-- > 0) {
        struct bus_clear *c = clear_first(b);

        if (c->again) {
            c->again = false;
            list_remove(&c->link);
            list_push_back(&b->clears, &c->link);
        } else {
            clear_free(b, c);
        }
    }
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
    b->n_clears_writing = 0;
    list_for_each(at, &b->clears)
    {
        struct bus_clear *c = container_of(at, struct bus_clear, link);

        if (b->n_clears_writing == BUS_CLEARS_MAX)
            return;
        b->n_clears_writing++;
        c->again = false; /* what asked again before this append is done by it */
        if (!lane_keeps_row(c->subscription, c->lane))
            append_delete(&b->chores_append, DB_LANES, (struct str){ c->key, sizeof(c->key) });
    }
}

static void bus_write_chores(struct bus *b)
{
    if (bus_chores_are_done(b))
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
