/* One delivery in the hands of a context.
 *
 *     create -> delay -> dossier -> decide -> [turn -> decide] -> append -> done
 *
 * When the append is back, the binding goes, and the stock where nothing became durable. Ends once,
 * in handling_end, which gives back the turn and the dossier. */
#include "app_private.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define HANDLINGS_SPARE_MAX 4096

struct handling *handling_create(struct app *app, struct delivery *d)
{
    struct handling *h;

    if (list_is_empty(&app->handlings_spare)) {
        h = mem_alloc(sizeof(*h));
    } else {
        h = container_of(list_pop_front(&app->handlings_spare), struct handling, link);
        app->n_handlings_spare--;
    }
    h->app = app;
    h->delivery = d;
    h->event = &d->message->event;
    list_init(&h->link);
    h->dossier = NULL;
    h->turn = NULL;
    h->part = NULL;
    h->has_next_part = false;
    h->next_order = NULL;
    h->binding = NULL;
    h->stock = h->stock_inline;
    h->n_stock = 0;
    h->durable = NULL;
    return h;
}

static void handling_free(struct handling *h)
{
    struct app *app = h->app;

    if (h->stock != h->stock_inline)
        mem_free(h->stock);
    if (app->n_handlings_spare < HANDLINGS_SPARE_MAX) {
        list_push_front(&app->handlings_spare, &h->link);
        app->n_handlings_spare++;
    } else {
        mem_free(h);
    }
}

/* Gives everything back; the delivery is ended by the caller, after this. */
static struct delivery *handling_end(struct handling *h)
{
    struct delivery *d = h->delivery;

    if (h->has_next_part)
        part_state_deinit(&h->next_part);
    order_destroy(h->next_order);
    if (h->turn)
        turn_give(h->turn, &h->turn_wait);
    if (h->dossier)
        dossier_close(h->dossier);
    handling_free(h);
    return d;
}

void handling_done(struct handling *h)
{
    delivery_done(handling_end(h));
}

void handling_failed(struct handling *h, enum failure_code code, struct str detail)
{
    struct failure f = { .code = code, .detail = detail };

    delivery_failed(handling_end(h), &f);
}

void handling_unavailable(struct handling *h)
{
    delivery_unavailable(handling_end(h));
}

/* ---- on the way ------------------------------------------------------------------------------ */

static void handling_on_open(struct dossier_wait *w, enum err status)
{
    struct handling *h = container_of(w, struct handling, open);

    if (status == ERR_OK) {
        h->dossier = w->dossier;
        h->decide(h);
    } else if (status == ERR_DAMAGED) {
        /* This order's rows and no other's: it parks, and the rest flows. */
        handling_failed(h, FAILURE_CODE_DAMAGED, STR("The rows of the order can't be read."));
    } else {
        handling_unavailable(h);
    }
}

static void handling_on_delay(struct timer *t)
{
    struct handling *h = container_of(t, struct handling, delay);

    h->open.ready = handling_on_open;
    dossier_open(&h->app->dossiers, h->event->lane, &h->open);
}

void handling_open(struct handling *h, int64_t delay_ms, void (*decide)(struct handling *h))
{
    h->decide = decide;
    timer_init(&h->delay, handling_on_delay);
    if (delay_ms > 0)
        timer_start(&h->app->timers, &h->delay, delay_ms);
    else
        handling_on_delay(&h->delay);
}

static void handling_on_turn(struct turn_wait *w)
{
    struct handling *h = container_of(w, struct handling, turn_wait);

    h->decide(h);
}

void handling_take_turn(struct handling *h, struct turn *t, void (*decide)(struct handling *h))
{
    bool ok;

    h->decide = decide;
    h->turn = t;
    ok = turn_take(t, &h->turn_wait, handling_on_turn, false);
    ENSURE(ok); /* only commands are turned away */
}

/* ---- appending ------------------------------------------------------------------------------- */

enum err handling_begin(struct handling *h)
{
    enum err err = append_begin(&h->append, &h->app->log, APPEND_CONSEQUENCE);

    if (err != ERR_OK)
        handling_unavailable(h);
    return err;
}

static void handling_on_appended(struct append *a)
{
    struct handling *h = container_of(a, struct handling, append);
    bool ok = a->status == ERR_OK;

    if (h->binding)
        binding_release(h->app, h->binding, ok);
    for (unsigned i = 0; i < h->n_stock; i++) {
        if (ok)
            stock_change_durable(&h->stock[i], a->last_position);
        else
            stock_change_revoke(&h->stock[i]);
    }
    if (!ok) {
        handling_unavailable(h);
        return;
    }
    if (h->durable)
        h->durable(h);
    if (h->has_next_part) {
        part_become(h->part, &h->next_part);
        h->has_next_part = false;
    }
    if (h->next_order) {
        struct order *next = h->next_order;

        h->next_order = NULL;
        order_became(h->app, h->dossier, next);
    }
    handling_done(h);
}

void handling_submit(struct handling *h)
{
    delivery_put_handled(h->delivery, &h->append);
    append_submit(&h->append, handling_on_appended);
}

void handling_ignored(struct handling *h, enum order_status state, const char *why)
{
    char key[16 + 8 + 1];
    char value[1 + 64];
    size_t n = strlen(why);

    REQUIRE(n < sizeof(value));
    if (handling_begin(h) != ERR_OK)
        return;
    memcpy(key, h->event->lane.u.b, 16);
    bytes_put_u64(key + 16, h->event->position);
    key[24] = (char)h->delivery->subscription->config.id;
    value[0] = (char)state;
    memcpy(value + 1, why, n);
    append_put(&h->append, DB_IGNORED, (struct str){ key, sizeof(key) },
               (struct str){ value, n + 1 });
    handling_submit(h);
}

void handling_append_part(struct handling *h, struct part *p, struct event *e)
{
    REQUIRE(!h->has_next_part);
    e->stream.type = p->type;
    e->stream.id = p->id;
    e->lane = h->event->lane;
    e->sequence = p->sequence + 1;
    event_follows(e, h->event);
    e->handled_by = h->delivery->subscription->config.id;
    append_event(&h->append, e);
    h->part = p;
    part_state_copy(&h->next_part, p);
    h->has_next_part = true;
    part_state_apply(&h->next_part, e);
    part_state_put(&h->append, h->event->lane, &p->id, &h->next_part);
}

struct stock_change *handling_add_stock(struct handling *h, unsigned n)
{
    REQUIRE(h->n_stock == 0);
    if (n > HANDLING_STOCK_INLINE)
        h->stock = mem_alloc(n * sizeof(*h->stock));
    h->n_stock = n;
    return h->stock;
}
