/* Hashed timer wheel: setting, moving and clearing are O(1), and a tick looks only at the slots
 * that have passed. A deadline that moves away is only noted; the node changes its slot when its
 * old one comes by, so that renewing a timeout with each request costs one store. */
#ifndef ORDERLY_INFRA_HTTP_WHEEL_H
#define ORDERLY_INFRA_HTTP_WHEEL_H
#include "orderly/infra/http/http.h"

#define WHEEL_NEVER INT64_MAX

struct wheel_node {
    void (*fire)(struct wheel_node *n);
    struct list link;    /* in a slot, or alone */
    int64_t slot_ms;     /* the time that its slot stands for */
    int64_t deadline_ms; /* WHEEL_NEVER: not wanted now */
};

void wheel_init(struct http_wheel *w, int64_t now_ms);
void wheel_node_init(struct wheel_node *n, void (*fire)(struct wheel_node *n));
/* Fires in the first advance whose time is not before the deadline. */
void wheel_set(struct http_wheel *w, struct wheel_node *n, int64_t deadline_ms);
static inline void wheel_clear(struct wheel_node *n)
{
    n->deadline_ms = WHEEL_NEVER;
}
/* To be called before the node's memory goes. */
void wheel_remove(struct wheel_node *n);
/* Fires what is due. The callback may set, clear and remove any node. */
void wheel_advance(struct http_wheel *w, int64_t now_ms);
#endif
