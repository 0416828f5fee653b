/* Ordered map of byte strings in memory: a B+tree.
 *
 * Order is that of memcmp, a shorter key before the longer ones that begin with it. Nodes hold the
 * first eight bytes of each key as a number, so that most comparisons touch nothing but the node.
 * Keys that come in ascending order, at the end of the tree or at the end of a run inside it (the
 * positions of one event type, say), fill their leaves to the last slot.
 *
 * Not thread safe: any number of readers, or one writer. What get and seek point to is the tree's
 * and stays until the next put or delete. */
#ifndef SRC_INFRA_STORE_BTREE_H
#define SRC_INFRA_STORE_BTREE_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stddef.h>

#define BTREE_KEY_MAX 128

struct btree_node;

struct btree {
    struct btree_node *root;
    struct btree_node *last; /* the rightmost leaf */
    unsigned height;         /* levels above the leaves */
    size_t len;
    size_t bytes; /* allocated, without what the allocator adds */
};

enum btree_seek { BTREE_GE, BTREE_GT, BTREE_LE, BTREE_LT };

void btree_init(struct btree *t);
void btree_deinit(struct btree *t);

/* Copies both. The key has 1 to BTREE_KEY_MAX bytes. True if the key is new, false if its value was
 * replaced. */
bool btree_put(struct btree *t, struct str key, struct str value);
/* False if it was not there. */
bool btree_delete(struct btree *t, struct str key);

bool btree_get(const struct btree *t, struct str key, struct str *value);
/* The nearest row on the side that how names. The key may be empty: it lies before all others. */
bool btree_seek(const struct btree *t, enum btree_seek how, struct str key, struct str *found_key,
                struct str *value);

/* Stops the process if the tree is not one: order, fences, links and counts. For tests; slow. */
void btree_check(const struct btree *t);
#endif
