/* Is a store what its events say? Every sum and the chain, and then everything that follows from the
 * events, each in both directions: what should be there is, and what is there should be.
 *
 *   log    position by position: sums, chain, dense; stock, counts and the list by type (verify_log)
 *   lanes  order by order: its events played again, its rows compared, its money (verify_lanes)
 *   lists  row by row: each list, key, deferred lane and dead letter leads to what it is of
 *          (verify_lists)
 *   rest   one moment at the end: stock, counts, cursors, settings (verify_rest)
 *
 * Works beside a live server: each comparison is made within one moment of the store, which is
 * renewed every second. Memory grows with the products, not with history. */
#ifndef SRC_INFRA_OPERATE_VERIFY_H
#define SRC_INFRA_OPERATE_VERIFY_H
#include "orderly/infra/store/lmdb_look.h"

#define VERIFY_LINE_MAX 1200

struct verify {
    /* Set by the caller; each may be NULL. */
    void (*on_fault)(void *ctx, const char *line); /* one line, without its end */
    void (*on_progress)(void *ctx, const char *what, uint64_t done, uint64_t about);
    bool (*is_stopped)(void *ctx);
    void *ctx;

    /* What was found. */
    uint64_t n_faults;
    uint64_t n_faults_unmade;                      /* of them those in rows that no event makes */
    uint64_t rows, bytes, rows_of[STORE_DB_COUNT]; /* whose sums were checked */
    uint64_t last_position;                        /* 0: no events */
    uint32_t epochs;
    uint64_t orders, payments, reservations, shipments, carts, products; /* played again */
    uint64_t list_rows, letters, lanes, keys, skus;
    bool is_cut_short; /* events are damaged, so what follows from all of them was not compared */
};

/* The rows of this database follow from the events alone: a rebuild makes them anew. */
bool verify_is_made(enum store_db db);

/* ERR_OK: all is well. ERR_DAMAGED: n_faults > 0. ERR_CANCELED: is_stopped said so. ERR_IO: see
 * lmdb_look_why. */
MUST_CHECK enum err verify_store(struct lmdb_look *look, struct verify *v);
#endif
