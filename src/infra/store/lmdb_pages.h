/* Reading LMDB's pages with a doubt.
 *
 * LMDB keeps no sums of its pages and believes what they say: a flipped bit in a page's head or in
 * a key could make it miss rows without a word. So a look does not go by LMDB's own search. It finds
 * the pages of a snapshot by itself, in LMDB's file format number 1, and believes a page only when
 *
 *   its number, kind and level are those that led to it,
 *   its rows fill it without a hole and without overlapping,
 *   its keys are in order, and between those of the branch that leads to it.
 *
 * What that leaves to a flipped byte is a row that stays in its place in the order. So a row is not
 * there only when the rows on both sides of its place say so, by sums that are right
 * (lmdb_read.c). What this does not find is a number in a branch that was changed into that of an
 * older copy of the very page it meant.
 *
 * The functions return 0, MDB_NOTFOUND (no such row) or MDB_CORRUPTED; then the tree says why. A
 * tree is used by one thread; it belongs to one snapshot and is good for as long as that is held. */
#ifndef SRC_INFRA_STORE_LMDB_PAGES_H
#define SRC_INFRA_STORE_LMDB_PAGES_H
#include "orderly/base/check.h"
#include "orderly/base/str.h"
#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a tree with keys of STORE_KEY_MAX; LMDB goes deeper only with far larger ones. */
#define LMDB_DEPTH_MAX 16
#define LMDB_PAGES_WHY_MAX 96

/* The file as it is mapped. */
struct lmdb_map {
    const char *base;
    size_t page_size;
    uint64_t last_page; /* no page of the snapshot lies behind it */
};

struct lmdb_level {
    const char *page;
    unsigned n, at;       /* rows, or branches, and which of them */
    struct str low, high; /* low <= every key of the page < high; high with p == NULL: no bound */
};

struct lmdb_tree {
    struct lmdb_map map;
    uint64_t root, entries;
    unsigned depth;
    unsigned n_levels; /* that were checked and hold; depth: it stands at a row, or behind one */
    struct lmdb_level levels[LMDB_DEPTH_MAX];
    char why[LMDB_PAGES_WHY_MAX];
};

/* Where the file is mapped. Needs one row of the main database (LMDB's of the names); `record` lies
 * in it. False: it can't be told. */
MUST_CHECK bool lmdb_map_find(struct lmdb_map *m, MDB_env *env, MDB_val record);

/* The page that holds the record, and the root that it names (UINT64_MAX: none). */
MUST_CHECK bool lmdb_record_pages(MDB_val record, size_t page_size, uint64_t out[2]);

/* By its record, where the main database holds it. */
MUST_CHECK int lmdb_tree_init(struct lmdb_tree *t, const struct lmdb_map *map, MDB_val record);

/* Goes to the first row at or behind the key, which may be behind the last row of its page or of
 * all. *is_there: that row has the key. */
MUST_CHECK int lmdb_tree_find(struct lmdb_tree *t, struct str key, bool *is_there);
/* From where find went to: to that row, or to the one before it; MDB_NOTFOUND where none is. */
MUST_CHECK int lmdb_tree_settle(struct lmdb_tree *t);
MUST_CHECK int lmdb_tree_before(struct lmdb_tree *t);
/* From a row to the next. */
MUST_CHECK int lmdb_tree_next(struct lmdb_tree *t);
/* The row where it stands. Both lie in the map. */
MUST_CHECK int lmdb_tree_row(struct lmdb_tree *t, struct str *key, struct str *stored);
#endif
