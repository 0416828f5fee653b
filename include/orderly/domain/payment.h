/* A payment as the Payments context knows it: one per order when built in, `payment-<order>`; those
 * of outside contexts by their own id. */
#ifndef ORDERLY_DOMAIN_PAYMENT_H
#define ORDERLY_DOMAIN_PAYMENT_H
#include "orderly/domain/event.h"

enum payment_status {
    PAYMENT_STATUS_NONE,
    PAYMENT_STATUS_PENDING,
    PAYMENT_STATUS_APPROVED,
    PAYMENT_STATUS_DECLINED,
    PAYMENT_STATUS_REFUNDED
};
struct payment {
    enum payment_status status;
    bool is_ours; /* made by the built-in context, which undoes only its own */
    int64_t amount;
    struct currency currency;
    uint64_t sequence;
};
void payment_apply(struct payment *p,
                   const struct event *e); /* Payment* events; is_ours by handled_by */

/* What a message asks of Payments; which: the payment to give back. */
enum payment_task { PAYMENT_TASK_NONE, PAYMENT_TASK_CHARGE, PAYMENT_TASK_REFUND };
enum payment_task payment_task_of(const struct event *m, const struct payment_id **which);
/* To be charged, in the currency of the message. */
int64_t payment_amount_of(const struct event *m);

/* Decisions of the built-in context; each adds at most one event, in the flow's words. False:
 * nothing to do (already so). */
bool payment_charge(const struct payment *p, const struct flow *f, struct order_id order,
                    const struct payment_id *id, int64_t amount, struct currency currency,
                    struct event_list *out);
bool payment_decline(const struct payment *p, const struct flow *f, struct order_id order,
                     const struct payment_id *id, struct str reason, struct event_list *out);
bool payment_wait(const struct payment *p, const struct flow *f, struct order_id order,
                  const struct payment_id *id, int64_t amount, struct currency currency,
                  struct event_list *out);
bool payment_refund(const struct payment *p, const struct flow *f, struct order_id order,
                    const struct payment_id *id, struct event_list *out);
#endif
