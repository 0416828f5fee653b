#include "wheel.h"

#define SLOT_MS 64

static unsigned slot_of(int64_t ms)
{
    return (unsigned)((uint64_t)ms / SLOT_MS) % HTTP_WHEEL_SLOTS;
}

void wheel_init(struct http_wheel *w, int64_t now_ms)
{
    for (unsigned i = 0; i < HTTP_WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->now_ms = now_ms;
}

void wheel_node_init(struct wheel_node *n, void (*fire)(struct wheel_node *n))
{
    n->fire = fire;
    list_init(&n->link);
    n->deadline_ms = WHEEL_NEVER;
    n->slot_ms = 0;
}

static void put(struct http_wheel *w, struct wheel_node *n)
{
    /* A deadline that has passed goes into the current slot, which the next advance looks at
     * again. One beyond the wheel's turn (65 s) comes by early and is put again. */
    n->slot_ms = n->deadline_ms > w->now_ms ? n->deadline_ms : w->now_ms;
    list_push_back(&w->slots[slot_of(n->slot_ms)], &n->link);
}

void wheel_set(struct http_wheel *w, struct wheel_node *n, int64_t deadline_ms)
{
    REQUIRE(deadline_ms < WHEEL_NEVER);
    n->deadline_ms = deadline_ms;
    if (!list_is_empty(&n->link)) {
        if (n->slot_ms <= deadline_ms)
            return;
        list_remove(&n->link);
    }
    put(w, n);
}

void wheel_remove(struct wheel_node *n)
{
    list_remove(&n->link);
    n->deadline_ms = WHEEL_NEVER;
}

void wheel_advance(struct http_wheel *w, int64_t now_ms)
{
    int64_t first = w->now_ms / SLOT_MS;
    int64_t last = now_ms / SLOT_MS;

    if (now_ms < w->now_ms)
        return;
    if (last - first >= HTTP_WHEEL_SLOTS)
        first = last - HTTP_WHEEL_SLOTS + 1;
    w->now_ms = now_ms;
    for (int64_t s = first; s <= last; s++) {
        struct list due;

        list_take_all(&due, &w->slots[(uint64_t)s % HTTP_WHEEL_SLOTS]);
        while (!list_is_empty(&due)) {
            struct wheel_node *n = container_of(list_pop_front(&due), struct wheel_node, link);

            if (n->deadline_ms <= now_ms) {
                n->deadline_ms = WHEEL_NEVER;
                n->fire(n);
            } else if (n->deadline_ms < WHEEL_NEVER) {
                put(w, n);
            }
        }
    }
}
