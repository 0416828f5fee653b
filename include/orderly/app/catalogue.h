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
    struct map_node node;
    struct product product;   /* durable */
    struct stock durable, sequenced;
    int64_t lowering;         /* pieces */
    uint64_t position;        /* of the last durable event that changed any field: the ETag */
    uint64_t sequenced_position;
    struct turn turn;         /* PATCH commands of this product */
    bool is_new;              /* ProductAdded is in flight */
};
struct catalogue {
    struct map map;
    unsigned len, len_max;
};
/* NULL: not there, or not durable yet. */
struct catalogue_entry *catalogue_find(struct catalogue *c, const struct sku *sku);
#endif
