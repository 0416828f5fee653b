/* CHARGED_ONCE and REFUNDED: a ledger of each order, kept from the events alone.
 *
 * Payments, be it the built-in one or one beyond a broker in its place, takes an order's money at most
 * once, and one payment pays it at most once. Whatever was taken and is not what an order lives on goes
 * back: where the order ends cancelled or rejected, and where it never used the payment at all. Orders
 * asks for it once, what Payments took it gives back once, and the order writes that down once. What
 * anybody else took is his own to give back, so there only the asking is judged. */
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

static struct money *money_find(const struct seen_lane *l, const struct payment_id *id)
{
    for (unsigned i = 0; i < l->n_money; i++)
        if (text_id_eq(&l->money[i].id.t, &id->t))
            return &l->money[i];
    return NULL;
}

static struct money *money_of(struct seen_lane *l, const struct payment_id *id)
{
    struct money *m = money_find(l, id);

    if (m)
        return m;
    if (l->n_money == l->n_money_cap) {
        l->n_money_cap = l->n_money_cap ? 2 * l->n_money_cap : 2;
        l->money = mem_realloc(l->money, l->n_money_cap * sizeof(*l->money));
    }
    m = &l->money[l->n_money++];
    *m = (struct money){ .id = *id };
    return m;
}

bool money_is_known(const struct seen_lane *l, const struct payment_id *id)
{
    const struct money *m = money_find(l, id);

    return m && (m->is_paying || m->n_asked > 0 || m->n_recorded > 0);
}

bool money_is_recorded(const struct seen_lane *l, const struct payment_id *id)
{
    const struct money *m = money_find(l, id);

    return m && (m->n_recorded > 0 || m->n_odd > 0);
}

#define MONEY_ARGS(m) STR_ARG(text_id_str(&(m)->id.t))

/* A payment belongs to one order for ever. */
static void money_owns(struct witness *w, struct seen_lane *l, const struct payment_id *id)
{
    struct map_node *n = map_find(&w->owned, text_id_str(&id->t));
    struct owned *o;

    if (n) {
        if (container_of(n, struct owned, node)->lane != l)
            witness_violate(w, SIM_CHARGED_ONCE, l, "payment " STR_FMT " is taken for two orders",
                            STR_ARG(text_id_str(&id->t)));
        return;
    }
    o = arena_zalloc(&w->memory, sizeof(*o));
    o->id = id->t;
    o->lane = l;
    map_insert(&w->owned, &o->node, text_id_str(&o->id));
}

static bool is_of_payments(const struct witness *w, const struct event *e)
{
    return e->handled_by == SUBSCRIPTION_PAYMENTS || received_is_said_outside(w, e);
}

/* What comes from outside may come again after its id is forgotten; that it does not before is ONCE's
 * to judge. */
static bool is_said_again(const struct event *e, unsigned n_before)
{
    return e->handled_by != SUBSCRIPTION_PAYMENTS && n_before > 0;
}

static void money_taken(struct witness *w, const struct event *e, struct seen_lane *l)
{
    struct money *m = money_of(l, &e->p.payment_id);
    bool is_own = is_of_payments(w, e) && !is_said_again(e, m->is_taken);

    money_owns(w, l, &m->id);
    if (is_own) {
        for (unsigned i = 0; i < l->n_money; i++)
            if (l->money[i].is_of_payments && l->money[i].is_taken)
                witness_violate(w, SIM_CHARGED_ONCE, l, "charged a second time, by " STR_FMT,
                                MONEY_ARGS(m));
        if (e->p.amount != l->total || !currency_eq(e->p.currency, l->currency))
            witness_violate(w, SIM_CHARGED_ONCE, l, "charged %lld, and its total is %lld",
                            (long long)e->p.amount, (long long)l->total);
    }
    if (m->is_taken || m->n_given_back > 0) /* said again from outside: nothing moves */
        return;
    m->is_taken = true;
    m->is_of_payments = is_own;
    m->amount = e->p.amount;
    m->currency = e->p.currency;
}

