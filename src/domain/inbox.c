#include "orderly/domain/inbox.h"

void inbox_apply(struct inbox *i, const struct event *e)
{
    i->sequence = e->sequence;
    if (e->p.flow != FLOW_NONE)
        i->flow = e->p.flow;
    switch (e->type) {
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_STOCK_RESERVED:
        i->reservation_id = e->p.reservation_id;
        return;
    case EVENT_ORDER_COMPLETED:
        i->is_completed = true;
        return;
    case EVENT_ORDER_SHIPPED:
        i->shipment_id = e->p.shipment_id;
        return;
    case EVENT_SHIPMENT_DISPATCHED:
    case EVENT_SHIPMENT_DELIVERED:
        /* What is known to be the right one is not forgotten for another. */
        if (i->left_id.t.n == 0 || !text_id_eq(&i->left_id.t, &i->shipment_id.t))
            i->left_id = e->p.shipment_id;
        return;
    default:
        return;
    }
}

bool inbox_has_left(const struct inbox *i)
{
    return i->is_completed || (i->left_id.t.n > 0 && text_id_eq(&i->left_id.t, &i->shipment_id.t));
}

bool inbox_tells_choice(const struct event *e)
{
    return e->stream.type == AGGREGATE_INBOX &&
           (e->type == EVENT_ORDER_CONFIRMED || e->type == EVENT_ORDER_STOCK_RESERVED ||
            e->type == EVENT_ORDER_SHIPPED);
}
