#include "batch.h"
#include "orderly/base/check.h"

#define CACHE_LINE 64

void batch_init(struct batch *b)
{
    *b = (struct batch){ 0 };
    list_init(&b->writes);
}

void batch_add(struct batch *b, struct store_write *w)
{
    list_push_back(&b->writes, &w->link);
    b->n_writes++;
    b->n_events += w->n_events;
    b->n_bytes += w->n_bytes;
}

static bool batch_has_room(const struct batch *b, const struct store_write *w)
{
    return b->n_events + w->n_events <= STORE_BATCH_EVENTS_MAX &&
           b->n_bytes + w->n_bytes <= STORE_BATCH_BYTES_MAX;
}

/* They were made by another thread: they are on their way while the rest of the batch is taken. */
static void prefetch_rows(const struct store_write *w)
{
    const char *end = (const char *)(w->rows + w->n_rows);

    for (const char *p = (const char *)w->rows; p < end; p += CACHE_LINE)
        __builtin_prefetch(p);
}

void batch_take(struct batch *b, struct list *queue)
{
    REQUIRE(!list_is_empty(queue));
    do {
        struct store_write *w = container_of(queue->next, struct store_write, link);

        if (b->n_writes > 0 && !batch_has_room(b, w))
            break;
        list_remove(&w->link);
        batch_add(b, w);
        prefetch_rows(w);
    } while (!list_is_empty(queue));
}

void batch_take_all(struct batch *b, struct list *src)
{
    while (!list_is_empty(src))
        batch_add(b, container_of(list_pop_front(src), struct store_write, link));
}

void batch_set_status(struct batch *b, enum err status)
{
    list_for_each(at, &b->writes) container_of(at, struct store_write, link)->status = status;
}

enum err queue_admit(uint32_t queue_len, const struct store_write *w)
{
    REQUIRE(w->n_rows > 0);
    return queue_len < (w->is_command ? STORE_QUEUE_COMMANDS_MAX : STORE_QUEUE_MAX) ? ERR_OK
                                                                                    : ERR_BUSY;
}
