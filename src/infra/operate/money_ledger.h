/* What the events of one order say about money, payment by payment: what was charged, what was given
 * back, and what is still to be given back. Pure.
 *
 * Charged is every payment that was recorded, once for each paymentId: PaymentApproved and
 * PaymentProcessed, also late, second and wrong ones, as their money was taken; and what mark-paid
 * recorded (OrderPaid without either). Refunded is a PaymentRefunded or OrderRefunded of the sum that
 * was charged, once; and an OrderRefunded of another sum, which leaves what is due. Due is what
 * Orders asked back and is not refunded. Messages that were refused (their verdict) are only
 * counted.
 *
 * With a window, the three hold what changed in it: those of days that follow each other add up. */
#ifndef SRC_INFRA_OPERATE_MONEY_LEDGER_H
#define SRC_INFRA_OPERATE_MONEY_LEDGER_H
#include "orderly/domain/order.h"

struct money_sums {
    int64_t charged, refunded, due; /* minor units */
};

/* A payment; a refund in another currency than the payment's is a line of its own. */
struct money_line {
    struct text_id payment_id;
    struct currency currency;
    struct money_sums sums; /* in the window */
    bool is_touched;        /* something happened in the window */

    /* Ledger only. */
    bool is_charged, is_refunded;
    int64_t amount; /* that was charged */
    int64_t due;    /* now */
};

struct money_ledger {
    /* Set by the caller: from <= time < to. */
    int64_t from_ms, to_ms;

    struct order *order;      /* its own events, for what is due */
    struct money_line *lines; /* in the order of their first event */
    unsigned n, cap;
    uint64_t n_refused; /* payments and refunds, in the window, of all orders */
};

/* A window without ends: INT64_MIN, INT64_MAX. */
void money_ledger_init(struct money_ledger *l, int64_t from_ms, int64_t to_ms);
void money_ledger_deinit(struct money_ledger *l);
/* The next event of the order; all of them, in log order. Views of it are not kept. */
void money_ledger_apply(struct money_ledger *l, const struct event *e);
/* For the next order. */
void money_ledger_reset(struct money_ledger *l);
#endif
