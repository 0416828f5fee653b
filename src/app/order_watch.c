#include "app_private.h"

static bool order_watch_is_met(const struct order_watch *w, const struct order *o)
{
    if (w->until)
        return (o->visited & w->until) != 0 || order_is_final(o);
    return o->sequence > w->after_sequence;
}

/* Out of all lists; the dossier is kept by the caller for as long as it needs it. */
static void order_watch_leave(struct order_watch *w)
{
    REQUIRE(w->is_waiting);
    w->is_waiting = false;
    list_remove(&w->link);
    list_remove(&w->app_link);
    timer_stop(&w->app->timers, &w->timer);
    w->app->n_waiters--;
}

static void order_watch_answer(struct order_watch *w)
{
    struct dossier *d = w->dossier;

    w->done(w, d->order, ERR_OK); /* w may be gone from here on */
    dossier_close(d);
}

static void order_watch_on_timeout(struct timer *t)
{
    struct order_watch *w = container_of(t, struct order_watch, timer);

    order_watch_leave(w);
    order_watch_answer(w);
}

static void order_watch_wait(struct order_watch *w)
{
    struct app *app = w->app;

    w->is_waiting = true;
    app->n_waiters++;
    list_push_back(&w->dossier->watchers, &w->link);
    list_push_back(&app->watches, &w->app_link);
    timer_init(&w->timer, order_watch_on_timeout);
    timer_start(&app->timers, &w->timer, w->wait_ms);
}

static void order_watch_on_open(struct dossier_wait *dw, enum err status)
{
    struct order_watch *w = container_of(dw, struct order_watch, open);
    struct app *app = w->app;

    w->dossier = status == ERR_OK ? dw->dossier : NULL;
    if (w->is_canceled) {
        struct dossier *d = w->dossier;

        w->freed(w);
        if (d)
            dossier_close(d);
        return;
    }
    if (status != ERR_OK) {
        w->done(w, NULL, status);
        return;
    }
    if (!w->dossier->order || w->wait_ms == 0 || order_watch_is_met(w, w->dossier->order) ||
        app->n_waiters >= WAITERS_MAX || app->is_draining)
        order_watch_answer(w);
    else
        order_watch_wait(w);
}

void order_watch_start(struct order_watch *w, struct app *a)
{
    w->app = a;
    w->is_waiting = w->is_canceled = false;
    w->dossier = NULL;
    list_init(&w->link);
    list_init(&w->app_link);
    w->open.ready = order_watch_on_open;
    dossier_open(&a->dossiers, lane_of_order(w->id), &w->open);
}

bool order_watch_cancel(struct order_watch *w, void (*freed)(struct order_watch *w))
{
    if (w->is_waiting) {
        struct dossier *d = w->dossier;

        order_watch_leave(w);
        dossier_close(d);
        return true;
    }
    w->is_canceled = true; /* the dossier is being read */
    w->freed = freed;
    return false;
}

void order_watch_notify(struct app *app, struct dossier *d)
{
    struct list met;
    struct list *at = d->watchers.next;

    (void)app;
    list_init(&met);
    while (at != &d->watchers) {
        struct order_watch *w = container_of(at, struct order_watch, link);

        at = at->next;
        if (order_watch_is_met(w, d->order)) {
            order_watch_leave(w);
            list_push_back(&met, &w->link);
        }
    }
    while (!list_is_empty(&met))
        order_watch_answer(container_of(list_pop_front(&met), struct order_watch, link));
}

void order_watch_drain(struct app *app)
{
    while (!list_is_empty(&app->watches)) {
        struct order_watch *w = container_of(app->watches.next, struct order_watch, app_link);

        order_watch_leave(w);
        order_watch_answer(w);
    }
}

unsigned app_waiters(const struct app *a)
{
    return a->n_waiters;
}
