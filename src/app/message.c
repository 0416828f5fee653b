#include "orderly/app/message.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"

#define ROW_STACK 4096 /* rows that may be larger are made on the heap */

/* The translator: the one place that says which domain event is which integration message. */
static struct str message_topic_of(enum event_type type)
{
    return event_infos[type].topic;
}

/* One piece of memory: the message, then room for the arrays that decoding makes, then the row. */
static struct message *message_create(size_t arrays, struct str row)
{
    struct message *m = mem_alloc(sizeof(*m) + arrays + row.n);
    char *copy = (char *)(m + 1) + arrays;

    m->refs = 1;
    m->appended_us = 0;
    arena_init(&m->arena, arrays ? m + 1 : NULL, arrays);
    memcpy(copy, row.p, row.n);
    m->row = (struct str){ copy, row.n };
    return m;
}

static size_t message_arrays_size(const struct payload *p)
{
    size_t n = p->n_lines * sizeof(struct order_line) +
               p->n_stock_lines * sizeof(struct stock_line) +
               p->n_discounts * sizeof(struct discount) + (p->address ? sizeof(struct address) : 0);

    return n ? n + 128 : 0;
}

struct message *message_of_event(const struct event *e)
{
    char stack[ROW_STACK];
    bool is_small = event_encoded_max(e) <= sizeof(stack);
    struct buf row =
        is_small ? (struct buf){ .p = stack, .cap = sizeof(stack) } : (struct buf){ 0 };
    struct message *m;
    enum err err;

    event_encode(e, &row);
    m = message_create(message_arrays_size(&e->p), buf_str(&row));
    if (!is_small)
        buf_deinit(&row);
    err = event_decode(m->row, e->position, &m->event, &m->arena);
    ENSURE(err == ERR_OK); /* what we encode, we can read */
    m->topic = message_topic_of(e->type);
    return m;
}

enum err message_of_row(struct str row, uint64_t position, struct message **out)
{
    struct message *m = message_create(0, row);
    enum err err = event_decode(m->row, position, &m->event, &m->arena);

    if (err != ERR_OK) {
        message_unref(m);
        return err;
    }
    m->topic = message_topic_of(m->event.type);
    *out = m;
    return ERR_OK;
}

void message_unref(struct message *m)
{
    REQUIRE(m->refs > 0);
    if (--m->refs > 0)
        return;
    arena_deinit(&m->arena);
    mem_free(m);
}

struct str message_id_said(struct str outside, struct event_id ours, char text[UUID_TEXT_LEN])
{
    if (outside.n)
        return outside;
    uuid_format(ours.u, text);
    return (struct str){ text, UUID_TEXT_LEN };
}
