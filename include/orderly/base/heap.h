/* Binary min-heap of embedded nodes ordered by a 64-bit key, then by the order of insertion. */
#ifndef ORDERLY_BASE_HEAP_H
#define ORDERLY_BASE_HEAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t order;
    size_t index; /* 0: not in a heap */
};

struct heap {
    struct heap_node **nodes; /* 1-based */
    size_t len, cap;
    uint64_t next_order;
};

void heap_init(struct heap *h);
void heap_deinit(struct heap *h);
void heap_push(struct heap *h, struct heap_node *n, int64_t key);
struct heap_node *heap_peek(const struct heap *h); /* NULL when empty */
void heap_remove(struct heap *h, struct heap_node *n);
static inline bool heap_contains(const struct heap_node *n)
{
    return n->index != 0;
}
#endif
