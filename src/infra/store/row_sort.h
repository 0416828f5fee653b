/* The rows of a batch, database by database and in each by key, so that the tree of a database is
 * walked once from left to right, in pages that are at hand. */
#ifndef SRC_INFRA_STORE_ROW_SORT_H
#define SRC_INFRA_STORE_ROW_SORT_H
#include "orderly/app/store.h"

struct row_ref {
    /* The first bytes of the key, big endian. Sixteen, because eight are the same for all events of
     * a type and for many orders of a status; so the keys themselves are hardly ever looked at. */
    uint64_t prefix[2];
    const struct store_row *row;
};

/* Kept from batch to batch for its memory. Starts as zero. */
struct row_sort {
    struct row_ref *refs; /* of DB d: refs[first[d]] … refs[first[d + 1] - 1] */
    struct row_ref *spare;
    size_t cap;
    size_t first[STORE_DB_COUNT + 1];
};

/* Puts the rows of all store_writes in the list into s->refs. Rows of one database are in the order
 * of their keys, those of one key in the order of the list; the rows of DB_EVENTS come with rising
 * keys and are left as they come. */
void row_sort_take(struct row_sort *s, const struct list *writes);
void row_sort_deinit(struct row_sort *s);

static inline bool row_ref_same_key(const struct row_ref *a, const struct row_ref *b)
{
    return a->prefix[0] == b->prefix[0] && a->prefix[1] == b->prefix[1] &&
           str_eq(a->row->key, b->row->key);
}
#endif
