/* The flows of an order as constant tables: (state, input) -> next state and event; and (topic,
 * flow) -> which context reacts and with which events it can answer.
 *
 * The same table is what the code runs, what the tests enumerate and what a drawing is made from.
 * An order keeps the version of the flow that it was born with. */
#ifndef ORDERLY_DOMAIN_FLOW_H
#define ORDERLY_DOMAIN_FLOW_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

/* name on the wire, final, at rest. The numbers are stored: append only. */
#define ORDER_STATUS_MAP(X)                                                                        \
    X(AWAITING_PAYMENT, false, false)                                                              \
    X(PENDING, false, false)                                                                       \
    X(CONFIRMED, false, false)                                                                     \
    X(PAID, false, false)                                                                          \
    X(STOCK_RESERVED, false, true)                                                                 \
    X(READY, false, true)                                                                          \
    X(COMPLETED, true, false)                                                                      \
    X(SHIPPED, false, true)                                                                        \
    X(DELIVERED, true, false)                                                                      \
    X(CANCELLED, true, false)                                                                      \
    X(REJECTED, true, false)                                                                       \
    X(PAYMENT_FAILED, true, false)
enum order_status {
    ORDER_NONE, /* no such order yet */
#define X(name, final, rest) ORDER_##name,
    ORDER_STATUS_MAP(X)
#undef X
        ORDER_STATUS_COUNT
};
struct str order_status_name(enum order_status s);
bool order_status_parse(struct str text, enum order_status *out);
bool order_status_is_final(enum order_status s);
bool order_status_is_at_rest(enum order_status s);

/* What can happen to an order; name for traces and tables. */
#define ORDER_INPUT_MAP(X)                                                                         \
    X(PAYMENT_APPROVED, "PaymentApproved")                                                         \
    X(PAYMENT_DECLINED, "PaymentDeclined")                                                         \
    X(STOCK_RESERVED, "StockReserved")                                                             \
    X(STOCK_REJECTED, "StockRejected")                                                             \
    X(SHIPMENT_CREATED, "ShipmentCreated")                                                         \
    X(SHIPMENT_DELIVERED, "ShipmentDelivered")                                                     \
    X(SHIPMENT_CANCELLED, "ShipmentCancelled")                                                     \
    X(PAYMENT_TIMEOUT, "payment timeout")                                                          \
    X(PAY, "pay")                                                                                  \
    X(MARK_PAID, "mark-paid")                                                                      \
    X(CANCEL, "cancel")                                                                            \
    X(READY, "ready")                                                                              \
    X(COMPLETE, "complete")
enum order_input {
#define X(name, text) ORDER_INPUT_##name,
    ORDER_INPUT_MAP(X)
#undef X
        ORDER_INPUT_COUNT
};
const char *order_input_name(enum order_input i);

enum flow_id { FLOW_NONE, FLOW_PAY_FIRST, FLOW_STOCK_FIRST, FLOW_COUNT };

/* The contexts that react. */
enum context { CONTEXT_ORDERS, CONTEXT_PAYMENTS, CONTEXT_INVENTORY, CONTEXT_SHIPMENTS };

/* Forward: enum event_type is in event.h; rows keep it as an int so that the headers don't cross. */
struct flow_row {
    enum order_status from;
    enum order_input input;
    enum order_status to; /* == from: the input is legal and asks for something, status stays */
    uint16_t event;       /* enum event_type that the change emits */
};
#define FLOW_ANSWERS_MAX 4
struct flow_reaction {
    uint16_t heard; /* enum event_type whose message is heard */
    enum context context;
    uint16_t answers[FLOW_ANSWERS_MAX]; /* enum event_type; 0 ends the list */
};
struct flow {
    enum flow_id id;
    const char *name; /* pay_first */
    uint16_t version;
    enum order_status start;
    const struct flow_row *rows;
    unsigned n_rows;
    const struct flow_reaction *reactions;
    unsigned n_reactions;
    /* The flow's own words for outcomes that exist twice (PaymentApproved / PaymentProcessed …). */
    uint16_t payment_approved, payment_declined, stock_reserved, stock_rejected, stock_released;
};

const struct flow *flow_of(enum flow_id id); /* never NULL for a real flow */
bool flow_parse(struct str name, enum flow_id *out);
/* NULL: the input is not on the drawing in that state. */
const struct flow_row *flow_find(const struct flow *f, enum order_status from,
                                 enum order_input input);
/* Whether the input is on the drawing in this state, or in one that can still be reached from it. */
bool flow_reaches(const struct flow *f, enum order_status from, enum order_input input);
/* NULL: the context does not react to it in this flow. */
const struct flow_reaction *flow_reaction_of(const struct flow *f, uint16_t heard,
                                             enum context context);
#endif
