/* What people and the timer ask of an order. A command whose effect already holds is a success that
 * changes nothing; any other that is not on the drawing is illegal. */
#include "order_private.h"
#include "orderly/base/check.h"

void order_place(const struct order_placing *placing, int64_t now_ms, struct event_list *out)
{
    const struct flow *f = flow_of(placing->flow);
    struct event *e = event_list_add(out, EVENT_ORDER_PLACED);
    struct payload *p = &e->p;

    REQUIRE(f);
    p->order_id = placing->id;
    p->flow = f->id;
    p->flow_version = f->version;
    p->customer_id = placing->customer_id;
    p->cart_id = placing->cart_id;
    p->lines = placing->lines;
    p->n_lines = placing->n_lines;
    p->discounts = placing->discounts;
    p->n_discounts = placing->n_discounts;
    p->address = placing->address;
    p->subtotal = placing->subtotal;
    p->total = placing->total;
    p->currency = placing->currency;
    p->payment_deadline_ms =
        placing->payment_timeout_ms > 0 ? now_ms + placing->payment_timeout_ms : 0;
}

/* The order went wrong: nothing that was reached on the way holds any more. */
static bool is_undone(const struct order *o)
{
    return o->status == ORDER_CANCELLED || o->status == ORDER_REJECTED ||
           o->status == ORDER_PAYMENT_FAILED;
}

static enum order_outcome holds_if(bool it_holds)
{
    return it_holds ? ORDER_OUTCOME_HOLDS : ORDER_OUTCOME_ILLEGAL;
}

enum order_outcome order_request_payment(const struct order *o, struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_PAY);

    if (!row)
        return holds_if(o->payment_id.t.n > 0 && !is_undone(o));
    if (o->payment_requested)
        return ORDER_OUTCOME_HOLDS;
    order_emit_row(o, row, out);
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_record_external_payment(const struct order *o, const struct payment_id *id,
                                                 struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_MARK_PAID);
    const struct order_effect *known = order_find_effect(o, EFFECT_PAYMENT, text_id_str(&id->t));

    /* A payment that is going back can't pay any more, though the state would take another. */
    if (known || !row)
        return holds_if(known && known->is_own);
    order_emit_row(o, row, out)->p.payment_id = *id;
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_cancel(const struct order *o, struct str reason, struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_CANCEL);

    return row ? order_end(o, row, reason, out) : holds_if(o->status == ORDER_CANCELLED);
}

enum order_outcome order_make_ready(const struct order *o, struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_READY);

    if (!row)
        return holds_if((o->visited & (1u << ORDER_READY)) && !is_undone(o));
    order_emit_row(o, row, out);
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_complete(const struct order *o, const struct invoice_id *id,
                                  struct event_list *out)
{
    const struct flow_row *row = flow_find(order_flow(o), o->status, ORDER_INPUT_COMPLETE);

    if (!row)
        return holds_if(o->status == ORDER_COMPLETED &&
                        (id->t.n == 0 || text_id_eq(&id->t, &o->invoice_id.t)));
    order_emit_row(o, row, out)->p.invoice_id = *id;
    return ORDER_OUTCOME_CHANGED;
}

enum order_outcome order_expire_payment(const struct order *o, int64_t now_ms,
                                        struct event_list *out)
{
    if (!order_has_open_deadline(o))
        return ORDER_OUTCOME_HOLDS;
    if (now_ms < o->body->payment_deadline_ms)
        return ORDER_OUTCOME_NOT_YET_DUE;
    return order_end(o, flow_find(order_flow(o), o->status, ORDER_INPUT_PAYMENT_TIMEOUT),
                     STR("payment_timeout"), out);
}

uint32_t order_legal_commands(const struct order *o)
{
    const struct flow *f = order_flow(o);
    uint32_t legal = 0;

    for (unsigned i = ORDER_INPUT_PAY; i <= ORDER_INPUT_COMPLETE; i++) {
        if (flow_find(f, o->status, (enum order_input)i))
            legal |= 1u << i;
    }
    return legal;
}
