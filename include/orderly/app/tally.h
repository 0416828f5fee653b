/* What follows from all events in the order of the log: the stock of every product, how many orders
 * are in which status, and how many dead letters are open. Grows with the products, not with
 * history. Any thread; one at a time. */
#ifndef ORDERLY_APP_TALLY_H
#define ORDERLY_APP_TALLY_H
#include "orderly/app/order_counts.h"
#include "orderly/base/map.h"
#include "orderly/domain/product.h"

#define TALLY_TEXT_MAX 300

struct tally_stock {
    struct map_node node;
    struct sku sku;
    struct stock stock;
    uint64_t position; /* of the last event that touched it */
    bool is_product;   /* ProductAdded was met */
    bool is_found;     /* for who compares */
};

struct tally {
    uint64_t n_events, last_position;
    struct event_id last_id;
    struct order_counts counts; /* its position is kept too */
    uint64_t sequences[SUBSCRIPTION_COUNT];
    int64_t letters_open[SUBSCRIPTION_COUNT];
    struct map stock;
    uint64_t n_placed; /* OrderPlaced events */
    char why[TALLY_TEXT_MAX];
};

/* key: from the random port; a constant is good enough for who reads its own store. */
void tally_init(struct tally *t, const struct map_key *key);
void tally_deinit(struct tally *t);
/* The next event of the log. Returns NULL, or what is wrong with it, for people; valid until the
 * next call. Goes on as well as it can. */
const char *tally_event(struct tally *t, const struct event *e);
/* NULL: no event ever named it. */
struct tally_stock *tally_find(struct tally *t, struct str sku);
#endif
