/* Who has to hear what, written down from the drawings of the flows and not from the tables that the
 * server runs: a subscription that is deaf to a message is seen here. */
#include "witness_private.h"

#define ORDERS (1u << SUBSCRIPTION_ORDERS)
#define PAYMENTS (1u << SUBSCRIPTION_PAYMENTS)
#define INVENTORY (1u << SUBSCRIPTION_INVENTORY)
#define SHIPMENTS (1u << SUBSCRIPTION_SHIPMENTS)

/* By what the order does, apart from Audit, which hears everything, and relays. */
static unsigned hears_order(enum flow_id flow, enum event_type type)
{
    bool pays_first = flow == FLOW_PAY_FIRST;

    switch (type) {
    case EVENT_ORDER_PLACED:
        return pays_first ? PAYMENTS : INVENTORY;
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_PAYMENT_REQUESTED:
    case EVENT_ORDER_REFUND_REQUESTED:
        return PAYMENTS;
    case EVENT_ORDER_PAID:
        return pays_first ? INVENTORY : SHIPMENTS;
    case EVENT_ORDER_CANCELLED:
    case EVENT_ORDER_REJECTED:
        return PAYMENTS | INVENTORY;
    case EVENT_ORDER_PAYMENT_FAILED:
    case EVENT_ORDER_RELEASE_REQUESTED:
        return INVENTORY;
    case EVENT_ORDER_COMPLETED:
        return pays_first ? INVENTORY : 0;
    case EVENT_ORDER_SHIPPED:
    case EVENT_ORDER_SHIPMENT_REFUSED:
        return SHIPMENTS;
    default:
        return 0;
    }
}

static unsigned hears(enum flow_id flow, enum event_type type)
{
    switch (event_infos[type].aggregate) {
    case AGGREGATE_ORDER:
        return flow == FLOW_NONE ? 0 : hears_order(flow, type);
    case AGGREGATE_PAYMENT:
    case AGGREGATE_RESERVATION:
        return ORDERS;
    case AGGREGATE_SHIPMENT:
        /* Goods that leave are taken off hand. */
        if (flow == FLOW_STOCK_FIRST &&
            (type == EVENT_SHIPMENT_DISPATCHED || type == EVENT_SHIPMENT_DELIVERED))
            return ORDERS | INVENTORY;
        return ORDERS;
    default:
        return 0;
    }
}

bool wants_to_hear(enum subscription_id s, const struct event *e)
{
    unsigned who;

    if (event_infos[e->type].topic.n == 0)
        return false;
    if (s == SUBSCRIPTION_AUDIT)
        return true;
    if (subscription_is_relay(s)) /* what was said from outside is known there */
        return e->message_id.n == 0;
    who = hears(e->p.flow, e->type);
    /* What is wrong with an outside message is Orders' to say. */
    return (e->verdict == VERDICT_FINE ? who : who & ORDERS) & 1u << s;
}
