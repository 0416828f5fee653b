/* What Orders makes of a message, and what people and the clock ask of an order. The decisions are the
 * domain's; here their events are applied, held against the table, and published. */
#include "orderly/base/check.h"
#include "world.h"

#define LATER_MS (WORLD_NOW_MS + 3600000)

/* The input by which the tables know a message. */
static bool input_of(enum event_type type, enum order_input *out)
{
    switch (type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        *out = ORDER_INPUT_PAYMENT_APPROVED;
        return true;
    case EVENT_PAYMENT_DECLINED:
    case EVENT_PAYMENT_FAILED:
        *out = ORDER_INPUT_PAYMENT_DECLINED;
        return true;
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        *out = ORDER_INPUT_STOCK_RESERVED;
        return true;
    case EVENT_STOCK_REJECTED:
    case EVENT_INVENTORY_RESERVATION_FAILED:
        *out = ORDER_INPUT_STOCK_REJECTED;
        return true;
    case EVENT_SHIPMENT_CREATED:
        *out = ORDER_INPUT_SHIPMENT_CREATED;
        return true;
    case EVENT_SHIPMENT_DELIVERED:
        *out = ORDER_INPUT_SHIPMENT_DELIVERED;
        return true;
    case EVENT_SHIPMENT_CANCELLED:
        *out = ORDER_INPUT_SHIPMENT_CANCELLED;
        return true;
    default:
        return false;
    }
}

/* Events of an order that are no change of its status, and stand in no row. */
static bool is_beside_rows(enum event_type type)
{
    switch (type) {
    case EVENT_ORDER_REFUND_REQUESTED:
    case EVENT_ORDER_RELEASE_REQUESTED:
    case EVENT_ORDER_SHIPMENT_REFUSED:
    case EVENT_ORDER_REFUNDED:
    case EVENT_ORDER_STOCK_RELEASED:
        return true;
    default:
        return false;
    }
}

/* The table has this event here, and the order is then where the table says. */
static void check_row(struct world *w, const struct flow_row *row, enum event_type type,
                      enum order_status before)
{
    enum order_status after = w->order->status, wanted = before;

    if (row && row->event == type) {
        unsigned i = (unsigned)(row - w->flow->rows);

        w->used->rows |= UINT64_C(1) << i;
        wanted = row->to;
    } else if (!is_beside_rows(type)) {
        world_broke(w, FLOW_TABLE);
        TELL(w, "\n      no row of the table has " STR_FMT " there", TYPE_ARG(type));
        return;
    }
    if (after == wanted)
        return;
    world_broke(w, FLOW_TABLE);
    TELL(w, "\n      by the table the order is " STR_FMT " then, by the event it is " STR_FMT,
         STR_ARG(order_status_name(wanted)), STR_ARG(order_status_name(after)));
}

/* The order's decision, w->events, comes true. */
static void order_goes_on(struct world *w, struct state *s, const enum order_input *input)
{
    for (unsigned i = 0; i < w->events.n; i++) {
        struct event *e = &w->events.events[i];
        enum order_status before = w->order->status;
        const struct flow_row *row = input ? flow_find(w->flow, before, *input) : NULL;

        e->occurred_at_ms = WORLD_NOW_MS;
        e->sequence = w->order->sequence + 1;
        order_apply(w->order, e);
        world_tell_event(w, e, i == 0);
        if (w->order->status != before)
            TELL(w, ", " STR_FMT " -> " STR_FMT, STR_ARG(order_status_name(before)),
                 STR_ARG(order_status_name(w->order->status)));
        check_row(w, row, e->type, before);
    }
    w->used->statuses |= 1u << w->order->status;
    world_put_order(w, s);
    for (unsigned i = 0; i < w->events.n; i++)
        world_publish(w, s, &w->events.events[i]);
}

void orders_hear(struct world *w, struct state *s, const struct event *m)
{
    enum order_input input;
    bool unasked, has_input = input_of(m->type, &input);

    event_list_init(&w->events);
    world_take_order(w, s);
    if (order_hear(w->order, m, &unasked, &w->events) == ORDER_OUTCOME_CHANGED)
        order_goes_on(w, s, has_input ? &input : NULL);
    else
        TELL(w, ": nothing");
}

/* On the order in hand. */
static bool person_decides(struct world *w, enum order_input input)
{
    const struct payment_id external = { *world_payment_id(PAYMENT_EXTERNAL) };
    const struct invoice_id invoice = { .t = { .n = 1, .s = "1" } };

    event_list_init(&w->events);
    switch (input) {
    case ORDER_INPUT_PAY:
        return order_request_payment(w->order, &w->events) == ORDER_OUTCOME_CHANGED;
    case ORDER_INPUT_MARK_PAID:
        return order_record_external_payment(w->order, &external, &w->events) ==
               ORDER_OUTCOME_CHANGED;
    case ORDER_INPUT_CANCEL:
        return order_cancel(w->order, STR("checked"), &w->events) == ORDER_OUTCOME_CHANGED;
    case ORDER_INPUT_READY:
        return order_make_ready(w->order, &w->events) == ORDER_OUTCOME_CHANGED;
    case ORDER_INPUT_COMPLETE:
        return order_complete(w->order, &invoice, &w->events) == ORDER_OUTCOME_CHANGED;
    case ORDER_INPUT_PAYMENT_TIMEOUT:
        return order_expire_payment(w->order, LATER_MS, &w->events) == ORDER_OUTCOME_CHANGED;
    default:
        return false; /* comes by a message */
    }
}

uint32_t orders_commands(struct world *w, const struct state *s)
{
    uint32_t commands = 0;

    world_take_order(w, s);
    for (unsigned i = 0; i < ORDER_INPUT_COUNT; i++)
        if (person_decides(w, (enum order_input)i))
            commands |= 1u << i;
    return commands;
}

void orders_command(struct world *w, struct state *s, enum order_input input)
{
    bool changes;

    world_take_order(w, s);
    changes = person_decides(w, input);
    ENSURE(changes);
    TELL(w, "%s", order_input_name(input));
    order_goes_on(w, s, &input);
    if (input == ORDER_INPUT_MARK_PAID)
        world_book(&s->charged[PAYMENT_EXTERNAL]);
}
