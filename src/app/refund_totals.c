#include "orderly/app/refund_totals.h"
#include "orderly/base/check.h"
#include "orderly/domain/order.h"

static struct refund_total *total_of(struct refund_totals *t, struct currency c)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (currency_eq(t->list[i].currency, c))
            return &t->list[i];
    }
    REQUIRE(t->n < REFUND_TOTALS_MAX);
    t->list[t->n] = (struct refund_total){ .currency = c };
    return &t->list[t->n++];
}

static void change(struct refund_totals *t, const struct order *o, bool is_added)
{
    for (unsigned i = 0; o && i < o->n_effects; i++) {
        const struct order_effect *e = &o->effects[i];
        struct refund_total *total;

        if (e->kind != EFFECT_PAYMENT || e->due != DUE_OPEN)
            continue;
        total = total_of(t, e->currency);
        if (is_added) {
            total->amount += e->amount;
            total->payments++;
        } else {
            INVARIANT(total->payments > 0);
            total->amount -= e->amount;
            total->payments--;
        }
    }
}

void refund_totals_add(struct refund_totals *t, const struct order *o)
{
    change(t, o, true);
}

void refund_totals_take_off(struct refund_totals *t, const struct order *o)
{
    change(t, o, false);
}
