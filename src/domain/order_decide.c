/* What the order's decisions share: how an event of a flow's row is filled. */
#include "order_private.h"
#include "orderly/base/check.h"

const struct flow *order_flow(const struct order *o)
{
    REQUIRE(o->body);
    return o->body->table;
}

struct event *order_emit(const struct order *o, enum event_type type, struct event_list *out)
{
    struct event *e = event_list_add(out, type);

    e->p.order_id = o->body->id;
    e->p.flow = o->body->flow;
    return e;
}

const struct order_effect *order_own_effect(const struct order *o, enum effect_kind kind)
{
    for (unsigned i = 0; i < o->n_effects; i++) {
        if (o->effects[i].kind == kind && o->effects[i].is_own)
            return &o->effects[i];
    }
    return NULL;
}

/* The own payment goes back, unless somebody asked for that before. */
static void put_refund(const struct order *o, struct payload *p)
{
    const struct order_effect *payment = order_own_effect(o, EFFECT_PAYMENT);

    if (!payment || payment->due != DUE_NONE)
        return;
    p->refund.set = true;
    p->refund.payment_id.t = payment->id;
    p->refund.amount = payment->amount;
    p->refund.currency = payment->currency;
}

static void put_release(const struct order *o, struct payload *p)
{
    const struct order_effect *reservation = order_own_effect(o, EFFECT_RESERVATION);

    if (!reservation || reservation->due != DUE_NONE)
        return;
    p->release.set = true;
    p->release.reservation_id.t = reservation->id;
}

struct event *order_emit_row(const struct order *o, const struct flow_row *row,
                             struct event_list *out)
{
    struct event *e = order_emit(o, (enum event_type)row->event, out);
    const struct order_body *b = o->body;
    struct payload *p = &e->p;

    switch (e->type) {
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_PAYMENT_REQUESTED:
        p->amount = b->total;
        p->currency = b->currency;
        break;
    case EVENT_ORDER_PAID:
        p->amount = b->total;
        p->currency = b->currency;
        p->stock_lines = b->stock_lines;
        p->n_stock_lines = b->n_stock_lines;
        break;
    case EVENT_ORDER_STOCK_RESERVED:
        p->stock_lines = b->stock_lines;
        p->n_stock_lines = b->n_stock_lines;
        break;
    case EVENT_ORDER_READIED:
        p->customer_id = b->customer_id;
        p->payment_id = o->payment_id;
        p->total = b->total;
        p->currency = b->currency;
        break;
    case EVENT_ORDER_CANCELLED:
        p->previous_status = o->status;
        put_refund(o, p);
        put_release(o, p);
        break;
    case EVENT_ORDER_REJECTED:
        put_refund(o, p);
        put_release(o, p);
        break;
    case EVENT_ORDER_PAYMENT_FAILED:
        put_release(o, p);
        break;
    default:
        break;
    }
    return e;
}

enum order_outcome order_end(const struct order *o, const struct flow_row *row, struct str reason,
                             struct event_list *out)
{
    order_emit_row(o, row, out)->p.reason = reason;
    return ORDER_OUTCOME_CHANGED;
}
