/* How many orders are in which status, as of a position of the log. Kept as one row that is written
 * now and then, and brought up to date from the events behind it. */
#ifndef ORDERLY_APP_ORDER_COUNTS_H
#define ORDERLY_APP_ORDER_COUNTS_H
#include "orderly/base/buf.h"
#include "orderly/base/err.h"
#include "orderly/domain/event.h"

#define ORDER_COUNTS_META "order_counts" /* its row in DB_META */

struct order_counts {
    uint64_t position;
    int64_t orders[FLOW_COUNT][ORDER_STATUS_COUNT];
};

/* Adds the next event; those that change no status are fine. Does not move the position. */
void order_counts_add(struct order_counts *c, const struct event *e);
void order_counts_encode(const struct order_counts *c, struct buf *out);
MUST_CHECK enum err order_counts_decode(struct str row, struct order_counts *out);
#endif
