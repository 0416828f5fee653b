/* Walks a whole store, row by row, and checks every sum, the chain of the events, and that a row is
 * found by its key: what `verify`, a check after a failure and a backup have in common. Lists and
 * snapshots are compared with the events by who knows what they mean; on_row brings every row along.
 *
 * Works beside a live server: the read transaction is renewed every second, so that old pages are
 * not kept from being used again. Events are only ever added, so the chain is followed across; of
 * everything else each row is checked as it is when it is met. */
#ifndef ORDERLY_INFRA_STORE_LMDB_WALK_H
#define ORDERLY_INFRA_STORE_LMDB_WALK_H
#include "orderly/infra/store/lmdb_engine.h"

struct lmdb_walk {
    /* Set by the caller; may be NULL. The row lies in the map, for the time of the call; a row whose
     * sum is wrong is not shown. False ends the walk. */
    bool (*on_row)(void *ctx, enum store_db db, struct str key, struct str value);
    void (*on_progress)(void *ctx, uint64_t rows, uint64_t rows_about); /* a few times a second */
    /* Each damage that is found. db STORE_DB_COUNT and an empty key where it is of no one row. */
    void (*on_damage)(void *ctx, enum store_db db, struct str key, const char *what);
    void *ctx;
    bool events_only;

    /* What was found. Rows and bytes count what was looked at. */
    uint64_t rows, bytes;
    uint64_t rows_of[STORE_DB_COUNT];
    uint64_t first_position, last_position; /* 0: no events */
    uint32_t epochs;
    uint64_t n_damaged;
    char first_damage[LMDB_TEXT_MAX]; /* one line: which row, and what about it */
};

/* ERR_OK: all is well. ERR_DAMAGED: n_damaged > 0, the walk went to the end. ERR_CANCELED: on_row
 * said so. ERR_IO. Thread: any; LMDB's own pages are trusted, so use in_child.h for a store that may
 * be broken. */
MUST_CHECK enum err lmdb_engine_walk(struct engine *e, struct lmdb_walk *w);
#endif
