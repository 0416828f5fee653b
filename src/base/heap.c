#include "orderly/base/heap.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

#define HEAP_CAP_MIN ((size_t)64)

static bool heap_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void heap_put(struct heap *h, size_t index, struct heap_node *n)
{
    h->nodes[index] = n;
    n->index = index;
}

static void heap_sift_up(struct heap *h, size_t index, struct heap_node *n)
{
    while (index > 1 && heap_before(n, h->nodes[index / 2])) {
        heap_put(h, index, h->nodes[index / 2]);
        index /= 2;
    }
    heap_put(h, index, n);
}

static void heap_sift_down(struct heap *h, size_t index, struct heap_node *n)
{
    for (;;) {
        size_t child = 2 * index;

        if (child > h->len)
            break;
        if (child < h->len && heap_before(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!heap_before(h->nodes[child], n))
            break;
        heap_put(h, index, h->nodes[child]);
        index = child;
    }
    heap_put(h, index, n);
}

void heap_init(struct heap *h)
{
    *h = (struct heap){ 0 };
}

void heap_deinit(struct heap *h)
{
    mem_free(h->nodes);
    *h = (struct heap){ 0 };
}

void heap_push(struct heap *h, struct heap_node *n, int64_t key)
{
    if (h->len + 1 >= h->cap) {
        h->cap = h->cap ? 2 * h->cap : HEAP_CAP_MIN;
        h->nodes = mem_realloc(h->nodes, h->cap * sizeof(struct heap_node *));
    }
    n->key = key;
    n->order = h->next_order++;
    h->len++;
    heap_sift_up(h, h->len, n);
}

struct heap_node *heap_peek(const struct heap *h)
{
    return h->len ? h->nodes[1] : NULL;
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    size_t index = n->index;
    struct heap_node *last;

    REQUIRE(index >= 1);
    REQUIRE(index <= h->len);
    REQUIRE(h->nodes[index] == n);
    last = h->nodes[h->len--];
    n->index = 0;
    if (last == n)
        return;
    if (index > 1 && heap_before(last, h->nodes[index / 2]))
        heap_sift_up(h, index, last);
    else
        heap_sift_down(h, index, last);
}
