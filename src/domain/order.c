/* What has happened to an order: the events applied, and how it stands. */
#include "orderly/domain/order.h"
#include "order_private.h"
#include "orderly/base/check.h"

struct str due_name(enum due d)
{
    static const struct str names[] = {
        [DUE_NONE] = { "none", 4 }, [DUE_OPEN] = { "due", 3 }, [DUE_DONE] = { "done", 4 }
    };

    REQUIRE((size_t)d < ARRAY_LEN(names));
    return names[d];
}

const char *order_outcome_name(enum order_outcome o)
{
    static const char *const names[] = {
#define X(name, text) [ORDER_OUTCOME_##name] = text,
        ORDER_OUTCOME_MAP(X)
#undef X
    };

    REQUIRE((size_t)o < ARRAY_LEN(names));
    return names[o];
}

/* ---- views ----------------------------------------------------------------------------------- */

bool order_is_final(const struct order *o)
{
    return order_status_is_final(o->status);
}

bool order_has_refund_due(const struct order *o)
{
    return order_refund_state(o, NULL) == DUE_OPEN;
}

bool order_is_settled(const struct order *o)
{
    if (!order_status_is_final(o->status) && !order_status_is_at_rest(o->status))
        return false;
    for (unsigned i = 0; i < o->n_effects; i++) {
        if (o->effects[i].due == DUE_OPEN && o->effects[i].kind != EFFECT_SHIPMENT)
            return false;
    }
    return true;
}

enum due order_refund_state(const struct order *o, int64_t *amount)
{
    enum due state = DUE_NONE;
    int64_t sum = 0;

    for (unsigned i = 0; i < o->n_effects; i++) {
        const struct order_effect *e = &o->effects[i];

        if (e->kind != EFFECT_PAYMENT || e->due == DUE_NONE)
            continue;
        if (state != DUE_OPEN)
            state = e->due;
        /* Amounts in other currencies do not add up; each is shown by itself. */
        if (o->body && currency_eq(e->currency, o->body->currency) &&
            __builtin_add_overflow(sum, e->amount, &sum))
            sum = INT64_MAX;
    }
    if (amount)
        *amount = sum;
    return state;
}

enum due order_release_state(const struct order *o)
{
    enum due state = DUE_NONE;

    for (unsigned i = 0; i < o->n_effects; i++) {
        if (o->effects[i].kind == EFFECT_RESERVATION && o->effects[i].due != DUE_NONE &&
            state != DUE_OPEN)
            state = o->effects[i].due;
    }
    return state;
}

const struct order_effect *order_find_effect(const struct order *o, enum effect_kind kind,
                                             struct str id)
{
    for (unsigned i = 0; i < o->n_effects; i++) {
        if (o->effects[i].kind == kind && str_eq(text_id_str(&o->effects[i].id), id))
            return &o->effects[i];
    }
    return NULL;
}

bool order_has_open_deadline(const struct order *o)
{
    return o->body && o->body->payment_deadline_ms != 0 &&
           flow_find(o->body->table, o->status, ORDER_INPUT_PAYMENT_TIMEOUT);
}

/* ---- applying -------------------------------------------------------------------------------- */

/* The status that an event of the order says. It agrees with the flows' rows, which the tests check;
 * here stands only what has happened, however it came about. */
static enum order_status status_said(enum event_type type)
{
    static const uint8_t said[EVENT_TYPE_COUNT] = {
        [EVENT_ORDER_CONFIRMED] = ORDER_CONFIRMED,
        [EVENT_ORDER_PAID] = ORDER_PAID,
        [EVENT_ORDER_STOCK_RESERVED] = ORDER_STOCK_RESERVED,
        [EVENT_ORDER_READIED] = ORDER_READY,
        [EVENT_ORDER_COMPLETED] = ORDER_COMPLETED,
        [EVENT_ORDER_SHIPPED] = ORDER_SHIPPED,
        [EVENT_ORDER_DELIVERED] = ORDER_DELIVERED,
        [EVENT_ORDER_CANCELLED] = ORDER_CANCELLED,
        [EVENT_ORDER_REJECTED] = ORDER_REJECTED,
        [EVENT_ORDER_PAYMENT_FAILED] = ORDER_PAYMENT_FAILED,
    };

    return (enum order_status)said[type];
}

/* Finds the effect or makes it; NULL: there are too many. */
static struct order_effect *effect_of(struct order *o, enum effect_kind kind,
                                      const struct text_id *id, bool is_own)
{
    struct order_effect *e = (struct order_effect *)order_find_effect(o, kind, text_id_str(id));
    unsigned max = ORDER_EFFECTS_MAX + (is_own ? ORDER_OWN_EFFECTS_MAX : 0);

    if (!e && o->n_effects < max) {
        e = order_add_effect(o);
        e->kind = kind;
        e->id = *id;
    }
    if (e)
        e->is_own |= is_own;
    return e;
}

static void effect_ask_back(struct order_effect *e)
{
    if (e->due == DUE_NONE)
        e->due = DUE_OPEN;
}

static void apply_payment(struct order *o, const struct text_id *id, int64_t amount,
                          struct currency currency, bool is_own, bool goes_back)
{
    struct order_effect *e = effect_of(o, EFFECT_PAYMENT, id, is_own);

