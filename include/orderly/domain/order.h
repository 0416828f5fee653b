/* The order: an aggregate that decides and applies, and never does I/O.
 *
 * order_<verb>() decides: it reads the order, puts events into a list, and says how it ended.
 * order_apply() is separate, total, and refuses nothing. Both take the time handed in.
 *
 * Orders alone decides that money, stock or goods go back: every approval,
 * reservation or shipment that is not a duplicate and does not move the order along its flow makes
 * OrderRefundRequested, OrderReleaseRequested or OrderShipmentRefused, in whatever state. */
#ifndef ORDERLY_DOMAIN_ORDER_H
#define ORDERLY_DOMAIN_ORDER_H
#include "orderly/domain/event.h"

/* What never changes after OrderPlaced; shared by all versions of an order in memory. */
struct order_body {
    unsigned refs; /* how many versions share it; one thread at a time */
    struct order_id id;
    enum flow_id flow;
    uint16_t flow_version;
    const struct flow *table; /* of that flow: what all decisions on the order look at */
    uint64_t placed_position; /* of OrderPlaced, which holds all of this */
    struct customer_id customer_id;
    struct cart_id cart_id; /* nil: a direct order */
    unsigned n_lines, n_discounts;
    const struct order_line *lines;
    const struct discount *discounts;
    unsigned n_stock_lines;
    const struct stock_line *stock_lines; /* the lines of one sku added up */
    struct address address;
    int64_t subtotal, total;
    struct currency currency;
    int64_t created_at_ms, payment_deadline_ms; /* 0: no deadline */
    size_t size;                                /* of the one block that all of this lies in */
};

enum due { DUE_NONE, DUE_OPEN, DUE_DONE };
struct str due_name(enum due d); /* none, due, done */

/* A payment, reservation or shipment that reached this order, in the order of arrival. The list is
 * what makes a duplicate a duplicate for ever. */
enum effect_kind { EFFECT_PAYMENT, EFFECT_RESERVATION, EFFECT_SHIPMENT };
struct order_effect {
    enum effect_kind kind;
    bool is_own;     /* it moved the order along its flow */
    bool is_unasked; /* a refund or release that nobody asked for */
    enum due due;    /* its refund, release or refusal */
    struct text_id id;
    int64_t amount; /* payments */
    struct currency currency;
};
/* Strays beyond this: the message is a permanent failure `too_many`. The payment, the reservation and
 * the shipment that move the order are taken all the same, so that strays never stop an order. */
#define ORDER_EFFECTS_MAX 256
#define ORDER_EFFECTS_INLINE 4
#define ORDER_REASON_MAX 500

struct order {
    struct order_body *body;
    enum order_status status;
    uint32_t visited;  /* bit per enum order_status that the order has been in */
    uint64_t sequence; /* of its last event */
    int64_t updated_at_ms;
    int64_t unsettled_since_ms;           /* 0: settled, as far as its own events say */
    bool payment_requested;               /* OrderPaymentRequested was emitted */
    struct payment_id payment_id;         /* that paid it */
    struct reservation_id reservation_id; /* that reserved for it */
    struct shipment_id shipment_id;
    struct invoice_id invoice_id;
    struct str tracking_number, cancellation_reason, rejection_reason,
        payment_failure_reason; /* own */
    int64_t delivered_at_ms;
    unsigned n_effects, effects_cap;
    struct order_effect *effects; /* own */
    struct order_effect effects_inline[ORDER_EFFECTS_INLINE];
};

/* A new order, before its first event: status ORDER_NONE. Owner: the caller; order_destroy. */
struct order *order_create(void);
struct order *order_clone(const struct order *o); /* shares the body */
void order_destroy(struct order *o);              /* NULL is fine */
size_t order_memory(const struct order *o);       /* bytes, body included, for the cache's bound */

/* Applies one event of the order's own stream (also on replay). The first is OrderPlaced, which
 * makes the body with its own copies of everything. Event fields used: type, p, position, sequence,
 * occurred_at_ms. Total: an event that cannot be (before OrderPlaced, of another stream, a second
 * OrderPlaced) changes the sequence and the time only. */
void order_apply(struct order *o, const struct event *e);

/* ---- decisions ------------------------------------------------------------------------------- *
 *
 * The order must have been placed. Events of a decision hold views of the order's body and of what
 * was handed in: both must outlive the list. An outcome other than CHANGED adds no event. */

