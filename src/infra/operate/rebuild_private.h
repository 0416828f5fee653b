/* What the parts of rebuild share. */
#ifndef SRC_INFRA_OPERATE_REBUILD_PRIVATE_H
#define SRC_INFRA_OPERATE_REBUILD_PRIVATE_H
#include "orderly/app/row_keys.h"
#include "orderly/app/tally.h"
#include "rebuild.h"

struct rebuilder {
    struct rebuild *r;
    struct lmdb_build *b;
    struct lmdb_look *from;
    struct tally tally;
    struct arena arena; /* of one event */
    enum err err;       /* sticky: nothing more is written after it */
    /* Rows that say more than the events: they are looked at where the old store's pages can be
     * read. */
    bool can_read[STORE_DB_COUNT];
    /* Of the row of counts: as of which position. 0: of the last one. */
    bool has_counts;
    struct order_counts counts;
};

/* Something stands in the way. An empty key: of no one row. */
void rebuilder_fault(struct rebuilder *rb, enum store_db db, struct str key, const char *what);
void rebuilder_put(struct rebuilder *rb, enum store_db db, struct str key, struct str value);
/* Between two rows, when no row of the fresh store is held: false when it is over. */
bool rebuilder_goes_on(struct rebuilder *rb);
void rebuilder_progress(struct rebuilder *rb, const char *what, uint64_t done, uint64_t about);
/* The old store's row, if it can be read and its sum is right. */
bool rebuilder_old(struct rebuilder *rb, enum store_db db, struct str key, struct lmdb_row *row);

/* rebuild_lanes.c */
void rebuild_lanes(struct rebuilder *rb);
/* rebuild_letters.c: what a subscription's event makes of its dead letter. */
void rebuild_letter(struct rebuilder *rb, const struct event *e);
/* rebuild_compare.c */
void rebuild_compare(struct rebuilder *rb);
/* Which databases of the old store can be walked without harm. */
void rebuild_probe(struct rebuilder *rb);
#endif
