/* While the map grows there are two tables. A hash belongs to exactly one bucket at any time: to
 * the old table's if that bucket has not been moved yet, else to the new table's. So a lookup reads
 * one bucket only, growing or not.
 *
 * The old table of n buckets starts to move when it holds n nodes, and the new one of 2n is full n
 * inserts later; each insert moves MAP_STEP buckets, so the move is long over by then. */
#include "orderly/base/map.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <sodium.h>

#define MAP_BUCKETS_MIN ((size_t)16)
#define MAP_STEP ((size_t)4)

_Static_assert(MAP_STEP >= 2, "a move must be over before the next one begins");
_Static_assert(crypto_shorthash_siphash24_KEYBYTES == sizeof(struct map_key), "SipHash key");
_Static_assert(crypto_shorthash_siphash24_BYTES == sizeof(uint64_t), "SipHash value");

uint64_t siphash(const struct map_key *key, struct str s)
{
    uint8_t out[8];
    uint64_t v;

    (void)crypto_shorthash_siphash24(out, (const uint8_t *)s.p, s.n, key->bytes);
    memcpy(&v, out, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v); /* the reference writes the value little endian */
#endif
    return v;
}

static struct map_node **map_bucket(const struct map *m, uint64_t hash)
{
    if (m->old) {
        size_t i = (size_t)hash & m->old_mask;

        if (i >= m->moved)
            return &m->old[i];
    }
    return &m->buckets[(size_t)hash & m->mask];
}

static struct map_node *map_find_in(struct map_node *n, uint64_t hash, struct str key)
{
    while (n && (n->hash != hash || !str_eq(n->key, key)))
        n = n->next;
    return n;
}

void map_init(struct map *m, const struct map_key *key)
{
    *m = (struct map){ .key = *key };
}

void map_deinit(struct map *m)
{
    mem_free(m->buckets);
    mem_free(m->old);
    *m = (struct map){ .key = m->key };
}

struct map_node *map_find(const struct map *m, struct str key)
{
    uint64_t hash;

    if (m->len == 0)
        return NULL;
    hash = siphash(&m->key, key);
    return map_find_in(*map_bucket(m, hash), hash, key);
}

static void map_begin_growth(struct map *m)
{
    size_t n = m->buckets ? 2 * (m->mask + 1) : MAP_BUCKETS_MIN;

    INVARIANT(m->old == NULL);
    m->old = m->buckets;
    m->old_mask = m->mask;
    m->moved = 0;
    m->buckets = mem_zalloc(n * sizeof(struct map_node *));
    m->mask = n - 1;
}

static void map_move_some(struct map *m)
{
    for (size_t i = 0; i < MAP_STEP && m->moved <= m->old_mask; i++) {
        struct map_node *n = m->old[m->moved++];

        while (n) {
            struct map_node *next = n->next;
            struct map_node **bucket = &m->buckets[(size_t)n->hash & m->mask];

            n->next = *bucket;
            *bucket = n;
            n = next;
        }
    }
    if (m->moved > m->old_mask) {
        mem_free(m->old);
        m->old = NULL;
    }
}

void map_insert(struct map *m, struct map_node *node, struct str key)
{
    struct map_node **bucket;

    if (m->old)
        map_move_some(m);
    if (!m->buckets || m->len > m->mask)
        map_begin_growth(m);
    node->key = key;
    node->hash = siphash(&m->key, key);
    bucket = map_bucket(m, node->hash);
    REQUIRE(map_find_in(*bucket, node->hash, key) == NULL);
    node->next = *bucket;
    *bucket = node;
    m->len++;
}

void map_remove(struct map *m, struct map_node *node)
{
    struct map_node **at;

    REQUIRE(m->len > 0);
    at = map_bucket(m, node->hash);
    while (*at != node) {
        REQUIRE(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    m->len--;
}

static void map_each_in(struct map_node **buckets, size_t from, size_t n,
                        void (*cb)(void *ctx, struct map_node *node), void *ctx)
{
    for (size_t i = from; i < n; i++) {
        struct map_node *node = buckets[i];

        while (node) {
            struct map_node *next = node->next; /* cb may free node */

            cb(ctx, node);
            node = next;
        }
    }
}

void map_each(struct map *m, void (*cb)(void *ctx, struct map_node *node), void *ctx)
{
    if (!m->buckets)
        return;
    if (m->old)
        map_each_in(m->old, m->moved, m->old_mask + 1, cb, ctx);
    map_each_in(m->buckets, 0, m->mask + 1, cb, ctx);
}