#define ORDER_OUTCOME_MAP(X)                                                                       \
    X(CHANGED, "changed")         /* events were added */                                          \
    X(HOLDS, "already_holds")     /* command: its effect already holds; nothing added */           \
    X(ILLEGAL, "illegal_state")   /* command: not legal now; nothing added */                      \
    X(DUPLICATE, "duplicate")     /* message: same id for the same order */                        \
    X(IGNORED, "wrong_state")     /* message: a decline or rejection out of place */               \
    X(NOT_YET_DUE, "not_yet_due") /* timer: called before the deadline */                          \
    X(TOO_MANY, "too_many")       /* message: ORDER_EFFECTS_MAX reached */
enum order_outcome {
#define X(name, text) ORDER_OUTCOME_##name,
    ORDER_OUTCOME_MAP(X)
#undef X
};
const char *order_outcome_name(enum order_outcome o);

/* What a new order is made of; views, copied by order_apply. */
struct order_placing {
    struct order_id id;
    enum flow_id flow;
    struct customer_id customer_id;
    struct cart_id cart_id;
    const struct order_line *lines;
    const struct discount *discounts;
    unsigned n_lines, n_discounts;
    const struct address *address;
    int64_t subtotal, total;
    struct currency currency;
    int64_t payment_timeout_ms; /* 0: off */
};
void order_place(const struct order_placing *placing, int64_t now_ms, struct event_list *out);

/* Messages. Amount and currency must be the order's; the word order (approved / processed) does not
 * matter. is_own payments, reservations, shipments are those that move the order. */
enum order_outcome order_mark_as_paid(const struct order *o, const struct payment_id *id,
                                      int64_t amount, struct currency currency,
                                      struct event_list *out);
enum order_outcome order_apply_payment_declined(const struct order *o, const struct payment_id *id,
                                                struct str reason, struct event_list *out);
enum order_outcome order_apply_stock_reserved(const struct order *o,
                                              const struct reservation_id *id,
                                              struct event_list *out);
enum order_outcome order_apply_stock_rejected(const struct order *o, struct str reason,
                                              struct event_list *out);
enum order_outcome order_apply_shipment_created(const struct order *o, const struct shipment_id *id,
                                                struct str tracking_number, struct event_list *out);
enum order_outcome order_apply_shipment_delivered(const struct order *o,
                                                  const struct shipment_id *id,
                                                  int64_t delivered_at_ms, struct event_list *out);
enum order_outcome order_apply_shipment_cancelled(const struct order *o,
                                                  const struct shipment_id *id,
                                                  struct event_list *out);
/* PaymentRefunded, StockReleased. *unasked: nobody asked for it; it is recorded all the same, and
 * the caller writes an error line and counts. A refund of another amount or currency than the
 * payment's is not the one that was asked for: it is recorded once, and what is due stays due. */
enum order_outcome order_apply_refunded(const struct order *o, const struct payment_id *id,
                                        int64_t amount, struct currency currency, bool *unasked,
                                        struct event_list *out);
enum order_outcome order_apply_stock_released(const struct order *o,
                                              const struct reservation_id *id, bool *unasked,
                                              struct event_list *out);

/* All of these by the message that asks for them, which is how Orders comes to them. False: the
 * message is heard, and nothing for an order follows from it. unasked: see above. */
bool order_hears(enum event_type type);
enum order_outcome order_hear(const struct order *o, const struct event *m, bool *unasked,
                              struct event_list *out);

/* Commands and the timer. */
enum order_outcome order_request_payment(const struct order *o, struct event_list *out);
/* mark-paid: a payment of method `external` with the order's own amount. */
enum order_outcome order_record_external_payment(const struct order *o, const struct payment_id *id,
                                                 struct event_list *out);
enum order_outcome order_cancel(const struct order *o, struct str reason, struct event_list *out);
enum order_outcome order_make_ready(const struct order *o, struct event_list *out);
enum order_outcome order_complete(const struct order *o, const struct invoice_id *id,
                                  struct event_list *out);
enum order_outcome order_expire_payment(const struct order *o, int64_t now_ms,
                                        struct event_list *out);

/* Commands that are legal in the order's state, as bits 1u << enum order_input (PAY, MARK_PAID,
 * CANCEL, READY, COMPLETE). */
uint32_t order_legal_commands(const struct order *o);

/* ---- views ----------------------------------------------------------------------------------- */
bool order_is_final(const struct order *o);
/* Final or at rest, no refund or release due. */
bool order_is_settled(const struct order *o);
bool order_has_refund_due(const struct order *o);
/* Over all payments that go back: none, due while any is due, done when all are; and the sum of those
 * in the order's own currency. */
enum due order_refund_state(const struct order *o, int64_t *amount);
enum due order_release_state(const struct order *o);
const struct order_effect *order_find_effect(const struct order *o, enum effect_kind kind,
                                             struct str id);
/* An unpaid, non-final order with a deadline: its timer must be open. */
bool order_has_open_deadline(const struct order *o);
#endif
