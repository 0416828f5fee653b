/* Takes idempotency keys that are older than 24 hours (of wall clock) away, in small slices. */
#include "app_private.h"
#include "orderly/base/bytes.h"

#define KEY_SWEEP_MS 1000

static void key_sweep_rest(struct app *app, int64_t ms)
{
    app->key_sweep.is_busy = false;
    if (!app->is_draining)
        timer_start(&app->timers, &app->key_sweep.timer, ms);
}

static void key_sweep_on_appended(struct append *a)
{
    struct key_sweep *s = container_of(a, struct key_sweep, append);
    struct app *app = container_of(s, struct app, key_sweep);
    bool more = s->n == IDEMPOTENCY_SWEEP_MAX;

    if (a->status == ERR_OK) {
        for (unsigned i = 0; i < s->n; i++) /* the set holds one entry for each expiry */
            idempotency_remove(&app->idempotency, &s->keys[i]);
    }
    key_sweep_rest(app, a->status == ERR_OK && more ? 1 : KEY_SWEEP_MS);
}

/* A key that was used again after its 24 hours has a younger row under the same digest; then only the
 * old expiry goes. */
static void key_sweep_run(struct store_read *r, const struct store_view *v)
{
    struct key_sweep *s = container_of(r, struct key_sweep, read);
    struct str key = STR(""), found, value, row;
    enum store_seek how = STORE_GE;
    struct arena arena;

    arena_init(&arena, NULL, 0);
    s->n = 0;
    while (s->n < IDEMPOTENCY_SWEEP_MAX) {
        struct stored_answer answer;

        s->status = store_seek(v, DB_IDEMPOTENCY_EXPIRY, how, key, &arena, &found, &value);
        if (s->status == ERR_OK && found.n != 8 + 16)
            s->status = ERR_DAMAGED;
        if (s->status != ERR_OK || (int64_t)bytes_get_u64(found.p) > s->now_ms)
            break;
        s->expires_ms[s->n] = (int64_t)bytes_get_u64(found.p);
        memcpy(s->keys[s->n].b, found.p + 8, 16);
        s->is_current[s->n] =
            store_get(v, DB_IDEMPOTENCY, (struct str){ found.p + 8, 16 }, &arena, &row) == ERR_OK &&
            stored_answer_decode(row, &answer) == ERR_OK &&
            answer.expires_ms == s->expires_ms[s->n];
        s->n++;
        key = found;
        how = STORE_GT;
    }
    arena_deinit(&arena);
}

static bool key_sweep_is_same(const struct key_sweep *s, unsigned a, unsigned b)
{
    return memcmp(s->keys[a].b, s->keys[b].b, sizeof(s->keys[a].b)) == 0;
}

/* Does the set know of the key only what is swept now? n rows were looked at and kept, in their new
 * places; the first that was not is number i. */
static bool key_sweep_has_all(const struct app *app, unsigned n, unsigned i)
{
    const struct key_sweep *s = &app->key_sweep;
    unsigned n_known = idempotency_count(&app->idempotency, &s->keys[i]), n_swept = 1;

    if (n_known == 1)
        return true;
    for (unsigned k = 0; k < n; k++)
        n_swept += key_sweep_is_same(s, k, i);
    for (unsigned k = i + 1; k < s->n; k++)
        n_swept += key_sweep_is_same(s, k, i);
    return n_known == n_swept;
}

/* Since it was read a key may have been used again, and its younger row may be on its way or there:
 * that row is not what has expired. One that a command holds is left for the next time, as nobody
 * knows yet whether it is going to be stored. */
static void key_sweep_spare_used(struct app *app)
{
    struct key_sweep *s = &app->key_sweep;
    unsigned n = 0;

    for (unsigned i = 0; i < s->n; i++) {
        struct str key = { (const char *)s->keys[i].b, sizeof(s->keys[i].b) };

        if (map_find(&app->idempotency.in_flight, key))
            continue;
        s->is_current[n] = s->is_current[i] && key_sweep_has_all(app, n, i);
        s->keys[n] = s->keys[i];
        s->expires_ms[n] = s->expires_ms[i];
        n++;
    }
    s->n = n;
}

static void key_sweep_done(struct store_read *r)
{
    struct key_sweep *s = container_of(r, struct key_sweep, read);
    struct app *app = container_of(s, struct app, key_sweep);

    key_sweep_spare_used(app);
    if (s->n == 0 || append_begin(&s->append, &app->log, APPEND_CONSEQUENCE) != ERR_OK) {
        key_sweep_rest(app, KEY_SWEEP_MS);
        return;
    }
    for (unsigned i = 0; i < s->n; i++) {
        char expiry[8 + 16];

        bytes_put_u64(expiry, (uint64_t)s->expires_ms[i]);
        memcpy(expiry + 8, s->keys[i].b, 16);
        append_delete(&s->append, DB_IDEMPOTENCY_EXPIRY, (struct str){ expiry, sizeof(expiry) });
        if (s->is_current[i])
            append_delete(&s->append, DB_IDEMPOTENCY, (struct str){ expiry + 8, 16 });
    }
    append_submit(&s->append, key_sweep_on_appended);
}

static void key_sweep_on_timer(struct timer *t)
{
    struct key_sweep *s = container_of(t, struct key_sweep, timer);
    struct app *app = container_of(s, struct app, key_sweep);

    s->now_ms = scheduler_wall_ms(app->scheduler);
    if (app->is_draining)
        return;
    s->is_busy = true;
    s->read = (struct store_read){ .run = key_sweep_run, .done = key_sweep_done };
    if (app->idempotency.len == 0 || store_read_start(app->store, &s->read) != ERR_OK)
        key_sweep_rest(app, KEY_SWEEP_MS);
}

void key_sweep_init(struct app *app)
{
    timer_init(&app->key_sweep.timer, key_sweep_on_timer);
    timer_start(&app->timers, &app->key_sweep.timer, KEY_SWEEP_MS);
}
