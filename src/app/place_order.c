#include "place_order.h"
#include "orderly/base/mem.h"
#include "price_lines.h"

enum refused app_refuses_orders(const struct app *a)
{
    struct store_stats stats;

    if (bus_backlog(&a->bus) > BUS_BACKLOG_MAX)
        return REFUSED_BACKLOG;
    a->store->ops->stats(a->store, &stats);
    /* The last part is for what accepted orders cause. */
    if (stats.events_max && a->log.last_position >= stats.events_max / 10 * 8)
        return REFUSED_STORE_FULL;
    if (stats.free_ratio < STORE_FREE_REFUSES)
        return REFUSED_STORE_FULL;
    return REFUSED_COUNT;
}

bool order_is_refused(struct command *c)
{
    enum refused why = app_refuses_orders(c->app);
    struct reply r = { .code = REPLY_OVERLOADED,
                       .detail = STR("New orders are not taken at the moment; try again."),
                       .retry_after_s = 1 };

    if (why == REFUSED_COUNT)
        return false;
    c->app->metrics.refused[why]++;
    if (why == REFUSED_STORE_FULL) {
        r.code = REPLY_DISK_FULL;
        r.detail = STR("The store has no room for new orders.");
        r.retry_after_s = 30;
    }
    command_reply(c, &r);
    return true;
}

void order_placing_fill(struct order_placing *p, const struct price_lines *pl)
{
    p->lines = pl->lines;
    p->n_lines = pl->n;
    p->discounts = pl->discounts;
    p->n_discounts = pl->n_discounts;
    p->subtotal = pl->subtotal;
    p->total = pl->total;
    p->currency = pl->currency;
    p->payment_timeout_ms = pl->app->config.payment_timeout_ms;
}

struct order *order_append_placed(struct command *c, const struct order_placing *placing,
                                  struct event_list *events)
{
    int64_t now_ms = scheduler_wall_ms(c->app->scheduler); /* once: the deadline counts from it */

    event_list_init(events);
    order_place(placing, now_ms, events);
    events->events[0].occurred_at_ms = now_ms;
    return order_append_events(c->app, &c->append, NULL, events, NULL, SUBSCRIPTION_NONE, c);
}

static void place_order_applied(struct command *c, enum err status)
{
    struct place_order *p = container_of(c, struct place_order, command);
    struct dossier *d = p->order_entry;

    if (status == ERR_OK)
        order_became(c->app, d, p->order);
    else
        order_destroy(p->order);
    p->order = NULL;
    dossier_close(d);
}

static void place_order_enter(struct command *c)
{
    struct place_order *p = container_of(c, struct place_order, command);
    struct app *app = c->app;
    struct price_lines pl = { .app = app,
                              .arena = c->arena,
                              .asked = p->lines,
                              .n = p->n_lines,
                              .asked_currency = p->currency };
    struct reply r = { .code = REPLY_CREATED };
    struct order_placing placing = { .flow = p->flow,
                                     .customer_id = p->customer_id,
                                     .address = &p->address };
    enum err err;

    if (order_is_refused(c))
        return;
    if (!price_lines(&pl, p->flow, &r)) {
        command_reply(c, &r);
        return;
    }
    err = append_begin(&c->append, &app->log, APPEND_COMMAND);
    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    placing.id.u = event_log_new_uuid(&app->log);
    order_placing_fill(&placing, &pl);
    p->order_entry = dossier_open_new(&app->dossiers, lane_of_order(placing.id));
    p->order = order_append_placed(c, &placing, &app->decision);
    r.order = p->order;
    command_submit(c, &r, place_order_applied);
}

static void place_order_run(struct command *c)
{
    door_enter(c, place_order_enter);
}

void place_order_start(struct place_order *p)
{
    command_start(&p->command, place_order_run);
}
