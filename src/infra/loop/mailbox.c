#include "orderly/infra/loop/mailbox.h"
#include "orderly/base/check.h"

static void mailbox_on_doorbell(uv_async_t *h)
{
    struct mailbox *m = container_of(h, struct mailbox, doorbell);
    struct list letters;

    uv_mutex_lock(&m->lock);
    list_take_all(&letters, &m->letters);
    uv_mutex_unlock(&m->lock);
    if (list_is_empty(&letters))
        return;
    m->drain(m, &letters);
    ENSURE(list_is_empty(&letters));
}

void mailbox_init(struct mailbox *m, uv_loop_t *loop, mailbox_drain_cb drain)
{
    int rc;

    *m = (struct mailbox){ .drain = drain };
    list_init(&m->letters);
    rc = uv_mutex_init(&m->lock);
    ENSURE(rc == 0);
    rc = uv_async_init(loop, &m->doorbell, mailbox_on_doorbell);
    ENSURE(rc == 0);
}

static void mailbox_on_closed(uv_handle_t *h)
{
    struct mailbox *m = container_of((uv_async_t *)h, struct mailbox, doorbell);

    uv_mutex_destroy(&m->lock);
    if (m->on_closed)
        m->on_closed(m);
}

void mailbox_close(struct mailbox *m, mailbox_close_cb on_closed)
{
    m->on_closed = on_closed;
    uv_close((uv_handle_t *)&m->doorbell, mailbox_on_closed);
}

void mailbox_post(struct mailbox *m, struct list *letter)
{
    bool was_empty;

    uv_mutex_lock(&m->lock);
    was_empty = list_is_empty(&m->letters);
    list_push_back(&m->letters, letter);
    if (was_empty)
        uv_async_send(&m->doorbell); /* under the lock: see the header */
    uv_mutex_unlock(&m->lock);
}