static void money_pays(struct witness *w, const struct event *e, struct seen_lane *l)
{
    struct money *m = money_of(l, &e->p.payment_id);

    for (unsigned i = 0; i < l->n_money; i++)
        if (l->money[i].is_paying)
            witness_violate(w, SIM_CHARGED_ONCE, l, "paid a second time, by " STR_FMT,
                            MONEY_ARGS(m));
    m->is_paying = true;
    if (e->handled_by == SUBSCRIPTION_NONE) { /* a person said so: mark-paid */
        money_owns(w, l, &m->id);
        if (!m->is_taken) {
            m->amount = l->total;
            m->currency = l->currency;
        }
    } else if (!m->is_taken) {
        witness_violate(w, SIM_CHARGED_ONCE, l, "paid by " STR_FMT ", which nobody took",
                        MONEY_ARGS(m));
    } else if (m->amount != l->total || !currency_eq(m->currency, l->currency)) {
        witness_violate(w, SIM_CHARGED_ONCE, l, "paid with %lld, and its total is %lld",
                        (long long)m->amount, (long long)l->total);
    }
}

static bool order_has_failed(const struct seen_lane *l)
{
    return l->status == ORDER_CANCELLED || l->status == ORDER_REJECTED ||
           l->status == ORDER_PAYMENT_FAILED;
}

static void money_asked_back(struct witness *w, struct seen_lane *l, const struct payment_id *id,
                             int64_t amount)
{
    struct money *m = money_of(l, id);

    if (++m->n_asked > 1)
        witness_violate(w, SIM_REFUNDED, l, "the refund of " STR_FMT " is asked for twice",
                        MONEY_ARGS(m));
    else if (m->is_paying && !order_has_failed(l))
        witness_violate(w, SIM_REFUNDED, l, STR_FMT " is asked back, and the order lives on it",
                        MONEY_ARGS(m));
    else if ((m->is_taken || m->is_paying) && m->n_given_back == 0 && amount != m->amount)
        witness_violate(w, SIM_REFUNDED, l, "the refund of " STR_FMT " is %lld of %lld",
                        MONEY_ARGS(m), (long long)amount, (long long)m->amount);
}

static void money_given_back(struct witness *w, const struct event *e, struct seen_lane *l)
{
    struct money *m = money_of(l, &e->p.payment_id);

    if (!is_of_payments(w, e)) {
        /* Somebody else says so, of what he took: of another sum it is not this payment. */
        if (!m->is_taken || m->amount == e->p.amount)
            m->n_given_back++;
        return;
    }
    if (is_said_again(e, m->n_given_back))
        return;
    if (!m->is_taken || !m->is_of_payments)
        witness_violate(w, SIM_REFUNDED, l, STR_FMT " is given back, and was not taken",
                        MONEY_ARGS(m));
    else if (m->n_asked == 0)
        witness_violate(w, SIM_REFUNDED, l, STR_FMT " is given back, and nobody asked for it",
                        MONEY_ARGS(m));
    else if (m->n_given_back > 0)
        witness_violate(w, SIM_REFUNDED, l, STR_FMT " is given back twice", MONEY_ARGS(m));
    else if (e->p.amount != m->amount || !currency_eq(e->p.currency, m->currency))
        witness_violate(w, SIM_REFUNDED, l, "of " STR_FMT " %lld is given back, not %lld",
                        MONEY_ARGS(m), (long long)e->p.amount, (long long)m->amount);
    m->n_given_back++;
}

static void money_recorded(struct witness *w, const struct event *e, struct seen_lane *l)
{
    struct money *m = money_of(l, &e->p.payment_id);

    if ((m->is_taken || m->is_paying) && m->amount != e->p.amount) {
        m->n_odd++;
        return; /* what came back is not what was due */
    }
    if (++m->n_recorded > 1)
        witness_violate(w, SIM_REFUNDED, l, "the refund of " STR_FMT " is written down twice",
                        MONEY_ARGS(m));
}

