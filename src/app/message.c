#include "orderly/app/message.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"

/* The translator: the one place that says which domain event is which integration message. */
static struct str message_topic_of(enum event_type type)
{
    return event_infos[type].topic;
}

/* Room for the arrays that decoding makes, beside the message itself. */
static struct message *message_create(size_t arrays)
{
    struct message *m = mem_alloc(sizeof(*m) + arrays);

    m->refs = 1;
    m->appended_us = 0;
    m->memory = (struct buf){ 0 };
    arena_init(&m->arena, arrays ? m + 1 : NULL, arrays);
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
    struct message *m = message_create(message_arrays_size(&e->p));

    event_encode(e, &m->memory);
    m->row = buf_str(&m->memory);

    enum err err = event_decode(m->row, e->position, &m->event, &m->arena);

    ENSURE(err == ERR_OK); /* what we encode, we can read */
    m->topic = message_topic_of(e->type);
    return m;
}

enum err message_of_row(struct str row, uint64_t position, struct message **out)
{
    struct message *m = message_create(0);
    enum err err;

    buf_add_str(&m->memory, row);
    m->row = buf_str(&m->memory);
    err = event_decode(m->row, position, &m->event, &m->arena);
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
    buf_deinit(&m->memory);
    mem_free(m);
}
