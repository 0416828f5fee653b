/* List readers: plain functions over a store_view, for any thread that holds one (store_read.run).
 *
 * A list ends at its limit, when the view is late (store_view.is_late), or when the rows it found
 * are larger than QUERY_BYTES_MAX, or at a bound that the query names. In each case has_more and the place to go on from are set, also
 * when nothing was found in the meantime: a reader that goes on always gets further.
 *
 * Results are memory of the arena that was handed in, but for what a *_page_deinit gives back.
 * Errors: ERR_OK, ERR_NOT_FOUND (single readers), ERR_DAMAGED, ERR_IO. */
#ifndef ORDERLY_APP_QUERIES_H
#define ORDERLY_APP_QUERIES_H
#include "orderly/app/store.h"
#include "orderly/domain/event.h"
#include "orderly/domain/order.h"
#include "orderly/domain/product.h"

#define QUERY_LIMIT_MAX 500
#define QUERY_BYTES_MAX (4u << 20)

/* ---- orders, newest first -------------------------------------------------------------------- */

struct order_query {
    enum order_status status;       /* ORDER_NONE: any */
    struct customer_id customer_id; /* n == 0: any */
    enum flow_id flow;              /* FLOW_NONE: any */
    bool refund_due;                /* only those */
    bool has_unsettled_before;      /* only orders that are unsettled since … */
    int64_t unsettled_before_ms;    /* … this time or longer; newest `since` first */
    bool has_after;                 /* go on behind this one (the last seen) … */
    struct order_id after;
    int64_t after_since_ms; /* … whose `since` was this (has_unsettled_before) */
    uint64_t placed_upto;   /* only those placed at this position or before; 0: any */
    unsigned limit;         /* 1..QUERY_LIMIT_MAX */
};
struct order_page {
    struct order **orders; /* order_page_deinit */
    unsigned n;
    bool has_more;
    struct order_id next; /* has_more: the `after` to go on with */
    int64_t next_since_ms;
};
MUST_CHECK enum err query_orders(const struct store_view *v, struct arena *a,
                                 const struct order_query *q, struct order_page *out);
void order_page_deinit(struct order_page *page); /* also after an error */

/* Adds the money that is due back, of all orders, however long that takes: for a start. */
struct refund_totals;
MUST_CHECK enum err query_refunds_due(const struct store_view *v, struct refund_totals *out);

/* ---- products, by sku ------------------------------------------------------------------------ */

struct product_row {
    struct product product;
    struct stock stock;
    uint64_t position; /* of the last event that changed any field */
};
struct product_query {
    struct sku after; /* n == 0: from the start */
    unsigned limit;
};
struct product_page {
    struct product_row *rows;
    unsigned n;
    bool has_more;
    struct sku next;
};
MUST_CHECK enum err query_products(const struct store_view *v, struct arena *a,
                                   const struct product_query *q, struct product_page *out);
void product_page_deinit(struct product_page *page); /* also after an error */

/* ---- events, oldest first -------------------------------------------------------------------- */

struct event_query {
    bool has_types; /* only the types whose `types` entry is set */
    bool types[EVENT_TYPE_COUNT];
    bool has_lane; /* only what this lane caused (orderId, correlationId) */
    struct lane_id lane;
    struct str aggregate_id; /* n == 0: any; else only that stream's own events */
    uint64_t after;          /* position; 0: from the start */
    uint64_t upto;           /* last position that is looked at; 0: the log's end */
    unsigned limit;
    unsigned rows_max; /* rows looked at, whether they fit or not; 0: no bound */
};
struct event_page {
    struct event *events; /* id, position, occurred_at_ms set; views into the arena */
    unsigned n;
    bool has_more;
    uint64_t next; /* has_more: the `after` to go on with */
};
MUST_CHECK enum err query_events(const struct store_view *v, struct arena *a,
                                 const struct event_query *q, struct event_page *out);
/* Does an event answer the filters (types, lane, aggregate)? For events that are at hand. */
bool event_query_fits(const struct event_query *q, const struct event *e);
/* By its id: a UUIDv7's time runs with position, so this needs no index. */
MUST_CHECK enum err query_event(const struct store_view *v, struct arena *a, struct event_id id,
                                struct event *out);

/* Sets types for a topic: exact ("order.placed"), a whole word's ("order.*") or all ("*"). Types that
 * are never published are not set. False: no such topic. */
bool event_query_set_topics(struct event_query *q, struct str pattern);
#endif
