/* Carts in memory: loaded from their snapshot when they are first changed. Bounded: those that nobody
 * uses are evicted, oldest first, once they take more than their bytes. Thread: loop. */
#ifndef ORDERLY_APP_CARTS_H
#define ORDERLY_APP_CARTS_H
#include "orderly/app/store.h"
#include "orderly/app/turn.h"
#include "orderly/base/map.h"
#include "orderly/domain/cart.h"

struct carts;

struct cart_entry {
    struct map_node node; /* by cart id */
    struct list lru;
    struct carts *carts;
    unsigned pins;
    bool is_loaded;
    struct turn turn;
    struct cart_id id;
    struct cart cart; /* durable; sequence 0: there is no such cart */
    struct list waiting;
};

struct carts {
    struct store *store;
    struct map map;
    struct list lru;
    size_t len_unused, bytes_max;
    uint64_t n_evicted;
};

struct cart_wait {
    struct list link;
    struct cart_entry *entry;
    void (*ready)(struct cart_wait *w, enum err status); /* inside carts_open or later */
};

void carts_init(struct carts *cs, struct store *store, const struct map_key *key, size_t bytes_max);
void carts_deinit(struct carts *cs);
/* As dossier_open. */
void carts_open(struct carts *cs, struct cart_id id, struct cart_wait *w);
void cart_entry_close(struct cart_entry *e);
size_t carts_bytes(const struct carts *cs);
#endif