    if (!e)
        return;
    if (currency_is_none(e->currency)) {
        e->amount = amount;
        e->currency = currency;
    }
    if (goes_back)
        effect_ask_back(e);
}

static void apply_part(struct order *o, enum effect_kind kind, const struct text_id *id,
                       bool is_own, bool goes_back)
{
    struct order_effect *e = effect_of(o, kind, id, is_own);

    if (e && goes_back)
        effect_ask_back(e);
}

/* OrderCancelled, OrderRejected, OrderPaymentFailed: what goes back. */
static void apply_put_back(struct order *o, const struct payload *p)
{
    if (p->refund.set)
        apply_payment(o, &p->refund.payment_id.t, p->refund.amount, p->refund.currency, false,
                      true);
    if (p->release.set)
        apply_part(o, EFFECT_RESERVATION, &p->release.reservation_id.t, false, true);
}

static void apply_refunded(struct order *o, const struct payload *p)
{
    bool is_known = order_find_effect(o, EFFECT_PAYMENT, text_id_str(&p->payment_id.t));
    struct order_effect *e = effect_of(o, EFFECT_PAYMENT, &p->payment_id.t, false);

    if (!e)
        return;
    if (!is_known) {
        e->amount = p->amount;
        e->currency = p->currency;
    }
    if (e->amount != p->amount || !currency_eq(e->currency, p->currency)) {
        e->is_unasked = true; /* not the refund that is due */
        return;
    }
    if (e->due == DUE_NONE)
        e->is_unasked = true;
    e->due = DUE_DONE;
}

static void apply_stock_released(struct order *o, const struct payload *p)
{
    struct order_effect *e = effect_of(o, EFFECT_RESERVATION, &p->reservation_id.t, false);

    if (!e)
        return;
    if (e->due == DUE_NONE)
        e->is_unasked = true;
    e->due = DUE_DONE;
}

static void apply_placed(struct order *o, const struct event *e)
{
    o->body = order_body_create(e);
    o->status = flow_of(e->p.flow)->start;
    o->visited = 1u << o->status;
}

static void apply_change(struct order *o, const struct event *e)
{
    const struct payload *p = &e->p;
    enum order_status said = status_said(e->type);

    if (said != ORDER_NONE) {
        o->status = said;
        o->visited |= 1u << said;
    }
    switch (e->type) {
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_STOCK_RESERVED:
        o->reservation_id = p->reservation_id;
        apply_part(o, EFFECT_RESERVATION, &p->reservation_id.t, true, false);
        break;
    case EVENT_ORDER_PAID:
        o->payment_id = p->payment_id;
        apply_payment(o, &p->payment_id.t, p->amount, p->currency, true, false);
        break;
    case EVENT_ORDER_SHIPPED:
        o->shipment_id = p->shipment_id;
        order_set_text(&o->tracking_number, p->tracking_number);
        apply_part(o, EFFECT_SHIPMENT, &p->shipment_id.t, true, false);
        break;
    case EVENT_ORDER_COMPLETED:
        o->invoice_id = p->invoice_id;
        break;
    case EVENT_ORDER_DELIVERED:
        o->delivered_at_ms = p->delivered_at_ms;
        break;
    case EVENT_ORDER_CANCELLED:
        order_set_text(&o->cancellation_reason, p->reason);
        apply_put_back(o, p);
        break;
    case EVENT_ORDER_REJECTED:
        order_set_text(&o->rejection_reason, p->reason);
        apply_put_back(o, p);
        break;
    case EVENT_ORDER_PAYMENT_FAILED:
        order_set_text(&o->payment_failure_reason, p->reason);
        apply_put_back(o, p);
        break;
    case EVENT_ORDER_PAYMENT_REQUESTED:
        o->payment_requested = true;
        break;
    case EVENT_ORDER_REFUND_REQUESTED:
        apply_payment(o, &p->payment_id.t, p->amount, p->currency, false, true);
        break;
    case EVENT_ORDER_RELEASE_REQUESTED:
        apply_part(o, EFFECT_RESERVATION, &p->reservation_id.t, false, true);
        break;
    case EVENT_ORDER_SHIPMENT_REFUSED:
        apply_part(o, EFFECT_SHIPMENT, &p->shipment_id.t, false, true);
        break;
    case EVENT_ORDER_REFUNDED:
        apply_refunded(o, p);
        break;
    case EVENT_ORDER_STOCK_RELEASED:
        apply_stock_released(o, p);
        break;
    default: /* OrderReadied says no more than its status; others are no events of an order */
        break;
    }
}

void order_apply(struct order *o, const struct event *e)
{
    REQUIRE((unsigned)e->type < EVENT_TYPE_COUNT);
    o->sequence = e->sequence;
    o->updated_at_ms = e->occurred_at_ms;
    if (o->body)
        apply_change(o, e);
    else if (e->type == EVENT_ORDER_PLACED && flow_of(e->p.flow))
        apply_placed(o, e);

    if (!o->body || order_is_settled(o))
        o->unsettled_since_ms = 0;
    else if (o->unsettled_since_ms == 0)
        o->unsettled_since_ms = e->occurred_at_ms ? e->occurred_at_ms : 1; /* 0 would say settled */
}
