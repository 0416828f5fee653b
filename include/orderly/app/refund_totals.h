/* Money that is due back, by currency: kept exact as orders change, and summed from the store's list
 * of such orders at a start. */
#ifndef ORDERLY_APP_REFUND_TOTALS_H
#define ORDERLY_APP_REFUND_TOTALS_H
#include "orderly/domain/money.h"

#define REFUND_TOTALS_MAX 192 /* there are fewer currencies */

struct order;
struct refund_totals {
    unsigned n;
    struct refund_total {
        struct currency currency;
        int64_t amount;        /* minor units */
        uint64_t payments;     /* that it is made of */
    } list[REFUND_TOTALS_MAX]; /* in the order in which they were first seen; they stay */
};

/* Adds what the order has due, or takes it off. NULL: nothing. */
void refund_totals_add(struct refund_totals *t, const struct order *o);
void refund_totals_take_off(struct refund_totals *t, const struct order *o);
#endif
