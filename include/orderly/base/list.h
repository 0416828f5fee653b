/* Circular doubly linked list, embedded. A removed node is linked to itself, so removing twice is
 * harmless and `list_is_empty(&node)` says whether a node is in a list. */
#ifndef ORDERLY_BASE_LIST_H
#define ORDERLY_BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define list_for_each(pos, head)                                                                   \
    for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_push_back(head->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The list must not be empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = head->next;

    list_remove(node);
    return node;
}

/* Moves everything from src to dst, which is overwritten; src becomes empty. */
static inline void list_take_all(struct list *dst, struct list *src)
{
    list_init(dst);
    if (list_is_empty(src))
        return;
    dst->next = src->next;
    dst->prev = src->prev;
    dst->next->prev = dst;
    dst->prev->next = dst;
    list_init(src);
}

/* Moves everything from src to the end of dst; src becomes empty. */
static inline void list_append_all(struct list *dst, struct list *src)
{
    if (list_is_empty(src))
        return;
    src->next->prev = dst->prev;
    src->prev->next = dst;
    dst->prev->next = src->next;
    dst->prev = src->prev;
    list_init(src);
}
#endif
