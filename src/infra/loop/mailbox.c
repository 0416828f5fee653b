#include "orderly/infra/loop/mailbox.h"
#include "orderly/base/check.h"

static void mailbox_on_doorbell(uv_async_t *h)
{
    struct mailbox *m = container_of(h, struct mailbox, doorbell);
    bool is_rung = m->is_rung;

    m->is_rung = false;
    uv_mutex_lock(&m->lock);
    list_append_all(&m->left, &m->letters);
    uv_mutex_unlock(&m->lock);
    if (list_is_empty(&m->left) && !is_rung)
        return;
    m->drain(m, &m->left);
    if (!list_is_empty(&m->left))
        mailbox_ring(m);
}

void mailbox_ring(struct mailbox *m)
{
    if (m->is_rung || m->is_closing)
        return;
    m->is_rung = true;
    uv_async_send(&m->doorbell);
}

void mailbox_init(struct mailbox *m, uv_loop_t *loop, mailbox_drain_cb drain)
{
    int rc;

    *m = (struct mailbox){ .drain = drain };
    list_init(&m->letters);
    list_init(&m->left);
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
    m->is_closing = true;
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
