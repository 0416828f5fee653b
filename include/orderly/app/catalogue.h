/* The catalogue: all products and their stock in memory, bounded by products_max.
 *
 * Stock has three views. `durable` is what answers show. `sequenced` is what the rows hold: the
 * effect of every event handed to the log so far. `lowering` is what decided but not yet durable
 * operations take from what is available; what raises it counts when it is durable. So a hot product
 * takes thousands of reservations in one commit and is never oversold. Thread: loop. */
#ifndef ORDERLY_APP_CATALOGUE_H
#define ORDERLY_APP_CATALOGUE_H
#include "orderly/app/event_log.h"
#include "orderly/app/turn.h"
#include "orderly/base/map.h"
#include "orderly/domain/product.h"

struct catalogue_entry {
    struct map_node node;   /* by sku */
    struct product product; /* durable; sequence 0: ProductAdded is in flight */
    struct stock durable, sequenced;
    int64_t lowering;  /* pieces that decided, not yet durable operations take */
    uint64_t position; /* of the last durable event that changed any field: the ETag */
    struct turn turn;  /* commands on this product */
};

struct catalogue {
    struct map map;
    unsigned len, len_max;
};

/* One product's share of an operation: what it adds to its stock. */
struct stock_change {
    struct catalogue_entry *entry;
    int64_t on_hand, reserved;
};

void catalogue_init(struct catalogue *c, const struct map_key *key, unsigned len_max);
void catalogue_deinit(struct catalogue *c);
/* NULL: not there, or not durable yet. */
struct catalogue_entry *catalogue_find(struct catalogue *c, const struct sku *sku);
/* Also what is in flight. */
struct catalogue_entry *catalogue_find_any(struct catalogue *c, const struct sku *sku);
/* A new entry, not durable until its product has a sequence; NULL: len_max reached. */
struct catalogue_entry *catalogue_add(struct catalogue *c, const struct sku *sku);
void catalogue_drop(struct catalogue *c, struct catalogue_entry *e);

/* What may be promised now: decided reservations counted. */
int64_t catalogue_available(const struct catalogue_entry *e);

/* The three moments of a change: it is decided and its row goes into the append (position: of the
 * event that makes it); it is durable; or it was not written and everything is given back. */
void stock_change_sequence(struct stock_change *sc, struct append *a, uint64_t position);
void stock_change_durable(struct stock_change *sc, uint64_t position);
void stock_change_revoke(struct stock_change *sc);
#endif