/* The order has ended badly. What it was paid with goes back, unless that was asked for before. */
static void money_order_failed(struct witness *w, const struct event *e, struct seen_lane *l)
{
    if (e->p.refund.set)
        money_asked_back(w, l, &e->p.refund.payment_id, e->p.refund.amount);
    for (unsigned i = 0; i < l->n_money && e->type != EVENT_ORDER_PAYMENT_FAILED; i++)
        if (l->money[i].is_paying && l->money[i].n_asked == 0 && l->money[i].n_recorded == 0)
            witness_violate(w, SIM_REFUNDED, l, "ends " STR_FMT " and keeps " STR_FMT,
                            STR_ARG(order_status_name(l->status)), MONEY_ARGS(&l->money[i]));
}

void money_event(struct witness *w, const struct event *e, struct seen *s)
{
    struct seen_lane *l = s->lane;

    if (e->verdict != VERDICT_FINE)
        return;
    switch (e->type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        money_taken(w, e, l);
        return;
    case EVENT_PAYMENT_REFUNDED:
        money_given_back(w, e, l);
        return;
    case EVENT_ORDER_PAID:
        money_pays(w, e, l);
        return;
    case EVENT_ORDER_REFUND_REQUESTED:
        money_asked_back(w, l, &e->p.payment_id, e->p.amount);
        return;
    case EVENT_ORDER_REFUNDED:
        money_recorded(w, e, l);
        return;
    case EVENT_ORDER_CANCELLED:
    case EVENT_ORDER_REJECTED:
    case EVENT_ORDER_PAYMENT_FAILED:
        money_order_failed(w, e, l);
        return;
    default:
        return;
    }
}

/* Of a payment that Orders has heard of. */
static bool money_has_to_go_back(const struct seen_lane *l, const struct money *m)
{
    return !m->is_paying || order_has_failed(l);
}

/* Orders says that it has handled this message. */
void money_handled(struct witness *w, struct seen *s)
{
    struct event e;
    struct money *m;

    if ((s->type != EVENT_PAYMENT_APPROVED && s->type != EVENT_PAYMENT_PROCESSED) ||
        s->verdict != VERDICT_FINE || s->lane->flow == FLOW_NONE)
        return;
    arena_reset(&w->scratch);
    if (event_decode(s->row, s->position, &e, &w->scratch) != ERR_OK)
        return;
    m = money_find(s->lane, &e.p.payment_id);
    if (m && money_has_to_go_back(s->lane, m) && m->n_asked == 0 && m->n_recorded == 0)
        witness_violate(w, SIM_REFUNDED, s->lane,
                        STR_FMT " was heard of, does not pay the order, and is kept",
                        MONEY_ARGS(m));
}

static void money_end(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    for (unsigned i = 0; i < l->n_money && l->flow != FLOW_NONE; i++) {
        const struct money *m = &l->money[i];

        if (!m->is_of_payments && m->n_asked > 0 && m->n_recorded == 0)
            witness_violate(w, SIM_SETTLED, l, "the refund of " STR_FMT " is due for ever",
                            MONEY_ARGS(m));
        if (!m->is_taken || !m->is_of_payments)
            continue;
        if (!money_has_to_go_back(l, m)) {
            if (m->n_given_back > 0)
                witness_violate(w, SIM_REFUNDED, l, STR_FMT " went back, and the order lives on it",
                                MONEY_ARGS(m));
        } else if (m->n_given_back != 1 || m->n_recorded != 1) {
            witness_violate(w, SIM_REFUNDED, l,
                            STR_FMT " was to go back: given back %u times, written down %u times",
                            MONEY_ARGS(m), m->n_given_back, m->n_recorded);
        }
    }
}

void money_finished(struct witness *w)
{
    map_each(&w->lanes, money_end, w);
}
