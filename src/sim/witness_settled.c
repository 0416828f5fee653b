/* SETTLED: when faults have stopped, every order comes to its end or to rest, and nothing that it
 * waited for is left behind: no message unheard, no lane deferred, no refund or release due that was
 * for the built-in contexts to do. */
#include "orderly/base/check.h"
#include "witness_private.h"

static bool has_arrived(const struct seen_lane *l)
{
    switch (l->status) {
    case ORDER_COMPLETED:
    case ORDER_DELIVERED:
    case ORDER_CANCELLED:
    case ORDER_REJECTED:
    case ORDER_PAYMENT_FAILED:
    case ORDER_STOCK_RESERVED:
    case ORDER_READY:
    case ORDER_SHIPPED:
        return true;
    default:
        return false;
    }
}

/* The whole ways, by the drawings: five events to STOCK_RESERVED, and OrderReadied, OrderCompleted,
 * StockTaken; seven to SHIPPED, and ShipmentDispatched, StockTaken, ShipmentDelivered,
 * OrderDelivered. There is no StockTaken where somebody outside has the goods. */
#define PAY_FIRST_EVENTS 8
#define STOCK_FIRST_EVENTS 11

static void expected_judge(struct witness *w, const struct seen_lane *l)
{
    bool pays_first = l->flow == FLOW_PAY_FIRST;
    unsigned n_events = pays_first ? PAY_FIRST_EVENTS : STOCK_FIRST_EVENTS;

    n_events -= w->config.lacks_inventory;
    if (l->status != (pays_first ? ORDER_COMPLETED : ORDER_DELIVERED))
        witness_violate(w, SIM_SETTLED, l, "met no fault, and is " STR_FMT,
                        STR_ARG(order_status_name(l->status)));
    else if (l->n_events != n_events)
        witness_violate(w, SIM_SETTLED, l, "met no fault, and took %u events to its end",
                        l->n_events);
}

static void order_judge(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    w->counts.judged++;
    if (l->flow != FLOW_NONE && !has_arrived(l))
        witness_violate(w, SIM_SETTLED, l, "is " STR_FMT " for ever",
                        STR_ARG(order_status_name(l->status)));
    if (l->is_expected)
        expected_judge(w, l);
}

static void letter_judge(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct letter *l = container_of(n, struct letter, node);

    if (l->state == DEAD_LETTER_PARKED)
        witness_violate(w, SIM_SETTLED, l->lane, "is parked behind position %llu",
                        (unsigned long long)l->position);
}

void settled_whole(struct witness *w)
{
    map_each(&w->letters, letter_judge, w);
    map_each(&w->lanes, order_judge, w);
    if (w->n_rows[DB_LANES] > 0)
        witness_violate(w, SIM_SETTLED, NULL, "%llu lanes are still deferred",
                        (unsigned long long)w->n_rows[DB_LANES]);
}

/* What an operator would look at. */
void settled_lists(struct witness *w)
{
    if (w->n_rows[DB_UNSETTLED] > 0 || w->n_rows[DB_REFUNDS_DUE] > 0 || w->n_rows[DB_DEADLINES] > 0)
        witness_violate(w, SIM_SETTLED, NULL,
                        "%llu orders are listed as unsettled, %llu with refunds that are due, %llu "
                        "with a deadline",
                        (unsigned long long)w->n_rows[DB_UNSETTLED],
                        (unsigned long long)w->n_rows[DB_REFUNDS_DUE],
                        (unsigned long long)w->n_rows[DB_DEADLINES]);
}
