#include "orderly/domain/payment.h"
#include "orderly/base/check.h"

void payment_apply(struct payment *p, const struct event *e)
{
    bool is_ours = e->handled_by == SUBSCRIPTION_PAYMENTS;
    bool is_open = p->status == PAYMENT_STATUS_NONE || p->status == PAYMENT_STATUS_PENDING;

    p->sequence = e->sequence;
    if (e->verdict != VERDICT_FINE)
        return;
    switch (e->type) {
    case EVENT_PAYMENT_PENDING:
        if (p->status != PAYMENT_STATUS_NONE)
            return;
        p->status = PAYMENT_STATUS_PENDING;
        p->is_ours = is_ours;
        break;
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        /* Money that went back does not come again under the same id; and ours is what we took
         * ourselves, not what another said about a payment that we were to take. */
        if (!is_open && p->status != PAYMENT_STATUS_DECLINED)
            return;
        p->status = PAYMENT_STATUS_APPROVED;
        p->is_ours = is_ours;
        break;
    case EVENT_PAYMENT_DECLINED:
    case EVENT_PAYMENT_FAILED:
        if (!is_open)
            return;
        p->status = PAYMENT_STATUS_DECLINED;
        p->is_ours = is_ours;
        return; /* a refusal has no amount */
    case EVENT_PAYMENT_REFUNDED:
        /* Another sum than was taken is not this payment going back: it stays to be given back. */
        if (!currency_is_none(p->currency) &&
            (p->amount != e->p.amount || !currency_eq(p->currency, e->p.currency)))
            return;
        p->status = PAYMENT_STATUS_REFUNDED;
        break;
    default:
        return;
    }
    if (currency_is_none(p->currency)) {
        p->amount = e->p.amount;
        p->currency = e->p.currency;
    }
}

enum payment_task payment_task_of(const struct event *m, const struct payment_id **which)
{
    *which = NULL;
    switch (m->type) {
    case EVENT_ORDER_PLACED:
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_PAYMENT_REQUESTED:
        return PAYMENT_TASK_CHARGE;
    case EVENT_ORDER_REFUND_REQUESTED:
        *which = &m->p.payment_id;
        return PAYMENT_TASK_REFUND;
    default:
        if (!m->p.refund.set)
            return PAYMENT_TASK_NONE;
        *which = &m->p.refund.payment_id;
        return PAYMENT_TASK_REFUND;
    }
}

int64_t payment_amount_of(const struct event *m)
{
    return m->type == EVENT_ORDER_PLACED ? m->p.total : m->p.amount;
}

static struct event *payment_emit(const struct flow *f, enum event_type type, struct order_id order,
                                  const struct payment_id *id, struct event_list *out)
{
    struct event *e = event_list_add(out, type);

    e->p.order_id = order;
    e->p.flow = f->id;
    e->p.payment_id = *id;
    return e;
}

static bool payment_is_open(const struct payment *p)
{
    return p->status == PAYMENT_STATUS_NONE || (p->status == PAYMENT_STATUS_PENDING && p->is_ours);
}

bool payment_charge(const struct payment *p, const struct flow *f, struct order_id order,
                    const struct payment_id *id, int64_t amount, struct currency currency,
                    struct event_list *out)
{
    struct event *e;

    if (!payment_is_open(p))
        return false;
    e = payment_emit(f, (enum event_type)f->payment_approved, order, id, out);
    e->p.amount = amount;
    e->p.currency = currency;
    return true;
}

bool payment_decline(const struct payment *p, const struct flow *f, struct order_id order,
                     const struct payment_id *id, struct str reason, struct event_list *out)
{
    if (!payment_is_open(p))
        return false;
    payment_emit(f, (enum event_type)f->payment_declined, order, id, out)->p.reason = reason;
    return true;
}

bool payment_wait(const struct payment *p, const struct flow *f, struct order_id order,
                  const struct payment_id *id, int64_t amount, struct currency currency,
                  struct event_list *out)
{
    struct event *e;

    if (p->status != PAYMENT_STATUS_NONE)
        return false;
    e = payment_emit(f, EVENT_PAYMENT_PENDING, order, id, out);
    e->p.amount = amount;
    e->p.currency = currency;
    return true;
}

bool payment_refund(const struct payment *p, const struct flow *f, struct order_id order,
                    const struct payment_id *id, struct event_list *out)
{
    struct event *e;

    if (!p->is_ours || p->status != PAYMENT_STATUS_APPROVED)
        return false;
    e = payment_emit(f, EVENT_PAYMENT_REFUNDED, order, id, out);
    e->p.amount = p->amount;
    e->p.currency = p->currency;
    return true;
}
