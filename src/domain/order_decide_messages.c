/* What an order makes of the news from payments, stock and shipping.
 *
 * Money, stock and goods that reach an order and do not move it are sent back, whatever its state:
 * only a decline or a rejection out of place may be passed over. */
#include "order_private.h"
#include "orderly/base/check.h"

/* Why something that came does not move the order. */
static struct str why_not(const struct order *o, enum effect_kind kind, enum order_input input)
{
    const struct flow *f = order_flow(o);

    if (!flow_reaches(f, f->start, input))
        return STR("wrong_flow");
    if (order_own_effect(o, kind))
        return STR("second");
    if (flow_reaches(f, o->status, input))
        return STR("not_expected");
    return STR("late");
}

static bool has_room_for_stray(const struct order *o)
{
    return o->n_effects < ORDER_EFFECTS_MAX;
}

enum order_outcome order_mark_as_paid(const struct order *o, const struct payment_id *id,
                                      int64_t amount, struct currency currency,
                                      struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_PAYMENT_APPROVED);
    bool is_right = amount == o->body->total && currency_eq(currency, o->body->currency);
    struct event *e;

    if (order_find_effect(o, EFFECT_PAYMENT, text_id_str(&id->t)))
        return ORDER_OUTCOME_DUPLICATE;
    if (row && is_right) {
        order_emit_row(o, row, out)->p.payment_id = *id;
        return ORDER_OUTCOME_CHANGED;
    }
    if (!has_room_for_stray(o))
        return ORDER_OUTCOME_TOO_MANY;
    e = order_emit(o, EVENT_ORDER_REFUND_REQUESTED, out);
    e->p.payment_id = *id;
    e->p.amount = amount;
    e->p.currency = currency;
    e->p.reason =
        row ? STR("amount_mismatch") : why_not(o, EFFECT_PAYMENT, ORDER_INPUT_PAYMENT_APPROVED);
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_apply_payment_declined(const struct order *o, const struct payment_id *id,
                                                struct str reason, struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_PAYMENT_DECLINED);
    struct event *e;

    if (!row)
        return ORDER_OUTCOME_IGNORED;
    e = order_emit_row(o, row, out);
    e->p.reason = reason;
    if (id)
        e->p.payment_id = *id;
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_apply_stock_reserved(const struct order *o,
                                              const struct reservation_id *id,
                                              struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_STOCK_RESERVED);
    struct event *e;

    if (order_find_effect(o, EFFECT_RESERVATION, text_id_str(&id->t)))
        return ORDER_OUTCOME_DUPLICATE;
    if (row) {
        order_emit_row(o, row, out)->p.reservation_id = *id;
        return ORDER_OUTCOME_CHANGED;
    }
    if (!has_room_for_stray(o))
        return ORDER_OUTCOME_TOO_MANY;
    e = order_emit(o, EVENT_ORDER_RELEASE_REQUESTED, out);
    e->p.reservation_id = *id;
    e->p.reason = why_not(o, EFFECT_RESERVATION, ORDER_INPUT_STOCK_RESERVED);
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_apply_stock_rejected(const struct order *o, struct str reason,
                                              struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_STOCK_REJECTED);

    return row ? order_end(o, row, reason, out) : ORDER_OUTCOME_IGNORED;
}

enum order_outcome order_apply_shipment_created(const struct order *o, const struct shipment_id *id,
                                                struct str tracking_number, struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_SHIPMENT_CREATED);
    struct event *e;

    if (order_find_effect(o, EFFECT_SHIPMENT, text_id_str(&id->t)))
        return ORDER_OUTCOME_DUPLICATE;
    if (row) {
        e = order_emit_row(o, row, out);
        e->p.shipment_id = *id;
        e->p.tracking_number = tracking_number;
        return ORDER_OUTCOME_CHANGED;
    }
    if (!has_room_for_stray(o))
        return ORDER_OUTCOME_TOO_MANY;
    e = order_emit(o, EVENT_ORDER_SHIPMENT_REFUSED, out);
    e->p.shipment_id = *id;
    e->p.reason = why_not(o, EFFECT_SHIPMENT, ORDER_INPUT_SHIPMENT_CREATED);
    return ORDER_OUTCOME_CHANGED;
}

static bool is_own_shipment(const struct order *o, const struct shipment_id *id)
{
    return o->shipment_id.t.n > 0 && text_id_eq(&o->shipment_id.t, &id->t);
}

enum order_outcome order_apply_shipment_delivered(const struct order *o,
                                                  const struct shipment_id *id,
                                                  int64_t delivered_at_ms, struct event_list *out)
{
    const struct flow_row *row =
        flow_find(order_flow(o), o->status, ORDER_INPUT_SHIPMENT_DELIVERED);
    struct event *e;

    if (!is_own_shipment(o, id))
        return ORDER_OUTCOME_IGNORED;
    if (!row)
        return o->status == ORDER_DELIVERED ? ORDER_OUTCOME_DUPLICATE : ORDER_OUTCOME_IGNORED;
    e = order_emit_row(o, row, out);
    e->p.shipment_id = *id;
    e->p.delivered_at_ms = delivered_at_ms;
    return ORDER_OUTCOME_CHANGED;
}

/* One that answers OrderShipmentRefused is of a shipment that is not the order's own. */
enum order_outcome order_apply_shipment_cancelled(const struct order *o,
                                                  const struct shipment_id *id,
                                                  struct event_list *out)
{
    const struct flow_row *row =
        flow_find(order_flow(o), o->status, ORDER_INPUT_SHIPMENT_CANCELLED);

    if (!is_own_shipment(o, id))
        return ORDER_OUTCOME_IGNORED;
    if (!row)
        return o->status == ORDER_CANCELLED ? ORDER_OUTCOME_DUPLICATE : ORDER_OUTCOME_IGNORED;
    return order_end(o, row, STR("shipment_cancelled"), out);
}

enum order_outcome order_apply_refunded(const struct order *o, const struct payment_id *id,
                                        int64_t amount, struct currency currency, bool *unasked,
                                        struct event_list *out)
{
    const struct order_effect *known = order_find_effect(o, EFFECT_PAYMENT, text_id_str(&id->t));
    bool is_other = known && (known->amount != amount || !currency_eq(known->currency, currency));
    struct event *e;

    *unasked = false;
    if (known && (known->due == DUE_DONE || (is_other && known->is_unasked)))
        return ORDER_OUTCOME_DUPLICATE;
    if (!known && !has_room_for_stray(o))
        return ORDER_OUTCOME_TOO_MANY;
    *unasked = !known || known->due == DUE_NONE || is_other;
    e = order_emit(o, EVENT_ORDER_REFUNDED, out);
    e->p.payment_id = *id;
    e->p.amount = amount;
    e->p.currency = currency;
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_apply_stock_released(const struct order *o,
                                              const struct reservation_id *id, bool *unasked,
                                              struct event_list *out)
{
    const struct order_effect *known =
        order_find_effect(o, EFFECT_RESERVATION, text_id_str(&id->t));

    *unasked = false;
    if (known && known->due == DUE_DONE)
        return ORDER_OUTCOME_DUPLICATE;
    if (!known && !has_room_for_stray(o))
        return ORDER_OUTCOME_TOO_MANY;
    *unasked = !known || known->due == DUE_NONE;
    order_emit(o, EVENT_ORDER_STOCK_RELEASED, out)->p.reservation_id = *id;
    return ORDER_OUTCOME_CHANGED;
}
