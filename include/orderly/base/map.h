/* Hash map of embedded nodes, keyed by bytes, hashed by SipHash-2-4 with a key that is drawn per
 * process (so that nobody can make keys collide). Grows by steps: each insert moves a few buckets, so that no
 * single call pays for millions of entries.
 *
 * The node's key is memory of the object that embeds the node and must not change while it is in
 * the map. Not thread safe. */
#ifndef ORDERLY_BASE_MAP_H
#define ORDERLY_BASE_MAP_H
#include "orderly/base/str.h"
#include <stddef.h>
#include <stdint.h>

struct map_key {
    uint8_t bytes[16]; /* from the random port */
};

struct map_node {
    struct map_node *next;
    uint64_t hash;
    struct str key;
};

struct map {
    struct map_key key;
    struct map_node **buckets, **old; /* old: being moved, may be NULL */
    size_t mask, old_mask, moved;
    size_t len;
};

uint64_t siphash(const struct map_key *key, struct str s);

void map_init(struct map *m, const struct map_key *key);
/* Does not touch the nodes. */
void map_deinit(struct map *m);
struct map_node *map_find(const struct map *m, struct str key);
/* The key must not be in the map. */
void map_insert(struct map *m, struct map_node *node, struct str key);
/* The node must be in the map. */
void map_remove(struct map *m, struct map_node *node);
/* Walks all nodes in no order; the map must not change meanwhile except that the callback may
 * remove (and free) the node that it was given. */
void map_each(struct map *m, void (*cb)(void *ctx, struct map_node *node), void *ctx);
#endif
