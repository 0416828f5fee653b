/* Which decision of the order a message asks for. */
#include "order_private.h"
#include "orderly/base/check.h"

/* One use case per message: reads the order and the message, decides events. */
typedef enum order_outcome (*order_use_case)(const struct order *o, const struct event *m,
                                             bool *unasked, struct event_list *out);

static enum order_outcome hear_payment_approved(const struct order *o, const struct event *m,
                                                bool *unasked, struct event_list *out)
{
    (void)unasked;
    return order_mark_as_paid(o, &m->p.payment_id, m->p.amount, m->p.currency, out);
}

static enum order_outcome hear_payment_declined(const struct order *o, const struct event *m,
                                                bool *unasked, struct event_list *out)
{
    (void)unasked;
    return order_apply_payment_declined(o, &m->p.payment_id, m->p.reason, out);
}

static enum order_outcome hear_payment_refunded(const struct order *o, const struct event *m,
                                                bool *unasked, struct event_list *out)
{
    return order_apply_refunded(o, &m->p.payment_id, m->p.amount, m->p.currency, unasked, out);
}

static enum order_outcome hear_stock_reserved(const struct order *o, const struct event *m,
                                              bool *unasked, struct event_list *out)
{
    (void)unasked;
    return order_apply_stock_reserved(o, &m->p.reservation_id, out);
}

static enum order_outcome hear_stock_rejected(const struct order *o, const struct event *m,
                                              bool *unasked, struct event_list *out)
{
    (void)unasked;
    return order_apply_stock_rejected(o, m->p.reason, out);
}

static enum order_outcome hear_stock_released(const struct order *o, const struct event *m,
                                              bool *unasked, struct event_list *out)
{
    return order_apply_stock_released(o, &m->p.reservation_id, unasked, out);
}

static enum order_outcome hear_shipment_created(const struct order *o, const struct event *m,
                                                bool *unasked, struct event_list *out)
{
    (void)unasked;
    return order_apply_shipment_created(o, &m->p.shipment_id, m->p.tracking_number, out);
}

static enum order_outcome hear_shipment_delivered(const struct order *o, const struct event *m,
                                                  bool *unasked, struct event_list *out)
{
    /* A carrier need not say when: then it is now. */
    int64_t at_ms = m->p.delivered_at_ms ? m->p.delivered_at_ms : m->occurred_at_ms;

    (void)unasked;
    return order_apply_shipment_delivered(o, &m->p.shipment_id, at_ms, out);
}

static enum order_outcome hear_shipment_cancelled(const struct order *o, const struct event *m,
                                                  bool *unasked, struct event_list *out)
{
    (void)unasked;
    return order_apply_shipment_cancelled(o, &m->p.shipment_id, out);
}

static const order_use_case use_cases[EVENT_TYPE_COUNT] = {
    [EVENT_PAYMENT_APPROVED] = hear_payment_approved,
    [EVENT_PAYMENT_PROCESSED] = hear_payment_approved,
    [EVENT_PAYMENT_DECLINED] = hear_payment_declined,
    [EVENT_PAYMENT_FAILED] = hear_payment_declined,
    [EVENT_PAYMENT_REFUNDED] = hear_payment_refunded,
    [EVENT_STOCK_RESERVED] = hear_stock_reserved,
    [EVENT_INVENTORY_RESERVED] = hear_stock_reserved,
    [EVENT_STOCK_REJECTED] = hear_stock_rejected,
    [EVENT_INVENTORY_RESERVATION_FAILED] = hear_stock_rejected,
    [EVENT_STOCK_RELEASED] = hear_stock_released,
    [EVENT_INVENTORY_RELEASED] = hear_stock_released,
    [EVENT_SHIPMENT_CREATED] = hear_shipment_created,
    [EVENT_SHIPMENT_DELIVERED] = hear_shipment_delivered,
    [EVENT_SHIPMENT_CANCELLED] = hear_shipment_cancelled,
};

bool order_hears(enum event_type type)
{
    REQUIRE((unsigned)type < EVENT_TYPE_COUNT);
    return use_cases[type] != NULL;
}

enum order_outcome order_hear(const struct order *o, const struct event *m, bool *unasked,
                              struct event_list *out)
{
    REQUIRE(order_hears(m->type));
    *unasked = false;
    return use_cases[m->type](o, m, unasked, out);
}
