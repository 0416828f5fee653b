/* The rows that follow from an order's events: its snapshot and the lists it stands in. A pure
 * function of the order before and after, so that a rebuild makes the same rows. */
#include "app_private.h"
#include "orderly/app/row_keys.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/buf.h"

static void put_snapshot(struct append *a, const struct order *o)
{
    struct buf row = { 0 };

    order_snapshot_encode(o, &row);
    append_put(a, DB_ORDERS, uuid_bytes(&o->body->id.u), buf_str(&row));
    buf_deinit(&row);
}

static void put_customer(struct append *a, const struct order *o)
{
    char key[ROW_KEY_CUSTOMER_MAX];

    append_put(a, DB_ORDERS_BY_CUSTOMER, row_key_customer(key, &o->body->customer_id, o->body->id),
               STR_NONE);
}

static void move_status(struct append *a, const struct order *before, const struct order *after)
{
    char key[ROW_KEY_STATUS];
    struct order_id id = after->body->id;

    if (before && before->status == after->status)
        return;
    if (before)
        append_delete(a, DB_ORDERS_BY_STATUS, row_key_status(key, before->status, id));
    append_put(a, DB_ORDERS_BY_STATUS, row_key_status(key, after->status, id), STR_NONE);
}

static void move_unsettled(struct append *a, const struct order *before, const struct order *after)
{
    char key[ROW_KEY_TIME];
    int64_t was = before ? before->unsettled_since_ms : 0;
    struct order_id id = after->body->id;

    if (was == after->unsettled_since_ms)
        return;
    if (was)
        append_delete(a, DB_UNSETTLED, row_key_time(key, was, id));
    if (after->unsettled_since_ms)
        append_put(a, DB_UNSETTLED, row_key_time(key, after->unsettled_since_ms, id), STR_NONE);
}

static void move_deadline(struct append *a, const struct order *before, const struct order *after)
{
    char key[ROW_KEY_TIME];
    bool was = before && order_has_open_deadline(before), is = order_has_open_deadline(after);
    int64_t due = after->body->payment_deadline_ms;

    if (was && !is)
        append_delete(a, DB_DEADLINES, row_key_time(key, due, after->body->id));
    if (!was && is)
        append_put(a, DB_DEADLINES, row_key_time(key, due, after->body->id), STR_NONE);
}

static void move_refund_due(struct append *a, const struct order *before, const struct order *after)
{
    bool was = before && order_has_refund_due(before), is = order_has_refund_due(after);
    struct str key = uuid_bytes(&after->body->id.u);

    if (was && !is)
        append_delete(a, DB_REFUNDS_DUE, key);
    if (!was && is)
        append_put(a, DB_REFUNDS_DUE, key, STR_NONE);
}

void order_put_rows(struct append *a, const struct order *before, const struct order *after)
{
    put_snapshot(a, after);
    if (!before)
        put_customer(a, after);
    move_status(a, before, after);
    move_unsettled(a, before, after);
    move_deadline(a, before, after);
    move_refund_due(a, before, after);
}

struct order *order_append_events(struct app *app, struct append *a, const struct order *before,
                                  struct event_list *events, const struct event *cause,
                                  enum subscription_id handled_by, const struct command *c)
{
    struct order *next = before ? order_clone(before) : order_create();
    int64_t now_ms = scheduler_wall_ms(app->scheduler);

    for (unsigned i = 0; i < events->n; i++) {
        struct event *e = &events->events[i];

        e->stream.type = AGGREGATE_ORDER;
        e->stream.id.n = UUID_TEXT_LEN;
        uuid_format(e->p.order_id.u, e->stream.id.s);
        e->lane = lane_of_order(e->p.order_id);
        e->sequence = next->sequence + 1;
        e->handled_by = handled_by;
        if (cause)
            event_follows(e, cause);
        if (c)
            command_event(c, e);
        if (e->occurred_at_ms == 0)
            e->occurred_at_ms = now_ms;
        append_event(a, e);
        order_apply(next, e);
    }
    order_put_rows(a, before, next);
    return next;
}

void order_became(struct app *app, struct dossier *d, struct order *next)
{
    int64_t *counts = app->metrics.orders[next->body->flow];

    if (d->order)
        counts[d->order->status]--;
    counts[next->status]++;
    refund_totals_take_off(&app->metrics.refunds_due, d->order);
    refund_totals_add(&app->metrics.refunds_due, next);
    if (order_has_open_deadline(next) && !d->order)
        deadlines_note(app, next->body->payment_deadline_ms);
    dossier_set_order(d, next);
    order_watch_notify(app, d);
}
