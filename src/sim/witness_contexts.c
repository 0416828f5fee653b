/* HEARD, of the built-in contexts: one that is switched on answers what it is asked.
 *
 * That an order waits is seen at the end only where nobody cancels it, and where an outside context is
 * to answer nobody can say that it waits in vain. So the built-in contexts are held to their word where
 * they say that they have handled something: an order that was to be charged has been charged, or it
 * was declined, or is pending where they are set to wait. The settings are those of the durable rows;
 * what is handled around the time of a change is not judged. */
#include "orderly/app/settings_codec.h"
#include "orderly/base/check.h"
#include "witness_private.h"

/* So long, awake, after a change has become durable every handler goes by it. */
#define SETTLED_US (INT64_C(5) * 1000 * 1000)

/* What the contexts have answered, ever. */
void contexts_event(const struct event *e, struct seen_lane *l)
{
    bool is_answer = e->verdict == VERDICT_FINE && e->handled_by != SUBSCRIPTION_NONE;

    if (!is_answer)
        return;
    switch (e->type) {
    case EVENT_PAYMENT_PENDING:
        l->is_charge_pending = true;
        return;
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
    case EVENT_PAYMENT_DECLINED:
    case EVENT_PAYMENT_FAILED:
        l->is_charge_decided |= e->handled_by == SUBSCRIPTION_PAYMENTS;
        return;
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
    case EVENT_STOCK_REJECTED:
    case EVENT_INVENTORY_RESERVATION_FAILED:
        l->is_stock_decided |= e->handled_by == SUBSCRIPTION_INVENTORY;
        return;
    case EVENT_SHIPMENT_CREATED:
        l->is_shipment_made |= e->handled_by == SUBSCRIPTION_SHIPMENTS;
        return;
    default:
        return;
    }
}

void contexts_row(struct witness *w, const struct store_row *row)
{
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++) {
        if (!str_eq(row->key, simulator_name((enum simulator)i)))
            continue;
        w->settings_us[i] = w->awake_us;
        w->settings_mono_us[i] = w->mono_us;
        w->has_settings[i] = !row->is_delete &&
                             settings_decode(row->value, (enum simulator)i, &w->settings) == ERR_OK;
        if (!w->has_settings[i])
            witness_violate(w, SIM_READ_MODEL, NULL, "the settings of " STR_FMT " can't be read",
                            STR_ARG(row->key));
    }
}

static bool is_set(const struct witness *w, enum simulator which, const struct queue *q)
{
    return w->has_settings[which] && w->settings_us[which] + SETTLED_US < q->handed_us;
}

static bool payments_owes(const struct witness *w, const struct queue *q, const struct seen *m)
{
    const struct seen_lane *l = m->lane;

    if (!is_set(w, SIMULATOR_PAYMENTS, q) || !w->settings.payments.enabled)
        return false;
    if (m->type == EVENT_ORDER_PAYMENT_REQUESTED)
        return !l->is_charge_decided;
    return m->type == (l->flow == FLOW_PAY_FIRST ? EVENT_ORDER_PLACED : EVENT_ORDER_CONFIRMED) &&
           !l->is_charge_decided &&
           !(l->is_charge_pending && w->settings.payments.mode == PAYMENTS_WAIT);
}

static bool inventory_owes(const struct witness *w, const struct queue *q, const struct seen *m)
{
    const struct seen_lane *l = m->lane;

    return is_set(w, SIMULATOR_INVENTORY, q) && w->settings.inventory.enabled &&
           m->type == (l->flow == FLOW_PAY_FIRST ? EVENT_ORDER_PAID : EVENT_ORDER_PLACED) &&
           !l->is_stock_decided;
}

static bool shipments_owes(const struct witness *w, const struct queue *q, const struct seen *m)
{
    return is_set(w, SIMULATOR_SHIPMENTS, q) && w->settings.shipments.enabled &&
           w->settings.shipments.mode == SHIPMENTS_AUTO && m->type == EVENT_ORDER_PAID &&
           m->lane->flow == FLOW_STOCK_FIRST && !m->lane->is_shipment_made;
}

void contexts_handled(struct witness *w, enum subscription_id s, const struct queue *q,
                      const struct seen *m)
{
    bool owes = false;

    if (s == SUBSCRIPTION_PAYMENTS)
        owes = payments_owes(w, q, m);
    else if (s == SUBSCRIPTION_INVENTORY)
        owes = inventory_owes(w, q, m);
    else if (s == SUBSCRIPTION_SHIPMENTS)
        owes = shipments_owes(w, q, m);
    if (owes)
        witness_violate(w, SIM_HEARD, m->lane,
                        "%s has handled " STR_FMT " (position %llu), and did not answer",
                        subscription_name(s).p, STR_ARG(event_infos[m->type].type),
                        (unsigned long long)m->position);
}
