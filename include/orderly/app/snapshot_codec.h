/* Aggregates as rows: what was the state after their last event. Every row starts with a format
 * byte; a decoder never reads past the end and answers ERR_DAMAGED to anything odd. Any thread.
 *
 * Each *_encode appends to out. Each *_decode fills a fresh object whose own memory the caller frees
 * with that object's deinit (order_destroy); after an error there is nothing to free. */
#ifndef ORDERLY_APP_SNAPSHOT_CODEC_H
#define ORDERLY_APP_SNAPSHOT_CODEC_H
#include "orderly/base/buf.h"
#include "orderly/base/err.h"
#include "orderly/domain/cart.h"
#include "orderly/domain/inbox.h"
#include "orderly/domain/order.h"
#include "orderly/domain/payment.h"
#include "orderly/domain/product.h"
#include "orderly/domain/reservation.h"
#include "orderly/domain/shipment.h"

/* An order's row holds what changes, and of its body what lists and timers need; the rest of the
 * body is in the row of its OrderPlaced. */
struct order_summary {
    uint64_t placed_position; /* of OrderPlaced */
    struct order_id id;
    enum flow_id flow;
    enum order_status status;
    struct customer_id customer_id;
    int64_t created_at_ms, updated_at_ms;
    int64_t total;
    struct currency currency;
    int64_t payment_deadline_ms;
    int64_t unsettled_since_ms;
    uint64_t sequence;
};

/* The order must have been placed. */
void order_snapshot_encode(const struct order *o, struct buf *out);
/* placed: the event at order_snapshot_placed_position. ERR_DAMAGED also if it is not this order's
 * OrderPlaced. Owner of *out: the caller; order_destroy. */
MUST_CHECK enum err order_snapshot_decode(struct str row, const struct event *placed,
                                          struct order **out);
MUST_CHECK enum err order_snapshot_placed_position(struct str row, uint64_t *position);
/* Without the event: enough for a list's filter. */
MUST_CHECK enum err order_snapshot_summary(struct str row, struct order_summary *out);

void cart_encode(const struct cart *c, struct buf *out);
MUST_CHECK enum err cart_decode(struct str row, struct cart *out);

void product_encode(const struct product *p, struct buf *out);
MUST_CHECK enum err product_decode(struct str row, struct product *out);

/* position: of the last event that changed this stock. */
void stock_encode(const struct stock *s, uint64_t position, struct buf *out);
MUST_CHECK enum err stock_decode(struct str row, struct stock *out, uint64_t *position);

void payment_encode(const struct payment *p, struct buf *out);
MUST_CHECK enum err payment_decode(struct str row, struct payment *out);

void reservation_encode(const struct reservation *r, struct buf *out);
MUST_CHECK enum err reservation_decode(struct str row, struct reservation *out);

void shipment_encode(const struct shipment *s, struct buf *out);
MUST_CHECK enum err shipment_decode(struct str row, struct shipment *out);

void inbox_encode(const struct inbox *i, struct buf *out);
MUST_CHECK enum err inbox_decode(struct str row, struct inbox *out);
#endif
