/* Payment timeouts. The open deadlines are rows, so neither a restart nor a million waiting orders
 * cost memory; here is only the time of the next one. The wall clock decides (a deadline is a time
 * of day that the client was told), looked at once a second or when the next is due. A clock set
 * back runs nothing early, and handling one late or twice changes nothing. */
#include "app_private.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define DEADLINES_LOOK_MS 1000
#define DEADLINES_READ_MAX 256

static void deadlines_arm(struct app *app)
{
    struct deadlines *d = &app->deadlines;
    int64_t in_ms;

    if (d->is_reading || d->n_open > 0 || d->next_ms == INT64_MAX)
        return;
    in_ms = d->next_ms - scheduler_wall_ms(app->scheduler);
    if (in_ms < 0)
        in_ms = 0;
    if (in_ms > DEADLINES_LOOK_MS)
        in_ms = DEADLINES_LOOK_MS;
    timer_start(&app->timers, &d->timer, in_ms);
}

void deadlines_note(struct app *app, int64_t due_ms)
{
    if (due_ms >= app->deadlines.next_ms)
        return;
    app->deadlines.next_ms = due_ms;
    deadlines_arm(app);
}

/* ---- one order ------------------------------------------------------------------------------- */

struct expiry {
    struct app *app;
    struct dossier_wait open;
    struct dossier *dossier;
    struct turn_wait turn;
    struct append append;
    struct order *next;
};

static void expiry_end(struct expiry *x)
{
    struct app *app = x->app;

    if (x->dossier) {
        turn_give(&x->dossier->turn, &x->turn);
        dossier_close(x->dossier);
    }
    mem_free(x);
    app->deadlines.n_open--;
    deadlines_arm(app);
}

/* Not now: the row is still there, so it is looked at again. */
static void expiry_try_later(struct expiry *x)
{
    int64_t soon_ms = scheduler_wall_ms(x->app->scheduler) + DEADLINES_LOOK_MS;

    if (x->app->deadlines.next_ms > soon_ms)
        x->app->deadlines.next_ms = soon_ms;
    expiry_end(x);
}

static void expiry_on_appended(struct append *a)
{
    struct expiry *x = container_of(a, struct expiry, append);

    if (a->status != ERR_OK) {
        order_destroy(x->next);
        expiry_try_later(x);
        return;
    }
    order_became(x->app, x->dossier, x->next);
    expiry_end(x);
}

static void expiry_granted(struct turn_wait *w)
{
    struct expiry *x = container_of(w, struct expiry, turn);
    struct app *app = x->app;
    struct order *o = x->dossier->order;
    enum order_outcome outcome = ORDER_OUTCOME_HOLDS;

    event_list_init(&app->decision);
    if (o)
        outcome = order_expire_payment(o, scheduler_wall_ms(app->scheduler), &app->decision);
    if (outcome == ORDER_OUTCOME_NOT_YET_DUE) {
        expiry_try_later(x); /* the clock was set back since it was read */
        return;
    }
    if (outcome != ORDER_OUTCOME_CHANGED) {
        expiry_end(x); /* paid or ended meanwhile: its row has gone with that */
        return;
    }
    if (append_begin(&x->append, &app->log, APPEND_CONSEQUENCE) != ERR_OK) {
        expiry_try_later(x);
        return;
    }
    x->next =
        order_append_events(app, &x->append, o, &app->decision, NULL, SUBSCRIPTION_NONE, NULL);
    append_submit(&x->append, expiry_on_appended);
}

static void expiry_on_open(struct dossier_wait *w, enum err status)
{
    struct expiry *x = container_of(w, struct expiry, open);
    bool ok;

    if (status != ERR_OK) {
        expiry_try_later(x);
        return;
    }
    x->dossier = w->dossier;
    ok = turn_take(&x->dossier->turn, &x->turn, expiry_granted, false);
    ENSURE(ok); /* only commands are turned away */
}

static void expiry_start(struct app *app, struct order_id id)
{
    struct expiry *x = mem_zalloc(sizeof(*x));

    x->app = app;
    x->open.ready = expiry_on_open;
    app->deadlines.n_open++;
    dossier_open(&app->dossiers, lane_of_order(id), &x->open);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void deadlines_run(struct store_read *r, const struct store_view *v)
{
    struct deadlines *d = container_of(r, struct deadlines, read);
    struct str key = STR(""), found, value;
    enum store_seek how = STORE_GE;

    d->n_due = 0;
    d->read_next_ms = INT64_MAX;
    for (;;) {
        int64_t due_ms;

        d->status = store_seek(v, DB_DEADLINES, how, key, &d->arena, &found, &value);
        if (d->status == ERR_OK && found.n != 8 + 16)
            d->status = ERR_DAMAGED;
        if (d->status != ERR_OK)
            break;
        due_ms = (int64_t)bytes_get_u64(found.p);
        if (due_ms > d->now_ms || d->n_due == DEADLINES_READ_MAX) {
            d->read_next_ms = due_ms;
            break;
        }
        memcpy(&d->due[d->n_due++], found.p + 8, 16);
        key = found;
        how = STORE_GT;
    }
    if (d->status == ERR_NOT_FOUND)
        d->status = ERR_OK;
}

static void deadlines_done(struct store_read *r)
{
    struct deadlines *d = container_of(r, struct deadlines, read);
    struct app *app = container_of(d, struct app, deadlines);

    d->is_reading = false;
    arena_reset(&d->arena);
    if (d->status != ERR_OK)
        d->read_next_ms = scheduler_wall_ms(app->scheduler) + DEADLINES_LOOK_MS;
    if (d->read_next_ms < d->next_ms)
        d->next_ms = d->read_next_ms;
    d->n_open++; /* so that the timer is armed once, below */
    for (unsigned i = 0; i < d->n_due; i++)
        expiry_start(app, d->due[i]);
    d->n_open--;
    deadlines_arm(app);
}

static void deadlines_on_timer(struct timer *t)
{
    struct deadlines *d = container_of(t, struct deadlines, timer);
    struct app *app = container_of(d, struct app, deadlines);

    d->now_ms = scheduler_wall_ms(app->scheduler);
    if (app->is_draining)
        return;
    if (d->now_ms < d->next_ms) {
        deadlines_arm(app);
        return;
    }
    d->next_ms = INT64_MAX; /* lowered by the read, and by whatever is placed meanwhile */
    d->read = (struct store_read){ .run = deadlines_run, .done = deadlines_done };
    d->is_reading = true;
    if (store_read_start(app->store, &d->read) != ERR_OK) {
        d->is_reading = false;
        d->next_ms = d->now_ms + DEADLINES_LOOK_MS;
        deadlines_arm(app);
    }
}

void deadlines_init(struct app *app)
{
    struct deadlines *d = &app->deadlines;

    timer_init(&d->timer, deadlines_on_timer);
    arena_init(&d->arena, NULL, 0);
    d->next_ms = INT64_MAX;
    d->due = mem_alloc(DEADLINES_READ_MAX * sizeof(*d->due));
}

void deadlines_deinit(struct app *app)
{
    arena_deinit(&app->deadlines.arena);
    mem_free(app->deadlines.due);
}
