/* Snapshots and lists made anew from the events, into a fresh store that takes the place of the old
 * one when it is whole and verified.
 *
 *   check the events -> copy them, with their index rows -> copy what no event makes -> play every
 *   lane -> stock, counts -> verify -> say what differed
 *
 * Memory grows with the products, not with history. */
#ifndef SRC_INFRA_OPERATE_REBUILD_H
#define SRC_INFRA_OPERATE_REBUILD_H
#include "orderly/infra/store/lmdb_build.h"
#include "verify.h"

struct rebuild_difference {
    uint64_t missing, wrong, too_many; /* rows of the old store */
};

struct rebuild {
    /* Set by the caller; each may be NULL. */
    void (*on_fault)(void *ctx,
                     const char *line); /* why it can't be done: one line, without its end */
    void (*on_progress)(void *ctx, const char *what, uint64_t done, uint64_t about);
    void *ctx;

    /* What was found. */
    uint64_t events, rows; /* rows: of the fresh store */
    uint64_t n_faults;
    bool is_compared; /* else the old store's pages are broken, and what differed can't be told */
    struct rebuild_difference differences[STORE_DB_COUNT];
};

/* Fills the fresh store and finishes it; it is the caller's to adopt. ERR_DAMAGED: n_faults things
 * stand in the way, which no rebuild can mend. ERR_FULL, ERR_IO: rebuild_why. Thread: before there
 * are others in the process, as it forks. */
MUST_CHECK enum err rebuild_store(struct lmdb_build *b, struct rebuild *r);
const char *rebuild_why(struct lmdb_build *b);
#endif
